package nft

import (
	"fmt"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// Registers of four bytes: the first three parts of a key, and the two parts of
// what a map answers. Register 1 is the first of them under its old name.
const (
	reg0 = 1
	reg1 = 9
	reg2 = 10
)

// statusDNAT is IPS_DST_NAT of linux/netfilter/nf_conntrack_common.h: the
// connection's destination was changed.
const statusDNAT = 1 << 5

var loopback = netip.MustParsePrefix("127.0.0.0/8")

// chains adds the chains and rules for one bridge. `nft list table` shows them
// as docs/networking.md explains them.
func (t *Table) chains(n Network) error {
	accept := nftables.ChainPolicyAccept
	t.rules = map[string]int{}
	chain := func(name string, kind nftables.ChainType, hook *nftables.ChainHook, p *nftables.ChainPriority) *nftables.Chain {
		return t.conn.AddChain(&nftables.Chain{Name: name, Table: t.table, Type: kind, Hooknum: hook, Priority: p, Policy: &accept})
	}
	raw := chain("raw", nftables.ChainTypeFilter, nftables.ChainHookPrerouting, nftables.ChainPriorityRaw)
	// route_localnet is on for the bridge, so that answers to the host's
	// loopback come back; a container must not use it to reach the host's, nor
	// to pass for the host itself (CVE-2020-8558).
	t.rule(raw, iif(n.Bridge), daddr(loopback), drop())
	t.rule(raw, iif(n.Bridge), saddr(loopback), drop())

	pre := chain("prerouting", nftables.ChainTypeNAT, nftables.ChainHookPrerouting, nftables.ChainPriorityNATDest)
	// Ports bound to loopback are for local processes, whose packets do not
	// come this way. Only what is sent to the host itself is led on: a packet
	// that is merely forwarded is not ours (CVE-2025-67499).
	t.rule(pre, daddr(loopback), verdict(expr.VerdictReturn))
	t.rule(pre, local(), t.lookup(t.specific))
	t.rule(pre, local(), t.lookup(t.wildcard))

	out := chain("output", nftables.ChainTypeNAT, nftables.ChainHookOutput, nftables.ChainPriorityNATDest)
	t.rule(out, local(), t.lookup(t.specific))
	t.rule(out, local(), t.lookup(t.wildcard))

	post := chain("postrouting", nftables.ChainTypeNAT, nftables.ChainHookPostrouting, nftables.ChainPriorityNATSource)
	// Out into the world under the host's address.
	t.rule(post, oifNot(n.Bridge), saddr(n.Subnet), masquerade())
	// From the host's loopback to a container: it could not answer 127.0.0.1.
	t.rule(post, oif(n.Bridge), saddr(loopback), masquerade())
	// A container that calls a published port of its own network: the answer
	// must come back through here. (The input link cannot be asked for: with
	// br_netfilter, it is not known at this point.)
	t.rule(post, oif(n.Bridge), saddr(n.Subnet), ctStatus(statusDNAT), masquerade())

	forward := chain("forward", nftables.ChainTypeFilter, nftables.ChainHookForward, nftables.ChainPriorityFilter)
	if len(n.Apart) > 0 {
		apart := &nftables.Set{Table: t.table, Name: "apart", KeyType: nftables.TypeIFName, KeyByteOrder: binaryutil.NativeEndian}
		var links []nftables.SetElement
		for _, name := range n.Apart {
			links = append(links, nftables.SetElement{Key: ifname(name)})
		}
		if err := t.conn.AddSet(apart, links); err != nil {
			return fmt.Errorf("nftables set %s: %w", apart.Name, err)
		}
		t.rule(forward, among(expr.MetaKeyIIFNAME, apart), among(expr.MetaKeyOIFNAME, apart), drop())
	}
	t.rule(forward, oifNot(n.Bridge), verdict(expr.VerdictAccept))
	t.rule(forward, iif(n.Bridge), verdict(expr.VerdictAccept))
	t.rule(forward, ctState(expr.CtStateBitESTABLISHED|expr.CtStateBitRELATED), verdict(expr.VerdictAccept))
	t.rule(forward, ctStatus(statusDNAT), verdict(expr.VerdictAccept))
	// Nobody reaches a port that was not published.
	t.rule(forward, drop())
	return nil
}

// among matches packets of a link whose name is in the set.
func among(key expr.MetaKey, set *nftables.Set) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: key, Register: reg0},
		&expr.Lookup{SourceRegister: reg0, SetName: set.Name, SetID: set.ID},
	}
}

