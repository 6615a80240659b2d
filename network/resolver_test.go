package network

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"

	mdns "github.com/miekg/dns"

	"github.com/berth-engine/berth/kernel/ns"
	"github.com/berth-engine/berth/network/dns"
)

// ask asks the resolver of a namespace as programs do, and returns the answer's
// code and data.
func ask(f *os.File, network, name string, kind uint16) string {
	q := new(mdns.Msg)
	q.SetQuestion(mdns.Fqdn(name), kind)
	var c net.Conn
	err := ns.WithNetNS(f, func() (err error) {
		c, err = net.DialTimeout(network, "127.0.0.11:53", long)
		return err
	})
	if err != nil {
		return err.Error()
	}
	defer c.Close()
	client := &mdns.Client{Net: network, Timeout: long}
	m, _, err := client.ExchangeWithConn(q, &mdns.Conn{Conn: c})
	if err != nil {
		return err.Error()
	}
	words := []string{mdns.RcodeToString[m.Rcode]}
	for _, rr := range m.Answer {
		words = append(words, strings.TrimPrefix(rr.String(), rr.Header().String()))
	}
	return strings.Join(words, " ")
}

func (w *world) resolve(c *container, s dns.Sandbox) {
	w.t.Helper()
	s.ID = c.id
	if err := w.m.ports.Resolve(w.t.Context(), s, c.ns); err != nil {
		w.t.Fatal(err)
	}
}

