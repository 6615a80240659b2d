package dns

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// example has two networks: web is on both, with another address on each.
func example() *Names {
	n := &Names{}
	n.Set(Record{Network: "n1", NetworkName: "front", Endpoint: "e1", Names: []string{"web", "Www", "0123456789ab"}, Addresses: []netip.Addr{addr("172.18.0.2"), addr("fd00::2")}})
	n.Set(Record{Network: "n1", NetworkName: "front", Endpoint: "e2", Names: []string{"web2", "www"}, Addresses: []netip.Addr{addr("172.18.0.3")}})
	n.Set(Record{Network: "n2", NetworkName: "back.end", Endpoint: "e3", Names: []string{"web", "db"}, Addresses: []netip.Addr{addr("172.19.0.2")}})
	return n
}

// query asks r and returns the answers in order of their texts.
func query(t *testing.T, r *Resolver, name string, kind uint16, set ...func(*dns.Msg)) (*dns.Msg, string) {
	t.Helper()
	q := new(dns.Msg)
	q.SetQuestion(dns.Fqdn(name), kind)
	for _, f := range set {
		f(q)
	}
	raw, err := q.Pack()
	if err != nil {
		t.Fatal(err)
	}
	m := new(dns.Msg)
	if err := m.Unpack(r.respond(t.Context(), raw, false)); err != nil {
		t.Fatal(err)
	}
	if m.Id != q.Id || !m.Response || len(m.Question) != 1 || m.Question[0] != q.Question[0] {
		t.Errorf("the answer is to another question: %v", m)
	}
	var out []string
	for _, rr := range m.Answer {
		out = append(out, strings.Fields(strings.TrimPrefix(rr.String(), rr.Header().String()))[0])
	}
	slices.Sort(out)
	return m, strings.Join(append([]string{dns.RcodeToString[m.Rcode]}, out...), " ")
}

func TestAnswers(t *testing.T) {
	r := NewResolver(example(), Sandbox{ID: "c", Networks: []string{"n1", "n2"}, Links: map[string][]string{"database": {"db"}}}, nil, nil)
	defer r.forward.close()
	for _, c := range []struct {
		name string
		kind uint16
		want string
	}{
		{"web", dns.TypeA, "NOERROR 172.18.0.2"},
		{"WEB", dns.TypeA, "NOERROR 172.18.0.2"},
		{"web", dns.TypeAAAA, "NOERROR fd00::2"},
		{"web2", dns.TypeAAAA, "NOERROR"}, // and nobody else is asked
		{"web", dns.TypeMX, "NOERROR"},
		{"www", dns.TypeA, "NOERROR 172.18.0.2 172.18.0.3"},
		{"www", dns.TypeANY, "NOERROR 172.18.0.2 172.18.0.3 fd00::2"},
		{"0123456789ab", dns.TypeA, "NOERROR 172.18.0.2"},
		{"db", dns.TypeA, "NOERROR 172.19.0.2"},
		{"database", dns.TypeA, "NOERROR 172.19.0.2"},
		{"web.front", dns.TypeA, "NOERROR 172.18.0.2"},
		{"web.back.end", dns.TypeA, "NOERROR 172.19.0.2"},
		{"db.front", dns.TypeA, "SERVFAIL"},
		{"nosuch", dns.TypeA, "SERVFAIL"},
		{"3.0.18.172.in-addr.arpa", dns.TypePTR, "NOERROR web2.front."},
		{"2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa", dns.TypePTR, "NOERROR web.front."},
		{"9.0.18.172.in-addr.arpa", dns.TypePTR, "SERVFAIL"},
	} {
		if _, got := query(t, r, c.name, c.kind); got != c.want {
			t.Errorf("%s %s: %s; want %s", c.name, dns.TypeToString[c.kind], got, c.want)
		}
	}
	if _, got := query(t, r, "web", dns.TypeA, func(m *dns.Msg) { m.Opcode = dns.OpcodeNotify }); got != "NOTIMP" {
		t.Errorf("notify: %s", got)
	}
	m, _ := query(t, r, "web", dns.TypeA, func(m *dns.Msg) { m.SetEdns0(1232, true) })
	if opt := m.IsEdns0(); opt == nil || !opt.Do() {
		t.Errorf("EDNS: %v", m)
	}
	if m, _ := query(t, r, "web", dns.TypeA); m.IsEdns0() != nil {
		t.Errorf("EDNS, unasked: %v", m)
	}

	// Names change, and end with their endpoint.
	r.names.Set(Record{Network: "n1", NetworkName: "front", Endpoint: "e1", Names: []string{"web3"}, Addresses: []netip.Addr{addr("172.18.0.2")}})
	r.names.Drop("n2", "e3")
	for name, want := range map[string]string{"web": "SERVFAIL", "web3": "NOERROR 172.18.0.2", "www": "NOERROR 172.18.0.3", "db": "SERVFAIL"} {
		if _, got := query(t, r, name, dns.TypeA); got != want {
			t.Errorf("after the change %s: %s; want %s", name, got, want)
		}
	}
	if r.names.Drop("n1", "e1"); len(r.names.All()) != 1 {
		t.Errorf("left: %v", r.names.All())
	}
	if r.names.Drop("n1", "e2"); len(r.names.zones) != 0 {
		t.Errorf("left: %v", r.names.zones)
	}
}

