package nft

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// part is a piece of a rule: what the kernel is told, and how nft(8) writes it.
type part struct {
	text  string
	exprs []expr.Any
}

// Registers. A register of 16 bytes is also four of four: what begins at a16
// goes on in b4 after four bytes, in b16 after sixteen.
const (
	a16 = unix.NFT_REG_1
	b16 = unix.NFT_REG_2
	b4  = unix.NFT_REG32_01
	c4  = unix.NFT_REG32_02
	d4  = unix.NFT_REG32_03
	e4  = unix.NFT_REG32_04
	f4  = unix.NFT_REG32_05
	g4  = unix.NFT_REG32_06
)

// statusDNAT is IPS_DST_NAT of linux/netfilter/nf_conntrack_common.h: the
// connection's destination was changed.
const statusDNAT = 1 << 5

// rule adds a rule to a chain, its parts in order.
func (t *ruleset) rule(chain *nftables.Chain, parts ...part) {
	var all []expr.Any
	var text []string
	for _, p := range parts {
		all = append(all, p.exprs...)
		if p.text != "" {
			text = append(text, p.text)
		}
	}
	t.rules[chain.Name] = append(t.rules[chain.Name], strings.Join(text, " "))
	t.conn.AddRule(&nftables.Rule{Table: t.table, Chain: chain, Exprs: all})
}

func ifname(name string) []byte {
	data := make([]byte, unix.IFNAMSIZ)
	copy(data, name)
	return data
}

// family has the parts that differ between IPv4 and IPv6.
type family struct {
	digit   string
	word    string // as nft writes it before fields
	proto   byte
	size    uint32 // of an address
	src     uint32 // offset in the header
	dst     uint32
	port    uint32 // register after an address at a16, and the one after
	port2   uint32
	slot    uint32 // the one after these
	address nftables.SetDatatype
	zero    netip.Addr // as a host's: all that it has
}

var (
	four = family{"4", "ip", unix.NFPROTO_IPV4, 4, 12, 16, b4, c4, d4, nftables.TypeIPAddr, netip.IPv4Unspecified()}
	six  = family{"6", "ip6", unix.NFPROTO_IPV6, 16, 8, 24, e4, f4, g4, nftables.TypeIP6Addr, netip.IPv6Unspecified()}
)

// is matches packets of the family.
func (f *family) is() part {
	return part{"meta nfproto ipv" + f.digit, f.protoIs()}
}

func (f *family) protoIs() []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: a16},
		&expr.Cmp{Op: expr.CmpOpEq, Register: a16, Data: []byte{f.proto}},
	}
}

func (f *family) load(offset, register uint32) expr.Any {
	return &expr.Payload{Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: f.size, DestRegister: register}
}

// from and to match one network of addresses.
func (f *family) from(p netip.Prefix) part { return f.network("saddr", f.src, p) }
func (f *family) to(p netip.Prefix) part   { return f.network("daddr", f.dst, p) }

func (f *family) network(field string, offset uint32, p netip.Prefix) part {
	mask := make([]byte, f.size)
	for i := range p.Bits() {
		mask[i/8] |= 0x80 >> (i % 8)
	}
	text := p.String()
	exprs := append(f.protoIs(), f.load(offset, a16))
	if p.IsSingleIP() {
		text = p.Addr().String()
	} else {
		exprs = append(exprs, &expr.Bitwise{SourceRegister: a16, DestRegister: a16, Len: f.size, Mask: mask, Xor: make([]byte, f.size)})
	}
	exprs = append(exprs, &expr.Cmp{Op: expr.CmpOpEq, Register: a16, Data: p.Masked().Addr().AsSlice()})
	return part{f.word + " " + field + " " + text, exprs}
}

func port(register uint32) expr.Any {
	return &expr.Payload{Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2, DestRegister: register}
}

// elsewhere matches packets whose destination is no address of the host.
func elsewhere() part {
	return part{"fib daddr type != local", []expr.Any{
		&expr.Fib{Register: a16, ResultADDRTYPE: true, FlagDADDR: true},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: a16, Data: []byte{unix.RTN_LOCAL, 0, 0, 0}},
	}}
}