// serveNames runs a name server in a namespace that knows one name.
func serveNames(t *testing.T, f *os.File, address, answer string) {
	t.Helper()
	handler := mdns.HandlerFunc(func(w mdns.ResponseWriter, q *mdns.Msg) {
		m := new(mdns.Msg)
		m.SetReply(q)
		from, _, _ := net.SplitHostPort(w.RemoteAddr().String())
		m.Answer = []mdns.RR{&mdns.TXT{Hdr: mdns.RR_Header{Name: q.Question[0].Name, Rrtype: mdns.TypeTXT, Class: mdns.ClassINET}, Txt: []string{answer, from}}}
		_ = w.WriteMsg(m) // the test sees
	})
	s := &mdns.Server{Handler: handler}
	err := ns.WithNetNS(f, func() (err error) {
		s.PacketConn, err = net.ListenPacket("udp4", address)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.ActivateAndServe() }()
	t.Cleanup(func() {
		s.PacketConn.Close()
		<-done
	})
}

func record(c *container, names ...string) dns.Record {
	return dns.Record{Network: "n1", NetworkName: "mynet", Endpoint: c.id, Names: names, Addresses: []netip.Addr{c.r.Endpoints[0].IPv4.Addr()}}
}

// TestResolver: names of containers, and of the world, asked from a namespace.
func TestResolver(t *testing.T) {
	w := newWorld(t)
	a, b := w.attach("a"), w.attach("b")
	serveNames(t, w.outside, neighbour+":53", "outside")
	for _, c := range []*container{a, b} {
		if err := w.m.ports.SetRecord(t.Context(), record(c, "name-"+c.id)); err != nil {
			t.Fatal(err)
		}
	}
	outside := dns.Server{Addr: netip.MustParseAddrPort(neighbour + ":53"), Host: true}
	dead := dns.Server{Addr: netip.MustParseAddrPort("198.51.100.77:53"), Host: true}
	w.resolve(a, dns.Sandbox{Networks: []string{"n1"}, Servers: []dns.Server{dead, outside}, Outside: true})
	w.resolve(b, dns.Sandbox{Networks: []string{"n2"}, Servers: []dns.Server{outside}})
	// A container may have a name server of its own.
	listenUDP(t, a.ns, "0.0.0.0:53")

	want := func(c *container, network, name string, kind uint16, want string) {
		t.Helper()
		if got := ask(c.ns, network, name, kind); got != want {
			t.Errorf("%s asks for %s over %s: %s; want %s", c.id, name, network, got, want)
		}
	}
	check := func() {
		t.Helper()
		for _, network := range []string{"udp", "tcp"} {
			want(a, network, "name-b", mdns.TypeA, "NOERROR "+b.ip())
			want(a, network, "name-b.mynet", mdns.TypeA, "NOERROR "+b.ip())
			want(b, network, "name-a", mdns.TypeA, "SERVFAIL")
		}
		want(a, "udp", "3.0.17.172.in-addr.arpa", mdns.TypePTR, "NOERROR name-b.mynet.")
		want(a, "udp", "example.com", mdns.TypeTXT, `NOERROR "outside" "`+hostOutside+`"`)
		want(b, "udp", "example.com", mdns.TypeTXT, "SERVFAIL") // no way out
	}
	check()

	// netd dies, with the sockets: another gets our copies of them.
	pid := w.netds()[0]
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	w.until("another netd", func() bool { n := w.netds(); return len(n) == 1 && n[0] != pid })
	w.until("names again", func() bool { return ask(a.ns, "udp", "name-b", mdns.TypeA) == "NOERROR "+b.ip() })
	check()

	// The engine ends as by kill -9: nothing changes. The next one takes over.
	w.crash()
	check()
	w.start()
	for _, c := range []*container{a, b} {
		if err := w.m.Adopt(t.Context(), c.id, c.ns, c.r); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.m.ports.Resolve(t.Context(), dns.Sandbox{ID: "a", Networks: []string{"n1"}, Servers: []dns.Server{outside}, Outside: true}, nil); err != nil {
		t.Fatal(err)
	}
	if err := w.m.ports.SetRecord(t.Context(), record(b, "name-b")); err != nil {
		t.Fatal(err)
	}
	if err := w.m.Prune(t.Context(), []string{"a", "b"}); err != nil {
		t.Fatal(err)
	}
	want(a, "udp", "name-b", mdns.TypeA, "NOERROR "+b.ip())
	want(a, "udp", "name-a", mdns.TypeA, `NOERROR "outside" "`+hostOutside+`"`) // no container's any more
	if got := ask(b.ns, "tcp", "name-b", mdns.TypeA); !strings.Contains(got, "refused") {
		t.Errorf("the pruned resolver: %s", got)
	}
	if err := w.m.ports.Unresolve(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	if err := w.m.ports.DropRecord(t.Context(), "n1", "b"); err != nil {
		t.Fatal(err)
	}
}

func listenUDP(t *testing.T, f *os.File, address string) {
	t.Helper()
	var l net.PacketConn
	err := ns.WithNetNS(f, func() (err error) {
		l, err = net.ListenPacket("udp4", address)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
}

// TestResolverHandedOver: a new program takes over while questions are asked;
// none is lost.
func TestResolverHandedOver(t *testing.T) {
	w := newWorld(t)
	a := w.attach("a")
	if err := w.m.ports.SetRecord(t.Context(), record(a, "a")); err != nil {
		t.Fatal(err)
	}
	w.resolve(a, dns.Sandbox{Networks: []string{"n1"}})
	ctx, cancel := context.WithCancel(t.Context())
	asked, failed := 0, make(chan string, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			asked++
			if got := ask(a.ns, "udp", "a", mdns.TypeA); got != "NOERROR "+a.ip() {
				select {
				case failed <- got:
				default:
				}
			}
		}
	}()
	for i := range 3 {
		w.crash()
		program, err := os.ReadFile(netdBinary)
		if err != nil {
			t.Fatal(err)
		}
		w.o.Netd.Binary = fmt.Sprintf("%s/berth-netd-%d", t.TempDir(), i)
		if err := os.WriteFile(w.o.Netd.Binary, program, 0o755); err != nil {
			t.Fatal(err)
		}
		w.start()
		w.until("the old netd ends", func() bool { return len(w.netds()) == 1 })
	}
	cancel()
	<-done
	select {
	case got := <-failed:
		t.Errorf("of %d questions one was answered %s", asked, got)
	default:
	}
	w.adopt(a)
}
