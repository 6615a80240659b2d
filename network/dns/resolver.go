package dns

import (
	"context"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/miekg/dns"

	"github.com/berth-engine/berth/fault"
)

// Address is where a container's resolver is, on port 53.
var Address = netip.AddrFrom4([4]byte{127, 0, 0, 11})

// Server is a name server to ask about the world outside.
type Server struct {
	Addr netip.AddrPort `json:"addr"`
	// Host: the host's own configuration names it. One on loopback is then the
	// host's loopback.
	Host bool `json:"host,omitempty"`
}

// Sandbox is what one container may look up.
type Sandbox struct {
	ID string `json:"id"`
	// Networks are ids; a name is looked for on one after the other.
	Networks []string `json:"networks,omitempty"`
	// Links are other names for names, for this container alone.
	Links map[string][]string `json:"links,omitempty"`
	// Servers are asked about names that no network knows, the first first.
	Servers []Server `json:"servers,omitempty"`
	// Outside: false, and nothing is asked of anybody: on internal networks, a
	// question is a way to send data out.
	Outside bool `json:"outside,omitempty"`
}

// ttl is for how many seconds an answer about a container may be kept. Its
// address may change whenever it is started again.
const ttl = 5

// Resolver answers one container. Make it with NewResolver.
type Resolver struct {
	names   *Names
	sandbox atomic.Pointer[Sandbox]
	forward *forwarder
	crashed Crashed
}

// Crashed is told of a panic, while it is recovered. The question that it is
// about stays without an answer, or gets SERVFAIL; others are served.
type Crashed func(p any)

// contain is deferred. It keeps a panic from ending the process.
func (c Crashed) contain(then func()) {
	if p := recover(); p != nil {
		c(p)
		then()
	}
}

// NewResolver makes a resolver for one container.
func NewResolver(names *Names, s Sandbox, dial Dial, crashed Crashed) *Resolver {
	r := &Resolver{names: names, forward: newForwarder(dial, crashed), crashed: crashed}
	r.Set(s)
	return r
}

// Set replaces what the container may look up.
func (r *Resolver) Set(s Sandbox) {
	r.sandbox.Store(&s)
	r.forward.use(s.Servers)
}

// Sandbox is what was set last.
func (r *Resolver) Sandbox() Sandbox { return *r.sandbox.Load() }

// maxUDP is the longest answer that is sent in one datagram, to who says that
// it can take it (RFC 9715 advises 1400; the way is a loopback interface).
const maxUDP = 4096

// answer answers what the networks know, or what no server is to be asked: nil
// if one is. Questions that are none are answered, too.
func (r *Resolver) answer(q *dns.Msg) *dns.Msg {
	m := new(dns.Msg)
	m.SetReply(q)
	m.RecursionAvailable = true
	switch {
	case q.Opcode != dns.OpcodeQuery:
		m.Rcode = dns.RcodeNotImplemented
		return m
	case len(q.Question) != 1 || q.Question[0].Qclass != dns.ClassINET && q.Question[0].Qclass != dns.ClassANY:
		m.Rcode = dns.RcodeFormatError
		return m
	}
	s := r.sandbox.Load()
	if r.local(s, m, &q.Question[0]) {
		return m
	}
	if !s.Outside || len(s.Servers) == 0 {
		m.Rcode = dns.RcodeServerFailure // as Docker does
		return m
	}
	return nil
}

// local fills m in if a network knows the name or address asked for.
func (r *Resolver) local(s *Sandbox, m *dns.Msg, q *dns.Question) bool {
	name := canonical(q.Name)
	if q.Qtype == dns.TypePTR {
		a, ok := reversed(name)
		if !ok {
			return false
		}
		found, ok := r.names.reverse(s.Networks, a)
		if ok {
			m.Answer = []dns.RR{&dns.PTR{Hdr: header(q, dns.TypePTR), Ptr: dns.Fqdn(found)}}
		}
		return ok
	}
	all, known := r.find(s, name)
	if !known {
		return false
	}
	// Of two or more, any may come first.
	if len(all) > 1 {
		i := rand.IntN(len(all))
		all = slices.Concat(all[i:], all[:i])
	}
	for _, a := range all {
		switch {
		case a.Is4() && (q.Qtype == dns.TypeA || q.Qtype == dns.TypeANY):
			m.Answer = append(m.Answer, &dns.A{Hdr: header(q, dns.TypeA), A: net.IP(a.AsSlice())})
		case a.Is6() && (q.Qtype == dns.TypeAAAA || q.Qtype == dns.TypeANY):
			m.Answer = append(m.Answer, &dns.AAAA{Hdr: header(q, dns.TypeAAAA), AAAA: net.IP(a.AsSlice())})
		}
	}
	return true // a name without such an address still is nobody else's to answer
}

