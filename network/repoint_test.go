package network

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	nettypes "github.com/moby/moby/api/types/network"
)

// TestRepoint: a container whose first network with a way out is joined while it
// runs gets its ports then, and loses them with it.
func TestRepoint(t *testing.T) {
	w := newWorld(t)
	w.create(nettypes.CreateRequest{Name: "in", Internal: true, IPAM: subnets("10.77.1.0/24")})
	w.create(nettypes.CreateRequest{Name: "routed", IPAM: subnets("10.77.2.0/24"), Options: map[string]string{optGateway4: "routed"}})
	ports := []PortSpec{tcp("", 8080, 80), tcp("127.0.0.1", 0, 80)}
	a := w.join("a", publishing("", "in", ports...))
	a.serve(80, "a")
	if len(a.r.Ports) != 0 {
		t.Errorf("published on an internal network: %v", bindings(a.r))
	}
	r, err := w.m.Connect(t.Context(), "a", a.ns, EndpointSpec{Name: DefaultNetwork}, ports)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(bindings(r), " "); !strings.Contains(got, "0.0.0.0:8080->80/tcp") {
		t.Errorf("bindings %s", got)
	}
	w.want(w.outside, "tcp", hostOutside+":8080", "a "+neighbour)

	// Where it is routed, the host has no port.
	if r, err = w.m.Connect(t.Context(), "a", a.ns, EndpointSpec{Name: "routed", GwPriority: 1}, ports); err != nil {
		t.Fatal(err)
	}
	w.refused(w.outside, "tcp", hostOutside+":8080")
	in(t, w.outside, "ip route add 10.77.2.0/24 via "+hostOutside)
	w.want(w.outside, "tcp", addressOn(r, "routed")+":80", "a "+neighbour)
	if _, err = w.m.Disconnect(t.Context(), "a", a.ns, "routed", ports); err != nil {
		t.Fatal(err)
	}
	w.want(w.outside, "tcp", hostOutside+":8080", "a "+neighbour)

	// A port that somebody took meanwhile: nothing has changed.
	if r, err = w.m.Disconnect(t.Context(), "a", a.ns, DefaultNetwork, ports); err != nil || len(r.Ports) != 0 {
		t.Fatalf("%v, %v", bindings(r), err)
	}
	w.refused(w.outside, "tcp", hostOutside+":8080")
	w.attach("b", ports[0])
	there := settled(t)
	_, err = w.m.Connect(t.Context(), "a", a.ns, EndpointSpec{Name: DefaultNetwork}, ports)
	if p, ok := errors.AsType[*PortError](err); !ok || !p.Allocated || p.Name != "a" {
		t.Errorf("a port of another: %v", err)
	}
	w.sameAs(there)
	if got := in(t, a.ns, "ip -br link; ip route"); strings.Contains(got, "eth1") || strings.Contains(got, "default") {
		t.Errorf("inside: %s", got)
	}
}

func addressOn(r Result, network string) string {
	for _, e := range r.Endpoints {
		if e.Network == network {
			return e.IPv4.Addr().String()
		}
	}
	return netip.Addr{}.String()
}
