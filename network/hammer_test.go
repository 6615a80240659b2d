package network

import (
	"context"
	"errors"
	"sync"
	"syscall"
	"testing"

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
		r, err := w.m.Connect(t.Context(), "a", a.ns, EndpointSpec{Name: "two", GwPriority: 1})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := call(nil, "udp", "[::1]:9090", long); err != nil || got != "u hello" {
			t.Errorf("by the second network: %q, %v", got, err)
		}
		if _, err := w.m.Disconnect(t.Context(), "a", a.ns, "two"); err != nil {
			t.Fatal(err)
		}
		if got, err := call(nil, "udp", "127.0.0.1:9090", long); err != nil || got != "u hello" {
			t.Errorf("by the first network: %q, %v", got, err)
		}
		a.r = r
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