func (r *Resolver) find(s *Sandbox, name string) ([]netip.Addr, bool) {
	var out []netip.Addr
	known := false
	for _, other := range s.Links[name] {
		found, ok := r.names.lookup(s.Networks, canonical(other))
		out, known = append(out, found...), known || ok
	}
	if known {
		return out, true
	}
	return r.names.lookup(s.Networks, name)
}

func header(q *dns.Question, kind uint16) dns.RR_Header {
	return dns.RR_Header{Name: q.Name, Rrtype: kind, Class: dns.ClassINET, Ttl: ttl}
}

// reversed is the address that a name below in-addr.arpa or ip6.arpa is for.
func reversed(name string) (netip.Addr, bool) {
	if digits, ok := strings.CutSuffix(name, ".in-addr.arpa"); ok {
		parts := strings.Split(digits, ".")
		slices.Reverse(parts)
		a, err := netip.ParseAddr(strings.Join(parts, "."))
		return a, err == nil && a.Is4()
	}
	digits, ok := strings.CutSuffix(name, ".ip6.arpa")
	if !ok || len(digits) != 63 {
		return netip.Addr{}, false
	}
	var b strings.Builder
	for i := 62; i >= 0; i -= 2 {
		b.WriteByte(digits[i])
		if i%8 == 0 && i > 0 {
			b.WriteByte(':')
		}
	}
	a, err := netip.ParseAddr(b.String())
	return a, err == nil && a.Is6() && !a.Is4In6()
}

// quick unpacks a question and answers it if nobody else must be asked. No
// question at all: there is nothing to say.
func (r *Resolver) quick(raw []byte) (q, m *dns.Msg) {
	defer r.crashed.contain(func() {
		if m = nil; q != nil {
			m = new(dns.Msg)
			m.SetRcode(q, dns.RcodeServerFailure)
		}
	})
	if fault.Point("dns.question") != nil {
		return nil, nil
	}
	q = new(dns.Msg)
	if err := q.Unpack(raw); err != nil || q.Response {
		return nil, nil // who sends such things is not answered: it might be a loop
	}
	if m = r.answer(q); m == nil {
		m = r.forward.cached(q)
	}
	return q, m
}

// respond is the whole of it: the packed answer to a packed question, or nil if
// there is nothing to say.
func (r *Resolver) respond(ctx context.Context, raw []byte, tcp bool) []byte {
	q, m := r.quick(raw)
	if q == nil {
		return nil
	}
	if m == nil {
		return r.elsewhere(ctx, q, tcp)
	}
	return pack(q, m, tcp)
}

// elsewhere is the packed answer of servers.
func (r *Resolver) elsewhere(ctx context.Context, q *dns.Msg, tcp bool) (out []byte) {
	defer r.crashed.contain(func() { out = failed(q) })
	return pack(q, r.forward.ask(ctx, q, tcp), tcp)
}

// failed is the packed answer that there is none.
func failed(q *dns.Msg) []byte {
	bad := new(dns.Msg)
	bad.SetRcode(q, dns.RcodeServerFailure)
	out, _ := bad.Pack() // a question that was unpacked can be packed
	return out
}

// pack makes an answer fit for the way it goes.
func pack(q, m *dns.Msg, tcp bool) []byte {
	size := dns.MaxMsgSize
	if !tcp {
		size = dns.MinMsgSize
	}
	if opt := q.IsEdns0(); opt != nil {
		if !tcp {
			size = min(max(size, int(opt.UDPSize())), maxUDP)
		}
		if m.IsEdns0() == nil {
			m.SetEdns0(maxUDP, opt.Do())
		}
	}
	m.Compress = true
	m.Truncate(size)
	out, err := m.Pack()
	if err != nil {
		return failed(q)
	}
	return out
}
