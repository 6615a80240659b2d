package network

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	nettypes "github.com/moby/moby/api/types/network"

	"github.com/berth-engine/berth/kernel/ns"
	"github.com/berth-engine/berth/kernel/socket"
	"github.com/berth-engine/berth/test/sctp"
)

// serveSCTP answers every association with name and what it was sent.
func (c *container) serveSCTP(address, name string) {
	c.w.t.Helper()
	var l net.Listener
	err := ns.WithNetNS(c.ns, func() (err error) {
		l, err = socket.ListenSCTP(c.w.t.Context(), netip.MustParseAddrPort(address))
		return err
	})
	if err != nil {
		c.w.t.Fatal(err)
	}
	c.w.t.Cleanup(func() { l.Close() })
	go sctp.Answer(l, name)
}

// callSCTP says hello from a namespace (nil: the host's).
func callSCTP(f *os.File, address string, wait time.Duration) (answer string, err error) {
	if f == nil {
		return sctp.Call(address, "hello", wait)
	}
	err = ns.WithNetNS(f, func() (err error) {
		answer, err = sctp.Call(address, "hello", wait)
		return err
	})
	return answer, err
}

func (w *world) wantSCTP(f *os.File, address, answer string) {
	w.t.Helper()
	if got, err := callSCTP(f, address, long); err != nil || got != answer {
		w.t.Errorf("%s: %q, %v; want %q", address, got, err, answer)
	}
}

func (w *world) refusedSCTP(f *os.File, address string) {
	w.t.Helper()
	if got, err := callSCTP(f, address, short); err == nil && got != "" {
		w.t.Errorf("%s is reachable: %q", address, got)
	}
}

// TestSCTP: a published port of SCTP leads to the container from wherever one of
// TCP does but from the other family of addresses.
func TestSCTP(t *testing.T) {
	if !sctp.Available() {
		t.Skip("this kernel has no SCTP")
	}
	w := newWorld(t)
	port := PortSpec{HostPort: 8080, ContainerPort: 80, Proto: "sctp"}
	local := PortSpec{HostIP: netip.MustParseAddr("127.0.0.1"), HostPort: 8081, ContainerPort: 80, Proto: "sctp"}
	a, b := w.attach("a", port, local, tcp("", 8080, 80)), w.attach("b")
	a.serveSCTP("0.0.0.0:80", "a")
	a.serve(80, "tcp")
	if got := strings.Join(bindings(a.r), " "); got != "0.0.0.0:8080->80/sctp 0.0.0.0:8080->80/tcp 127.0.0.1:8081->80/sctp :::8080->80/sctp :::8080->80/tcp" {
		t.Errorf("bindings %s", got)
	}
	gateway := a.r.Endpoints[0].Gateway.String()
	everywhere := func() {
		t.Helper()
		w.wantSCTP(nil, "127.0.0.1:8080", "a hello")
		w.wantSCTP(nil, "127.0.0.1:8081", "a hello")
		w.wantSCTP(nil, gateway+":8080", "a hello")
		w.wantSCTP(nil, hostOutside+":8080", "a hello")
		w.wantSCTP(b.ns, gateway+":8080", "a hello")
		w.wantSCTP(b.ns, hostOutside+":8080", "a hello")
		w.wantSCTP(b.ns, a.ip()+":80", "a hello")
		w.wantSCTP(a.ns, gateway+":8080", "a hello")
		w.wantSCTP(w.outside, hostOutside+":8080", "a hello")
		w.refusedSCTP(w.outside, hostOutside+":8081")
		w.refusedSCTP(w.outside, a.ip()+":80")
	}
	everywhere()
	w.want(nil, "tcp", "127.0.0.1:8080", "tcp "+gateway)
	// berth-netd has the socket but nowhere to lead it: whoever connects by IPv6
	// is not left waiting.
	if got, err := callSCTP(nil, "[::1]:8080", long); got != "" {
		t.Errorf("IPv6 to IPv4: %q, %v", got, err)
	}
	if _, _, err := w.m.Attach(t.Context(), Desired{ID: "c", Ports: []PortSpec{port}}); err == nil || !strings.Contains(err.Error(), "port is already allocated") {
		t.Errorf("twice: %v", err)
	}

	// The host cannot take the port, and a container that is gone has it no more.
	if l, err := socket.ListenSCTP(t.Context(), netip.MustParseAddrPort("0.0.0.0:8080")); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("a published port can be bound: %v", err)
		if err == nil {
			l.Close()
		}
	}
	if err := w.m.Detach(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	w.refusedSCTP(w.outside, hostOutside+":8080")
	w.refusedSCTP(nil, "127.0.0.1:8080")
	c := w.attach("c", port)
	c.serveSCTP("0.0.0.0:80", "c")
	w.wantSCTP(nil, "127.0.0.1:8080", "c hello")
	w.wantSCTP(w.outside, hostOutside+":8080", "c hello")
}

// TestSCTPSix: each family of addresses leads to the container's of the same.
func TestSCTPSix(t *testing.T) {
	if !sctp.Available() {
		t.Skip("this kernel has no SCTP")
	}
	w := newWorld(t)
	yes := true
	w.create(nettypes.CreateRequest{Name: "six", EnableIPv6: &yes})
	a := w.join("a", Desired{Networks: on("six").Networks, Ports: []PortSpec{{HostPort: 8080, ContainerPort: 80, Proto: "sctp"}}})
	a.serveSCTP("0.0.0.0:80", "four")
	a.serveSCTP("[::]:80", "six")
	w.wantSCTP(nil, "127.0.0.1:8080", "four hello")
	w.wantSCTP(nil, "["+a.r.Endpoints[0].Gateway6.String()+"]:8080", "six hello")
	w.wantSCTP(w.outside, hostOutside+":8080", "four hello")
}

// TestNoSCTP: where the kernel has none, that is said, and nothing is left.
func TestNoSCTP(t *testing.T) {
	if sctp.Available() {
		t.Skip("this kernel has SCTP")
	}
	w := newWorld(t)
	before := settled(t)
	_, _, err := w.m.Attach(t.Context(), Desired{ID: "a", Ports: []PortSpec{{HostPort: 8080, ContainerPort: 80, Proto: "sctp"}}})
	if p, ok := errors.AsType[*PortError](err); !ok || !strings.Contains(p.Error(), socket.ErrNoSCTP.Error()) || !strings.Contains(p.Error(), "8080/sctp") {
		t.Errorf("without SCTP: %v", err)
	}
	w.sameAs(before)
}

// TestSCTPPolicy: what berth-netd would have to pass on cannot be published.
func TestSCTPPolicy(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Policy = PolicyHost })
	ports := []PortSpec{{HostPort: 8080, ContainerPort: 80, Proto: "sctp"}}
	if _, _, err := w.m.Attach(t.Context(), Desired{ID: "a", Ports: ports}); err == nil || !strings.Contains(err.Error(), "publish-policy host") {
		t.Errorf("%v", err)
	}
	// Nor by who runs since the policy was another, and joins a network only now.
	w.create(nettypes.CreateRequest{Name: "in", Internal: true, IPAM: subnets("10.77.1.0/24")})
	b := w.join("b", on("in"))
	there := settled(t)
	if _, err := w.m.Connect(t.Context(), "b", b.ns, EndpointSpec{Name: DefaultNetwork}, ports); err == nil || !strings.Contains(err.Error(), "publish-policy host") {
		t.Errorf("%v", err)
	}
	w.sameAs(there)
}
