package nft

import (
	"fmt"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

var (
	loopback  = netip.MustParsePrefix("127.0.0.0/8")
	loopback6 = netip.MustParsePrefix("::1/128")
)

// Names of the chains that others lead to.
const (
	lonely = "lonely"
	toward = "toward"
)

// chains adds the chains and rules, which are the same for any number of
// networks. `nft list table` and `berth network rules` show them as
// docs/networking.md explains them; ports are those of the state.
func (t *Table) chains(state *State, ports []run) {
	t.rules = map[string][]string{}
	t.order = nil
	clear(t.spreads)
	s := t.sets

	raw := t.base("raw", "filter", nftables.ChainHookPrerouting, nftables.ChainPriorityRaw, "prerouting priority raw")
	// route_localnet is on for the bridges, so that answers to the host's
	// loopback come back; a container must not use it to reach the host's, nor
	// to pass for the host itself (CVE-2020-8558). Every packet comes here: what is
	// quickly asked comes first.
	t.rule(raw, four.to(loopback), iifIn(s.bridges), drop())
	t.rule(raw, four.from(loopback), iifIn(s.bridges), drop())

	// The host's address on a network is for that network alone.
	input := t.base("input", "filter", nftables.ChainHookInput, nftables.ChainPriorityFilter, "input priority filter")
	// Only who begins is asked, so that the others need not pass three lookups.
	t.rule(input, established(), accept())
	t.rule(input, iifIs("lo"), accept())
	t.impostors(input)
	if !t.unrelayed {
		// To a published port over berth-netd, which passes on from within the host.
		t.rule(input, iifIn(s.internal), relayed(), drop())
	}
	for i := range s.of {
		f := &s.of[i]
		t.rule(input, f.toIn(f.inner), own(unix.RTN_LOCAL, "local"), accept())
		t.rule(input, f.toIn(f.inner), own(unix.RTN_BROADCAST, "broadcast"), accept())
		t.rule(input, f.toIn(f.inner), drop())
	}

	for i := range ports {
		t.spread(&ports[i].Port)
	}
	if state.Mark != 0 {
		t.inOthersNames(state.Mark)
	}
	t.publish()
	t.hide()
	t.forward(state)
}

// inOthersNames marks the answers to connections that berth-netd made with a
// mark: their addresses are others', and only a routing rule for the answers'
// mark, which is the next number, brings them back to the host.
func (t *Table) inOthersNames(mark uint32) {
	out := t.base("ask", "route", nftables.ChainHookOutput, nftables.ChainPriorityMangle, "output priority mangle")
	t.rule(out, marked(mark), part{"ct mark set meta mark", []expr.Any{
		&expr.Meta{Key: expr.MetaKeyMARK, Register: a16},
		&expr.Ct{Key: expr.CtKeyMARK, Register: a16, SourceRegister: true},
	}})
	in := t.base("answer", "filter", nftables.ChainHookPrerouting, nftables.ChainPriorityMangle, "prerouting priority mangle")
	t.rule(in, iifIn(t.sets.bridges), ctMarked(mark), part{fmt.Sprintf("meta mark set 0x%08x", mark+1), []expr.Any{
		&expr.Immediate{Register: a16, Data: binaryutil.NativeEndian.PutUint32(mark + 1)},
		&expr.Meta{Key: expr.MetaKeyMARK, Register: a16, SourceRegister: true},
	}})
}

// publish leads what is sent to published ports of the host to containers.
// Only what is sent to the host itself is led on: a packet that is merely
// forwarded is not ours (CVE-2025-67499).
func (t *Table) publish() {
	pre := t.base("prerouting", "nat", nftables.ChainHookPrerouting, nftables.ChainPriorityNATDest, "prerouting priority dstnat")
	out := t.base("output", "nat", nftables.ChainHookOutput, nftables.ChainPriorityNATDest, "output priority -100")
	// Ports bound to loopback are for local processes, whose packets do not come
	// this way.
	t.rule(pre, four.to(loopback), back())
	// With br_netfilter, a packet that is led to another port of the same bridge
	// never leaves it, and isolated ports do not hear each other. berth-netd's
	// socket answers instead.
	t.rule(pre, iifIn(t.sets.lonely), back())
	for _, chain := range []*nftables.Chain{pre, out} {
		t.rule(chain, elsewhere(), back())
		// Nobody can answer ::1 from another namespace: berth-netd listens there.
		t.rule(chain, six.to(loopback6), back())
		for i := range t.sets.of {
			f := &t.sets.of[i]
			t.rule(chain, f.lookup(f.published))
			t.rule(chain, f.lookup(f.any))
			t.rule(chain, f.lookup(f.ranges))
			t.rule(chain, f.amongWhom())
		}
	}
}

// lookup leads the packet to what the map answers for it, or goes on.
func (f *familySets) lookup(set *nftables.Set) part {
	text := "dnat " + f.word + " to " + f.word + " daddr . meta l4proto . th dport map @" + set.Name
	load := f.loadSocket()
	if set == f.any {
		text = "meta nfproto ipv" + f.digit + " dnat " + f.word + " to meta l4proto . th dport map @" + set.Name
		load = append(f.protoIs(), &expr.Meta{Key: expr.MetaKeyL4PROTO, Register: a16}, port(b4))
	}
	nat := &expr.NAT{Type: expr.NATTypeDestNAT, Family: uint32(f.proto), RegAddrMin: a16, RegProtoMin: f.port}
	if set == f.ranges {
		nat.RegProtoMin = 0 // the port stays what it is
	}
	return part{text, append(load,
		&expr.Lookup{SourceRegister: a16, DestRegister: a16, IsDestRegSet: true, SetName: set.Name, SetID: set.ID}, nat)}
}

// hide gives packets an address that can be answered.
func (t *Table) hide() {
	post := t.base("postrouting", "nat", nftables.ChainHookPostrouting, nftables.ChainPriorityNATSource, "postrouting priority srcnat")
	// The host's calls to itself under its address on a network: it would answer
	// a datagram from another address than the one that was asked.
	t.rule(post, oifIs("lo"), back())
	for i := range t.sets.of {
		f := &t.sets.of[i]
		// A container that calls a published port of its own network: the answer
		// must come back through here. (The input link cannot be asked for: with
		// br_netfilter, it is not known at this point.)
		t.rule(post, f.atHome(f.home), led(), masquerade())
		t.rule(post, f.atHome(f.home), back())
		// Out into the world, or to another network, under the host's address.
		// What stays within a hidden network is neither led nor goes to a routed one.
		t.rule(post, f.translate(f.source))
		t.rule(post, f.fromIn(f.hidden), oifNotIn(t.sets.bridges), masquerade())
		t.rule(post, f.fromIn(f.hidden), led(), masquerade())
		t.rule(post, f.fromIn(f.hidden), oifIn(f.routed), masquerade())
	}
	// From the host's loopback to a container: it could not answer 127.0.0.1.
	t.rule(post, oifIn(t.sets.bridges), four.from(loopback), masquerade())
}

// forward decides who reaches whom.
func (t *Table) forward(state *State) {
	s := t.sets
	// Chains that others lead to must exist before.
	alone := t.chain(lonely)
	t.rule(alone, led(), accept())
	t.rule(alone, drop())

	strangers := t.chain(toward)
	if state.Accept.Mask != 0 {
		t.rule(strangers, markIs(state.Accept), accept())
	}
	for i := range s.of {
		f := &s.of[i]
		t.rule(strangers, f.socketIn(f.opened), accept())
		t.rule(strangers, linksIn(s.trusted), f.socketIn(f.direct), accept())
		icmp := l4("icmp", unix.IPPROTO_ICMP)
		if f.size == 16 {
			icmp = l4("ipv6-icmp", unix.IPPROTO_ICMPV6)
		}
		t.rule(strangers, oifIn(f.routed), icmp, accept())
	}
	// Networks are apart from one another in every other gateway mode.
	t.rule(strangers, iifIn(s.bridges), drop())
	for i := range s.of {
		f := &s.of[i]
		t.rule(strangers, f.is(), oifIn(f.open), accept())
		if state.Direct {
			t.rule(strangers, f.socketIn(f.direct), accept())
		}
	}
	// Nobody reaches a port that was not published.
	t.rule(strangers, drop())

	forward := t.base("forward", "filter", nftables.ChainHookForward, nftables.ChainPriorityFilter, "forward priority filter")
	// Most packets end here. What apart holds back never became a connection.
	t.rule(forward, established(), accept())
	for i := range s.of {
		f := &s.of[i]
		t.rule(forward, f.is(), iifIn(f.apart), oifIn(f.apart), drop())
	}
	t.rule(forward, linksVerdict(s.inside))
	t.impostors(forward)
	t.rule(forward, iifIn(s.internal), drop())
	t.rule(forward, oifIn(s.internal), drop())
	t.rule(forward, led(), accept())
	t.rule(forward, oifIn(s.bridges), goTo(strangers))
}

// impostors drops who begins a connection under an address that belongs on
// another network of the engine, or to the host. The answers would go to whoever
// has the address: the connection would be a way to a port of theirs that nobody
// published, from wherever the packet went. IPv4 has rp_filter against it, which
// many hosts leave loose or off; IPv6 has nothing.
func (t *Table) impostors(chain *nftables.Chain) {
	s := t.sets
	for i := range s.of {
		f := &s.of[i]
		t.rule(chain, f.fromIn(f.inner), iifIn(s.bridges), strayed(), drop())
	}
	// For IPv4 the kernel does it.
	t.rule(chain, six.is(), iifIn(s.bridges), hosts(), drop())
}

func (t *ruleset) chain(name string) *nftables.Chain {
	t.order = append(t.order, listed{name: name})
	t.rules[name] = nil
	return t.conn.AddChain(&nftables.Chain{Name: name, Table: t.table})
}

func (t *ruleset) base(name string, kind nftables.ChainType, hook *nftables.ChainHook, p *nftables.ChainPriority, text string) *nftables.Chain {
	accept := nftables.ChainPolicyAccept
	t.order = append(t.order, listed{name, "type " + string(kind) + " hook " + text + "; policy accept;"})
	t.rules[name] = nil
	return t.conn.AddChain(&nftables.Chain{Name: name, Table: t.table, Type: kind, Hooknum: hook, Priority: p, Policy: &accept})
}