// own matches packets whose destination is of this kind on the link they come
// from.
func own(kind byte, word string) part {
	return part{"fib daddr . iif type " + word, []expr.Any{
		&expr.Fib{Register: a16, ResultADDRTYPE: true, FlagDADDR: true, FlagIIF: true},
		&expr.Cmp{Op: expr.CmpOpEq, Register: a16, Data: []byte{kind, 0, 0, 0}},
	}}
}

// hosts matches packets whose source is an address of the host.
func hosts() part {
	return part{"fib saddr type local", []expr.Any{
		&expr.Fib{Register: a16, ResultADDRTYPE: true, FlagSADDR: true},
		&expr.Cmp{Op: expr.CmpOpEq, Register: a16, Data: []byte{unix.RTN_LOCAL, 0, 0, 0}},
	}}
}

// strayed matches packets from a link by which nothing would be sent to their
// source.
func strayed() part {
	return part{"fib saddr . iif oif missing", []expr.Any{
		&expr.Fib{Register: a16, ResultOIF: true, FlagSADDR: true, FlagIIF: true, FlagPRESENT: true},
		&expr.Cmp{Op: expr.CmpOpEq, Register: a16, Data: make([]byte, 4)},
	}}
}

// in looks up what the expressions loaded, beginning at a16.
func in(text string, set *nftables.Set, load ...expr.Any) part {
	return part{text + " @" + set.Name, append(load, &expr.Lookup{SourceRegister: a16, SetName: set.Name, SetID: set.ID})}
}

func iifIn(set *nftables.Set) part {
	return in("iifname", set, &expr.Meta{Key: expr.MetaKeyIIFNAME, Register: a16})
}

func oifIn(set *nftables.Set) part {
	return in("oifname", set, &expr.Meta{Key: expr.MetaKeyOIFNAME, Register: a16})
}

func oifNotIn(set *nftables.Set) part {
	p := oifIn(set)
	p.text = "oifname != @" + set.Name
	p.exprs[len(p.exprs)-1].(*expr.Lookup).Invert = true
	return p
}

// linksIn looks up the links that a packet comes from and goes to.
func linksIn(set *nftables.Set) part { return in("iifname . oifname", set, links()...) }

func links() []expr.Any {
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: a16}, &expr.Meta{Key: expr.MetaKeyOIFNAME, Register: b16}}
}

// linksVerdict does what the map says about the two links.
func linksVerdict(set *nftables.Set) part {
	return part{"iifname . oifname vmap @" + set.Name, append(links(),
		&expr.Lookup{SourceRegister: a16, DestRegister: 0, IsDestRegSet: true, SetName: set.Name, SetID: set.ID})}
}

func conntrack(text string, key expr.CtKey, bits uint32) part {
	mask := []byte{byte(bits), byte(bits >> 8), byte(bits >> 16), byte(bits >> 24)}
	return part{text, []expr.Any{
		&expr.Ct{Key: key, Register: a16},
		&expr.Bitwise{SourceRegister: a16, DestRegister: a16, Len: 4, Mask: mask, Xor: make([]byte, 4)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: a16, Data: make([]byte, 4)},
	}}
}

func established() part {
	return conntrack("ct state established,related", expr.CtKeySTATE, expr.CtStateBitESTABLISHED|expr.CtStateBitRELATED)
}

// led matches connections whose destination a map has changed.
func led() part { return conntrack("ct status dnat", expr.CtKeySTATUS, statusDNAT) }

func verdict(text string, kind expr.VerdictKind) part {
	return part{text, []expr.Any{&expr.Verdict{Kind: kind}}}
}

func accept() part     { return verdict("accept", expr.VerdictAccept) }
func drop() part       { return verdict("drop", expr.VerdictDrop) }
func back() part       { return verdict("return", expr.VerdictReturn) }
func masquerade() part { return part{"masquerade", []expr.Any{&expr.Masq{}}} }