// TestRoundRobin: every one of many addresses comes first at times.
func TestRoundRobin(t *testing.T) {
	r := NewResolver(example(), Sandbox{ID: "c", Networks: []string{"n1"}}, nil, nil)
	defer r.forward.close()
	first := map[string]bool{}
	for range 1000 {
		m, _ := query(t, r, "www", dns.TypeA)
		first[m.Answer[0].(*dns.A).A.String()] = true
	}
	if len(first) != 2 {
		t.Errorf("first were %v", first)
	}
}

// TestTruncated: what does not fit is said to be more, and TCP has it all.
func TestTruncated(t *testing.T) {
	n := &Names{}
	for i := range 200 {
		n.Set(Record{Network: "n", Endpoint: fmt.Sprint(i), Names: []string{"many"}, Addresses: []netip.Addr{netip.AddrFrom4([4]byte{10, 0, 0, byte(i)})}})
	}
	r := NewResolver(n, Sandbox{ID: "c", Networks: []string{"n"}}, nil, nil)
	defer r.forward.close()
	if m, _ := query(t, r, "many", dns.TypeA); !m.Truncated || len(m.Answer) == 0 {
		t.Errorf("truncated %v, %d answers", m.Truncated, len(m.Answer))
	}
	if m, _ := query(t, r, "many", dns.TypeA, func(m *dns.Msg) { m.SetEdns0(4096, false) }); m.Truncated || len(m.Answer) != 200 {
		t.Errorf("truncated %v, %d answers with EDNS", m.Truncated, len(m.Answer))
	}
	q := new(dns.Msg)
	q.SetQuestion("many.", dns.TypeA)
	raw, err := q.Pack()
	if err != nil {
		t.Fatal(err)
	}
	var m dns.Msg
	if err := m.Unpack(r.respond(t.Context(), raw, true)); err != nil || m.Truncated || len(m.Answer) != 200 {
		t.Errorf("%v, truncated %v, %d answers over TCP", err, m.Truncated, len(m.Answer))
	}
}

// upstreams are name servers of the world outside.
type upstreams struct {
	t     *testing.T
	asked [3]atomic.Int64
	// how server i answers a question; nil: not at all
	how [3]atomic.Pointer[func(q *dns.Msg) *dns.Msg]
}

// set says how the first servers answer.
func (u *upstreams) set(how ...func(*dns.Msg) *dns.Msg) {
	for i, f := range how {
		u.how[i].Store(&f)
	}
}

func (u *upstreams) dial(_ context.Context, _ string, s Server) (net.Conn, error) {
	here, there := net.Pipe()
	i := int(s.Addr.Port())
	go func() {
		c := &dns.Conn{Conn: there, UDPSize: maxUDP}
		defer c.Close()
		for {
			q, err := c.ReadMsg()
			if err != nil {
				return
			}
			u.asked[i].Add(1)
			how := u.how[i].Load()
			if how == nil || *how == nil {
				continue
			}
			noise := (*how)(q)
			noise.Id++ // an attacker's guess
			if c.WriteMsg(noise) != nil || c.WriteMsg((*how)(q)) != nil {
				return
			}
		}
	}()
	return here, nil
}

func says(address string, ttl uint32) func(*dns.Msg) *dns.Msg {
	return func(q *dns.Msg) *dns.Msg {
		m := new(dns.Msg)
		m.SetReply(q)
		m.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: ttl}, A: net.ParseIP(address)}}
		return m
	}
}

func fails(code int) func(*dns.Msg) *dns.Msg {
	return func(q *dns.Msg) *dns.Msg {
		m := new(dns.Msg)
		m.SetRcode(q, code)
		return m
	}
}

func server(n uint16) Server { return Server{Addr: netip.AddrPortFrom(addr("192.0.2.1"), n)} }

