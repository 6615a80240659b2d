package network

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
)

func TestUDP(t *testing.T) {
	w := newWorld(t)
	a := w.attach("a", PortSpec{HostPort: 5353, ContainerPort: 53, Proto: "udp"},
		PortSpec{HostIP: netip.MustParseAddr("127.0.0.1"), HostPort: 5454, ContainerPort: 53, Proto: "udp"})
	a.serveUDP(53, "a")
	for _, address := range []string{"127.0.0.1:5353", "172.17.0.1:5353", hostOutside + ":5353", "[::1]:5353", "127.0.0.1:5454"} {
		w.want(nil, "udp", address, "a hello")
	}
	w.want(w.outside, "udp", hostOutside+":5353", "a hello")
	w.refused(w.outside, "udp", hostOutside+":5454")

	// A flow must not lead to the next container that has the address.
	if err := w.m.Detach(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	w.refused(w.outside, "udp", hostOutside+":5353")
}

// TestIPv6Alone publishes on IPv6 addresses only.
func TestIPv6Alone(t *testing.T) {
	w := newWorld(t)
	a := w.attach("a", tcp("::1", 8080, 80), tcp("::", 8081, 80), tcp("0.0.0.0", 8082, 80))
	a.serve(80, "a")
	w.want(nil, "tcp", "[::1]:8080", "a 172.17.0.1")
	w.want(nil, "tcp", "[::1]:8081", "a 172.17.0.1")
	w.want(nil, "tcp", "127.0.0.1:8082", "a 172.17.0.1")
	w.refused(nil, "tcp", "127.0.0.1:8080")
	w.refused(nil, "tcp", "127.0.0.1:8081")
	w.refused(nil, "tcp", "[::1]:8082")
	if got := strings.Join(bindings(a.r), " "); got != "0.0.0.0:8082->80/tcp ::1:8080->80/tcp :::8081->80/tcp" {
		t.Errorf("bindings %s", got)
	}
}

func TestRange(t *testing.T) {
	w := newWorld(t)
	var specs []PortSpec
	for n := range uint16(100) {
		specs = append(specs, tcp("", 9000+n, 9000+n))
	}
	a := w.attach("a", specs...)
	if n := len(a.r.Ports.list()); n != 200 {
		t.Errorf("%d bindings", n)
	}
	for _, n := range []int{9000, 9050, 9099} {
		a.serve(n, fmt.Sprint(n))
		w.want(nil, "tcp", fmt.Sprintf("127.0.0.1:%d", n), fmt.Sprintf("%d 172.17.0.1", n))
		w.want(w.outside, "tcp", fmt.Sprintf("%s:%d", hostOutside, n), fmt.Sprintf("%d %s", n, neighbour))
	}

	// Any port of a range, and any port at all.
	for i := range 3 {
		p := tcp("127.0.0.1", 9098, 80)
		p.HostPortEnd = 9101
		f, r, err := w.m.Attach(t.Context(), Desired{ID: fmt.Sprint(i), Ports: []PortSpec{p}})
		if i == 2 {
			var port *PortError
			if !errors.As(err, &port) || !port.Allocated {
				t.Errorf("an exhausted range: %v", err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
		if got := r.Ports[0].HostPort; got != uint16(9100+i) {
			t.Errorf("port %d of the range", got)
		}
	}
	b := w.attach("b", tcp("", 0, 80))
	if len(b.r.Ports) != 2 || b.r.Ports[0].HostPort < 1024 || b.r.Ports[0].HostPort != b.r.Ports[1].HostPort {
		t.Errorf("any port: %v", bindings(b.r))
	}
	b.serve(80, "b")
	w.want(nil, "tcp", fmt.Sprintf("127.0.0.1:%d", b.r.Ports[0].HostPort), "b 172.17.0.1")
}

// TestConflict: a port that somebody has is refused with Docker's words, and
// nothing of the failed Attach stays. A port that we have, nobody else gets.
func TestConflict(t *testing.T) {
	w := newWorld(t)
	l, err := net.Listen("tcp4", "127.0.0.1:8080")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	refuse := func(want string, specs ...PortSpec) {
		t.Helper()
		before := settled(t)
		_, _, err := w.m.Attach(t.Context(), Desired{ID: "loser", Name: "web", Ports: specs})
		var port *PortError
		if !errors.As(err, &port) {
			t.Fatalf("not a PortError: %v", err)
		}
		want = fmt.Sprintf("driver failed programming external connectivity on endpoint web (%s): %s", port.EndpointID, want)
		if err.Error() != want || len(port.EndpointID) != 64 {
			t.Errorf("%q\nwant\n%q", err, want)
		}
		w.sameAs(before)
	}
	us := fmt.Sprintf(" by process %d (exe)", os.Getpid())
	refuse("failed to bind host port 0.0.0.0:8080/tcp: address already in use"+us, tcp("", 8079, 79), tcp("", 8080, 80))
	refuse("failed to bind host port 127.0.0.1:8080/tcp: address already in use"+us, tcp("127.0.0.1", 8080, 80))
	refuse("failed to bind host port 203.0.113.9:8080/tcp: cannot assign requested address", tcp("203.0.113.9", 8080, 80))

	w.attach("a", tcp("", 8081, 80))
	refuse("Bind for 0.0.0.0:8081 failed: port is already allocated", tcp("", 8081, 80))
	refuse("Bind for 127.0.0.1:8081 failed: port is already allocated", tcp("127.0.0.1", 8081, 80))
	refuse("Bind for :::8081 failed: port is already allocated", tcp("::", 8081, 80))
	for _, address := range []string{"127.0.0.1:8081", "0.0.0.0:8081", "[::1]:8081"} {
		if l, err := net.Listen("tcp", address); err == nil {
			l.Close()
			t.Errorf("another process got %s", address)
		}
	}
	w.attach("udp", PortSpec{HostPort: 8081, ContainerPort: 80, Proto: "udp"})
	if err := w.m.Detach(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	w.attach("b", tcp("", 8081, 80))
}

func TestAddresses(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Home.BIP = netip.MustParsePrefix("172.30.0.1/29") })
	fixed := Desired{ID: "fixed", Networks: []EndpointSpec{{
		Name: DefaultNetwork, IPv4: netip.MustParseAddr("172.30.0.3"), MAC: net.HardwareAddr{0x02, 1, 2, 3, 4, 5},
	}}}
	f, r, err := w.m.Attach(t.Context(), fixed)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if e := r.Endpoints[0]; e.IPv4.String() != "172.30.0.3/29" || e.MAC != "02:01:02:03:04:05" {
		t.Errorf("fixed endpoint: %+v", e)
	}
	if got := in(t, f, "ip -o link show eth0"); !strings.Contains(got, "02:01:02:03:04:05") {
		t.Errorf("link: %s", got)
	}
	if _, _, err := w.m.Attach(t.Context(), fixed); !errdefs.IsAlreadyExists(err) {
		t.Errorf("the same container twice: %v", err)
	}
	fixed.ID = "other"
	if _, _, err := w.m.Attach(t.Context(), fixed); !errdefs.IsPermissionDenied(err) {
		t.Errorf("the same address twice: %v", err)
	}
	fixed.Networks[0].IPv4 = netip.MustParseAddr("10.1.1.1")
	if _, _, err := w.m.Attach(t.Context(), fixed); !errdefs.IsInvalidArgument(err) {
		t.Errorf("a foreign address: %v", err)
	}
	for i, want := range []string{"172.30.0.2", "172.30.0.4", "172.30.0.5", "172.30.0.6"} {
		if got := w.attach(fmt.Sprint(i)).ip(); got != want {
			t.Errorf("address %s, want %s", got, want)
		}
	}
	if _, _, err := w.m.Attach(t.Context(), Desired{ID: "late"}); !errdefs.IsResourceExhausted(err) {
		t.Errorf("a full network: %v", err)
	}
	if err := w.m.Detach(t.Context(), "1"); err != nil {
		t.Fatal(err)
	}
	if got := w.attach("late").ip(); got != "172.30.0.4" {
		t.Errorf("reused address %s", got)
	}
}

func TestBadWishes(t *testing.T) {
	w := newWorld(t)
	for name, c := range map[string]struct {
		d    Desired
		kind func(error) bool
	}{
		"no id":        {Desired{}, errdefs.IsInvalidArgument},
		"mode":         {Desired{ID: "x", Mode: "macvlan"}, errdefs.IsInvalidArgument},
		"network":      {Desired{ID: "x", Networks: []EndpointSpec{{Name: "nosuch"}}}, errdefs.IsNotFound},
		"two":          {Desired{ID: "x", Networks: make([]EndpointSpec, 2)}, errdefs.IsPermissionDenied},
		"proto":        {Desired{ID: "x", Ports: []PortSpec{{ContainerPort: 1, Proto: "icmp"}}}, errdefs.IsInvalidArgument},
		"port 0":       {Desired{ID: "x", Ports: []PortSpec{{HostPort: 1, Proto: "tcp"}}}, errdefs.IsInvalidArgument},
		"no proto":     {Desired{ID: "x", Ports: []PortSpec{{ContainerPort: 1}}}, errdefs.IsInvalidArgument},
		"none's port":  {Desired{ID: "x", Mode: None, Ports: []PortSpec{tcp("", 1, 1)}}, errdefs.IsInvalidArgument},
		"multicast":    {Desired{ID: "x", Networks: []EndpointSpec{{MAC: net.HardwareAddr{1, 2, 3, 4, 5, 6}}}}, errdefs.IsInvalidArgument},
		"gateway":      {Desired{ID: "x", Networks: []EndpointSpec{{IPv4: netip.MustParseAddr("172.17.0.1")}}}, errdefs.IsPermissionDenied},
		"IPv6 address": {Desired{ID: "x", Networks: []EndpointSpec{{IPv4: netip.MustParseAddr("fd00::2")}}}, errdefs.IsInvalidArgument},
	} {
		if _, _, err := w.m.Attach(t.Context(), c.d); !c.kind(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := w.m.Detach(t.Context(), "nobody"); err != nil {
		t.Error(err)
	}
}
