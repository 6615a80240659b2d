package dns

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/miekg/dns"
)

// TestPanics: a question that the code cannot deal with gets SERVFAIL, over UDP
// and TCP, and the next one is answered; so is it if asking a server panics.
func TestPanics(t *testing.T) {
	var crashes atomic.Int64
	sandbox := Sandbox{ID: "c", Networks: []string{"n1"}, Servers: []Server{server(0)}, Outside: true}
	u := &upstreams{t: t}
	u.set(says("192.0.2.10", 60))
	var broken atomic.Bool
	dial := func(ctx context.Context, network string, s Server) (net.Conn, error) {
		if broken.Load() {
			panic("dial")
		}
		return u.dial(ctx, network, s)
	}
	r := NewResolver(example(), sandbox, dial, func(any) { crashes.Add(1) })
	packets, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { r.Serve(ctx, packets, listener) })
	defer wg.Wait()
	defer cancel()
	ask := func(name string, want string) {
		t.Helper()
		for network, address := range map[string]net.Addr{"udp": packets.LocalAddr(), "tcp": listener.Addr()} {
			q := new(dns.Msg)
			q.SetQuestion(name, dns.TypeA)
			m, _, err := (&dns.Client{Net: network}).Exchange(q, address.String())
			if err != nil {
				t.Errorf("%s over %s: %v", name, network, err)
				continue
			}
			if got := dns.RcodeToString[m.Rcode]; got != want {
				t.Errorf("%s over %s: %s; want %s", name, network, got, want)
			}
		}
	}
	ask("web.", "NOERROR")
	r.sandbox.Store(nil)
	ask("web.", "SERVFAIL")
	if crashes.Load() != 2 {
		t.Errorf("%d panics were reported", crashes.Load())
	}
	r.Set(sandbox)
	broken.Store(true)
	ask("far.example.", "SERVFAIL")
	if crashes.Load() != 4 {
		t.Errorf("%d panics were reported", crashes.Load())
	}
	broken.Store(false)
	ask("far.example.", "NOERROR")
	ask("web.", "NOERROR")
}
