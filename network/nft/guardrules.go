package nft

import (
	"encoding/binary"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// Types of ICMPv6 by which a node says who it is (RFC 4861, 4).
const (
	routerAdvertisement    = 134
	neighbourAdvertisement = 136
	redirect               = 137
)

// Offsets of addresses beyond those of the IP headers.
const (
	arpSender = 14 // RFC 826, of IPv4 over Ethernet: ar$spa
	ndTarget  = 8  // RFC 4861, 4.4
	icmp6Type = 0
)

// chains adds the rules, which are the same for any number of containers. Most
// frames meet the first rule of their kind and are through.
func (g *Guard) chains() {
	g.rules, g.order = map[string][]string{}, nil
	in4, in6 := &g.of[0], &g.of[1]
	pre := g.base("prerouting", "filter", nftables.ChainHookPrerouting, nftables.ChainPriorityRef(-200), "prerouting priority filter")

	source4 := field{"ip saddr", expr.PayloadBaseNetworkHeader, in4.src, in4.size}
	sender := field{"arp saddr ip", expr.PayloadBaseNetworkHeader, arpSender, in4.size}
	source6 := field{"ip6 saddr", expr.PayloadBaseNetworkHeader, in6.src, in6.size}
	target := field{"@th,64,128", expr.PayloadBaseTransportHeader, ndTarget, in6.size}
	ip, arp, ip6 := ether("", unix.ETH_P_IP), ether("", unix.ETH_P_ARP), ether("", unix.ETH_P_IPV6)

	g.rule(pre, ip, in4.held(source4), accept())
	g.rule(pre, arp, in4.held(sender), accept())
	// Nobody is a router here but the host.
	g.rule(pre, ip6, icmp6("nd-router-advert", routerAdvertisement), g.ours(), drop())
	g.rule(pre, ip6, icmp6("nd-redirect", redirect), g.ours(), drop())
	g.rule(pre, ip6, icmp6("nd-neighbor-advert", neighbourAdvertisement), in6.held(target), accept())
	g.rule(pre, ip6, icmp6("nd-neighbor-advert", neighbourAdvertisement), in6.elses(target), drop())
	g.rule(pre, ip6, in6.held(source6), accept())

	g.rule(pre, ip, in4.elses(source4), drop())
	g.rule(pre, arp, in4.elses(sender), drop())
	g.rule(pre, ip6, in6.elses(source6), drop())
	// One VLAN tag is taken off before this chain; who receives a frame takes off
	// more, if they are empty (priority tags). What is below a second one cannot
	// be judged here.
	g.rule(pre, ether("meta protocol 8021q", unix.ETH_P_8021Q), g.ours(), drop())
	g.rule(pre, ether("meta protocol 8021ad", unix.ETH_P_8021AD), g.ours(), drop())
}

// ether matches frames of one protocol; nft(8) does not write what the field
// that follows says anyway.
func ether(text string, proto uint16) part {
	return part{text, []expr.Any{
		&expr.Meta{Key: expr.MetaKeyPROTOCOL, Register: a16},
		&expr.Cmp{Op: expr.CmpOpEq, Register: a16, Data: binary.BigEndian.AppendUint16(nil, proto)},
	}}
}

// icmp6 matches one type of ICMPv6, behind whatever extension headers.
func icmp6(text string, kind byte) part {
	return part{"icmpv6 type " + text, append(l4("", unix.IPPROTO_ICMPV6).exprs,
		&expr.Payload{Base: expr.PayloadBaseTransportHeader, Offset: icmp6Type, Len: 1, DestRegister: a16},
		&expr.Cmp{Op: expr.CmpOpEq, Register: a16, Data: []byte{kind}})}
}

// field is where a frame has an address.
type field struct {
	text         string
	base         expr.PayloadBase
	offset, size uint32
}

func (x field) into(register uint32) expr.Any {
	return &expr.Payload{Base: x.base, Offset: x.offset, Len: x.size, DestRegister: register}
}

// held matches addresses that the sending container has.
func (f *guardSets) held(x field) part {
	return in("iifname . "+x.text, f.holds, &expr.Meta{Key: expr.MetaKeyIIFNAME, Register: a16}, x.into(b16))
}

// elses matches addresses that somebody has on the sending container's network.
// What does not come from a container passes: its link is in no such group.
func (f *guardSets) elses(x field) part {
	return in("iifgroup . "+x.text, f.taken, &expr.Meta{Key: expr.MetaKeyIIFGROUP, Register: a16}, x.into(b4))
}

// ours matches what comes from containers.
func (g *Guard) ours() part {
	return in("iifgroup", g.networks, &expr.Meta{Key: expr.MetaKeyIIFGROUP, Register: a16})
}
