package network

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/containerd/errdefs"
	nettypes "github.com/moby/moby/api/types/network"
)

// hammer calls a port without pause until stop; what went wrong comes out.
func hammer(network, address string) (stop func() (calls int, errs []error)) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	var calls int
	var errs []error
	wg.Go(func() {
		for ; ctx.Err() == nil; calls++ {
			if _, err := call(nil, network, address, long); err != nil {
				errs = append(errs, err)
			}
		}
	})
	return func() (int, []error) {
		cancel()
		wg.Wait()
		return calls, errs
	}
}

// TestPortsStayOpen: a container's networks come and go, and with them the
// address that its ports lead to, and no client is refused.
func TestPortsStayOpen(t *testing.T) {
	w := newWorld(t)
	w.create(nettypes.CreateRequest{Name: "one", IPAM: subnets("10.77.1.0/24")})
	w.create(nettypes.CreateRequest{Name: "two", IPAM: subnets("10.77.2.0/24")})
	d := on("one")
	d.Ports = []PortSpec{tcp("", 8080, 80), {HostPort: 9090, ContainerPort: 90, Proto: "udp"}}
	a := w.join("a", d)
	a.serve(80, "a")
	a.serveUDP(90, "u")
	six, four := hammer("tcp6", "[::1]:8080"), hammer("tcp4", "127.0.0.1:8080")
	for range 10 {
		if _, err := w.m.Connect(t.Context(), "a", a.ns, EndpointSpec{Name: "two", GwPriority: 1}, nil); err != nil {
			t.Fatal(err)
		}
		if got, err := call(nil, "udp", "[::1]:9090", long); err != nil || got != "u hello" {
			t.Errorf("by the second network: %q, %v", got, err)
		}
		if _, err := w.m.Disconnect(t.Context(), "a", a.ns, "two", nil); err != nil {
			t.Fatal(err)
		}
		if got, err := call(nil, "udp", "127.0.0.1:9090", long); err != nil || got != "u hello" {
			t.Errorf("by the first network: %q, %v", got, err)
		}
	}
	for name, stop := range map[string]func() (int, []error){"[::1]": six, "127.0.0.1": four} {
		calls, errs := stop()
		if calls < 20 {
			t.Errorf("%s: %d calls", name, calls)
		}
		for _, err := range errs {
			if errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// TestFlushUnderTraffic: somebody flushes the rules again and again while
// clients count their calls: none fails, and what is not published is not
// reached in between. Where the table is not the engine's own (before Linux 6.9),
// a packet may pass while the rules are put back, and a call that was led to its
// container ends; then the rules are there again.
func TestFlushUnderTraffic(t *testing.T) {
	w := newWorld(t)
	a := w.attach("a", tcp("", 8080, 80), PortSpec{HostPort: 9090, ContainerPort: 90, Proto: "udp"})
	a.serve(80, "a")
	a.serve(99, "unpublished")
	a.serveUDP(90, "u")
	w.share("b", web, nil, tcp("", 8081, 80))
	w.share("c", web, nil, tcp("", 8081, 80))
	owned := w.m.table.Owned()
	stops := map[string]func() (int, []error){}
	for _, way := range []struct{ network, address string }{
		{"tcp4", "127.0.0.1:8080"}, {"tcp4", hostOutside + ":8080"}, {"tcp6", "[::1]:8080"}, {"udp4", "127.0.0.1:9090"}, {"tcp4", "127.0.0.1:8081"},
	} {
		stops[way.network+" "+way.address] = hammer(way.network, way.address)
	}
	for range 15 {
		sh(t, "nft flush ruleset 2>/dev/null || true; nft delete table inet berth 2>/dev/null || true; nft flush chain inet berth forward 2>/dev/null || true")
		if got, err := call(w.outside, "tcp", a.ip()+":99", short/4); err == nil && owned {
			t.Errorf("what is not published was reached: %q", got)
		}
		if !owned {
			w.until("the rules", func() bool {
				got, err := call(w.outside, "tcp", hostOutside+":8080", short)
				_, open := call(w.outside, "tcp", a.ip()+":99", short/4) // chain by chain
				return err == nil && got == "a "+neighbour && open != nil
			})
		}
		w.want(w.outside, "tcp", hostOutside+":8080", "a "+neighbour)
	}
	for name, stop := range stops {
		calls, errs := stop()
		t.Logf("%s: %d calls", name, calls)
		if calls < 50 {
			t.Errorf("%s: %d calls", name, calls)
		}
		for _, err := range errs {
			var late net.Error
			if owned || !errors.Is(err, syscall.ECONNRESET) && !(errors.As(err, &late) && late.Timeout()) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// TestLinkLocal: further addresses of the interface, on which the others of the
// network reach it.
func TestLinkLocal(t *testing.T) {
	w := newWorld(t)
	yes := true
	w.create(nettypes.CreateRequest{Name: "six", EnableIPv6: &yes})
	d := on("six")
	d.Networks[0].LinkLocal = []netip.Addr{netip.MustParseAddr("169.254.7.7"), netip.MustParseAddr("fe80::7:7")}
	a, b := w.join("a", d), w.join("b", on("six"))
	a.serve(80, "a")
	if got := in(t, a.ns, "ip -o addr show eth0"); !strings.Contains(got, "169.254.7.7/16") || !strings.Contains(got, "fe80::7:7/64") {
		t.Errorf("addresses: %s", got)
	}
	in(t, b.ns, "ip route add 169.254.0.0/16 dev eth0")
	w.want(b.ns, "tcp", "169.254.7.7:80", "a "+b.ip())
	listenSix(t, a.ns, 81, "six")
	w.want(b.ns, "tcp6", "[fe80::7:7%eth0]:81", "six "+linkLocal(b.mac()).String())
	for _, bad := range []string{"10.0.0.1", "2001:db8::1"} {
		d.ID, d.Networks[0].LinkLocal = "c", []netip.Addr{netip.MustParseAddr(bad)}
		if _, _, err := w.m.Attach(t.Context(), d); !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), bad) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}