func TestForward(t *testing.T) {
	u := &upstreams{t: t}
	sandbox := Sandbox{ID: "c", Networks: []string{"n1"}, Servers: []Server{server(0), server(1)}, Outside: true}
	r := NewResolver(example(), sandbox, u.dial, nil)
	defer r.forward.close()
	ask := func(name, want string) {
		t.Helper()
		if _, got := query(t, r, name, dns.TypeA); got != want {
			t.Errorf("%s: %s; want %s", name, got, want)
		}
	}
	u.set(says("192.0.2.10", 60), says("192.0.2.11", 60))
	ask("web", "NOERROR 172.18.0.2")
	ask("one.example", "NOERROR 192.0.2.10")
	ask("ONE.example", "NOERROR 192.0.2.10")
	if a, b := u.asked[0].Load(), u.asked[1].Load(); a != 1 || b != 0 {
		t.Errorf("asked %d and %d times; want the first, once", a, b)
	}

	// The first is dead: the second answers, and then is asked at once.
	u.set(nil)
	ask("two.example", "NOERROR 192.0.2.11")
	if !r.forward.servers[0].failing.Load() {
		t.Error("a dead server is not known as such")
	}
	ask("three.example", "NOERROR 192.0.2.11")

	// Nobody knows: the answer is the servers'.
	u.set(fails(dns.RcodeNameError), fails(dns.RcodeNameError))
	ask("four.example", "NXDOMAIN")
	u.set(fails(dns.RcodeServerFailure), fails(dns.RcodeRefused))
	if _, got := query(t, r, "five.example", dns.TypeA); got != "SERVFAIL" && got != "REFUSED" {
		t.Errorf("both fail: %s", got)
	}

	// One that fails leaves it to the next.
	u.set(fails(dns.RcodeServerFailure), says("192.0.2.11", 0))
	ask("six.example", "NOERROR 192.0.2.11")
	before := u.asked[1].Load()
	ask("six.example", "NOERROR 192.0.2.11")
	if u.asked[1].Load() == before {
		t.Error("an answer with no life was kept")
	}

	// On internal networks alone, nobody outside hears a word.
	sandbox.Outside = false
	r.Set(sandbox)
	before = u.asked[0].Load() + u.asked[1].Load()
	ask("secret.example", "SERVFAIL")
	ask("one.example", "SERVFAIL")
	ask("web", "NOERROR 172.18.0.2")
	if u.asked[0].Load()+u.asked[1].Load() != before {
		t.Error("a question got out")
	}
}

// TestDeadServer: with the first of two servers dead, answers are not late.
func TestDeadServer(t *testing.T) {
	u := &upstreams{t: t}
	u.set(nil, says("192.0.2.11", 60))
	r := NewResolver(&Names{}, Sandbox{ID: "c", Servers: []Server{server(0), server(1)}, Outside: true}, u.dial, nil)
	defer r.forward.close()
	for i := range 50 {
		if _, got := query(t, r, fmt.Sprintf("n%d.example", i), dns.TypeA); got != "NOERROR 192.0.2.11" {
			t.Fatal(got)
		}
	}
	// It is tried now and then, not each time.
	if n := u.asked[0].Load(); n == 0 || n > 20 {
		t.Errorf("the dead server was asked %d times", n)
	}
}

func TestCache(t *testing.T) {
	var c cache
	q := new(dns.Msg)
	q.SetQuestion("a.example.", dns.TypeA)
	k, now := keyOf(q), time.Now()
	c.put(k, says("192.0.2.1", 60)(q), now)
	if m := c.get(k, now.Add(59*time.Second)); m == nil || m.Answer[0].Header().Ttl != 1 {
		t.Errorf("after 59 s: %v", m)
	}
	if m := c.get(k, now.Add(time.Minute)); m != nil {
		t.Errorf("after a minute: %v", m)
	}
	c.put(k, fails(dns.RcodeServerFailure)(q), now)
	c.put(k, fails(dns.RcodeNameError)(q), now) // without a SOA nobody knows for how long
	if len(c.all) != 0 {
		t.Errorf("kept: %v", c.all)
	}
	none := fails(dns.RcodeNameError)(q)
	none.Ns = []dns.RR{&dns.SOA{Hdr: dns.RR_Header{Name: "example.", Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: 900}, Minttl: 30, Ns: ".", Mbox: "."}}
	c.put(k, none, now)
	if c.get(k, now.Add(29*time.Second)) == nil || c.get(k, now.Add(31*time.Second)) != nil {
		t.Error("that there is no name is not kept for the zone's 30 s")
	}
	for i := range 2 * cacheSize {
		q.SetQuestion(fmt.Sprintf("%d.example.", i), dns.TypeA)
		c.put(keyOf(q), says("192.0.2.1", 60)(q), now)
	}
	if len(c.all) > cacheSize {
		t.Errorf("%d answers are kept", len(c.all))
	}
}

// FuzzRespond: whatever a container sends, the answer is a message to the same
// number, or nothing.
func FuzzRespond(f *testing.F) {
	q := new(dns.Msg)
	q.SetQuestion("web.front.", dns.TypeA)
	q.SetEdns0(1232, true)
	raw, err := q.Pack()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add([]byte("\x00\x01\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03web\x00\x00\x0c\x00\x01"))
	r := NewResolver(example(), Sandbox{ID: "c", Networks: []string{"n1", "n2"}}, nil, nil)
	f.Fuzz(func(t *testing.T, raw []byte) {
		out := r.respond(t.Context(), raw, false)
		if out == nil {
			return
		}
		var m dns.Msg
		if err := m.Unpack(out); err != nil {
			t.Fatal(err)
		}
		if len(out) > maxUDP || !m.Response || m.Id != uint16(raw[0])<<8|uint16(raw[1]) {
			t.Errorf("%d bytes: %v", len(out), m)
		}
	})
}

// BenchmarkAnswer is one question about a container, from bytes to bytes.
func BenchmarkAnswer(b *testing.B) {
	r := NewResolver(example(), Sandbox{ID: "c", Networks: []string{"n1", "n2"}}, nil, nil)
	q := new(dns.Msg)
	q.SetQuestion("web.", dns.TypeA)
	raw, err := q.Pack()
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		r.respond(b.Context(), raw, false)
	}
}