func goTo(chain *nftables.Chain) part {
	return part{"goto " + chain.Name, []expr.Any{&expr.Verdict{Kind: expr.VerdictGoto, Chain: chain.Name}}}
}

// l4 matches one protocol above IP.
func l4(text string, proto byte) part {
	return part{"meta l4proto " + text, []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: a16},
		&expr.Cmp{Op: expr.CmpOpEq, Register: a16, Data: []byte{proto}},
	}}
}

// iifIs matches packets that come from a link, oifIs those that go to it.
func iifIs(name string) part { return linkIs("iifname", expr.MetaKeyIIFNAME, name) }
func oifIs(name string) part { return linkIs("oifname", expr.MetaKeyOIFNAME, name) }

func linkIs(word string, key expr.MetaKey, name string) part {
	return part{word + ` "` + name + `"`, []expr.Any{
		&expr.Meta{Key: key, Register: a16},
		&expr.Cmp{Op: expr.CmpOpEq, Register: a16, Data: ifname(name)},
	}}
}

func (f *family) toIn(set *nftables.Set) part {
	return in(f.word+" daddr", set, append(f.protoIs(), f.load(f.dst, a16))...)
}

func (f *family) fromIn(set *nftables.Set) part {
	return in(f.word+" saddr", set, append(f.protoIs(), f.load(f.src, a16))...)
}

// atHome matches packets of a network that stay within it.
func (f *family) atHome(home *nftables.Set) part {
	return in("oifname . "+f.word+" saddr", home, append(f.protoIs(),
		&expr.Meta{Key: expr.MetaKeyOIFNAME, Register: a16}, f.load(f.src, b16))...)
}

// socketIn looks up where a packet goes.
func (f *family) socketIn(set *nftables.Set) part {
	return in(f.word+" daddr . meta l4proto . th dport", set, f.loadSocket()...)
}

// translate gives packets the source address that the map says, if it does.
func (f *family) translate(set *nftables.Set) part {
	return part{"snat " + f.word + " to " + f.word + " saddr map @" + set.Name, append(f.protoIs(),
		f.load(f.src, a16),
		&expr.Lookup{SourceRegister: a16, DestRegister: a16, IsDestRegSet: true, SetName: set.Name, SetID: set.ID},
		&expr.NAT{Type: expr.NATTypeSourceNAT, Family: uint32(f.proto), RegAddrMin: a16})}
}

// markIs matches packets by some bits of their mark.
func markIs(m Match) part {
	native := binaryutil.NativeEndian
	return part{fmt.Sprintf("meta mark & 0x%08x == 0x%08x", m.Mask, m.Mark), []expr.Any{
		&expr.Meta{Key: expr.MetaKeyMARK, Register: a16},
		&expr.Bitwise{SourceRegister: a16, DestRegister: a16, Len: 4, Mask: native.PutUint32(m.Mask), Xor: make([]byte, 4)},
		&expr.Cmp{Op: expr.CmpOpEq, Register: a16, Data: native.PutUint32(m.Mark)},
	}}
}

func marked(mark uint32) part {
	return part{fmt.Sprintf("meta mark 0x%08x", mark), []expr.Any{
		&expr.Meta{Key: expr.MetaKeyMARK, Register: a16},
		&expr.Cmp{Op: expr.CmpOpEq, Register: a16, Data: binaryutil.NativeEndian.PutUint32(mark)},
	}}
}

func ctMarked(mark uint32) part {
	return part{fmt.Sprintf("ct mark 0x%08x", mark), []expr.Any{
		&expr.Ct{Key: expr.CtKeyMARK, Register: a16},
		&expr.Cmp{Op: expr.CmpOpEq, Register: a16, Data: binaryutil.NativeEndian.PutUint32(mark)},
	}}
}

// loadSocket loads what a packet is for: address . protocol . port.
func (f *family) loadSocket() []expr.Any {
	return append(f.protoIs(), f.load(f.dst, a16), &expr.Meta{Key: expr.MetaKeyL4PROTO, Register: f.port}, port(f.port2))
}