func ifname(name string) []byte {
	data := make([]byte, unix.IFNAMSIZ)
	copy(data, name)
	return data
}

// lookup leads the packet to what the map answers for it, or goes on.
func (t *Table) lookup(set *nftables.Set) []expr.Any {
	proto := &expr.Meta{Key: expr.MetaKeyL4PROTO, Register: reg0}
	port := &expr.Payload{Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2, DestRegister: reg1}
	parts := []expr.Any{proto, port}
	if set == t.specific {
		proto.Register, port.DestRegister = reg1, reg2
		parts = append([]expr.Any{&expr.Payload{Base: expr.PayloadBaseNetworkHeader, Offset: 16, Len: 4, DestRegister: reg0}}, parts...)
	}
	return append(parts,
		&expr.Lookup{SourceRegister: reg0, DestRegister: reg0, IsDestRegSet: true, SetName: set.Name, SetID: set.ID},
		&expr.NAT{Type: expr.NATTypeDestNAT, Family: unix.NFPROTO_IPV4, RegAddrMin: reg0, RegProtoMin: reg1},
	)
}

// local matches packets whose destination is an address of the host.
func local() []expr.Any {
	return []expr.Any{
		&expr.Fib{Register: reg0, ResultADDRTYPE: true, FlagDADDR: true},
		&expr.Cmp{Op: expr.CmpOpEq, Register: reg0, Data: []byte{unix.RTN_LOCAL, 0, 0, 0}},
	}
}

func device(key expr.MetaKey, op expr.CmpOp, name string) []expr.Any {
	return []expr.Any{&expr.Meta{Key: key, Register: reg0}, &expr.Cmp{Op: op, Register: reg0, Data: ifname(name)}}
}

func iif(name string) []expr.Any    { return device(expr.MetaKeyIIFNAME, expr.CmpOpEq, name) }
func oif(name string) []expr.Any    { return device(expr.MetaKeyOIFNAME, expr.CmpOpEq, name) }
func oifNot(name string) []expr.Any { return device(expr.MetaKeyOIFNAME, expr.CmpOpNeq, name) }

func saddr(p netip.Prefix) []expr.Any { return address(12, p) }
func daddr(p netip.Prefix) []expr.Any { return address(16, p) }

func address(offset uint32, p netip.Prefix) []expr.Any {
	mask := make([]byte, 4)
	for i := range p.Bits() {
		mask[i/8] |= 0x80 >> (i % 8)
	}
	return []expr.Any{
		&expr.Payload{Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: 4, DestRegister: reg0},
		&expr.Bitwise{SourceRegister: reg0, DestRegister: reg0, Len: 4, Mask: mask, Xor: make([]byte, 4)},
		&expr.Cmp{Op: expr.CmpOpEq, Register: reg0, Data: p.Masked().Addr().AsSlice()},
	}
}

func conntrack(key expr.CtKey, bits uint32) []expr.Any {
	mask := []byte{byte(bits), byte(bits >> 8), byte(bits >> 16), byte(bits >> 24)}
	return []expr.Any{
		&expr.Ct{Key: key, Register: reg0},
		&expr.Bitwise{SourceRegister: reg0, DestRegister: reg0, Len: 4, Mask: mask, Xor: make([]byte, 4)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: reg0, Data: make([]byte, 4)},
	}
}

func ctState(bits uint32) []expr.Any  { return conntrack(expr.CtKeySTATE, bits) }
func ctStatus(bits uint32) []expr.Any { return conntrack(expr.CtKeySTATUS, bits) }

func verdict(kind expr.VerdictKind) []expr.Any { return []expr.Any{&expr.Verdict{Kind: kind}} }
func drop() []expr.Any                         { return verdict(expr.VerdictDrop) }
func masquerade() []expr.Any                   { return []expr.Any{&expr.Masq{}} }
