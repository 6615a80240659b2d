package nft

import (
	"fmt"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"

	"github.com/berth-engine/berth/network/cover"
)

// sets are the table's named sets and maps. Chains are the same for any number
// of networks and ports; these say which there are.
type sets struct {
	all []*nftables.Set

	bridges  *nftables.Set
	internal *nftables.Set // bridges of internal networks
	inside   *nftables.Set // bridge . bridge: what becomes of packets within a network
	lonely   *nftables.Set // bridges whose containers do not reach each other
	trusted  *nftables.Set // link . bridge

	of [2]familySets // IPv4, IPv6
}

// familySets are those that exist once for each address family.
type familySets struct {
	*family
	apart  *nftables.Set // links that forward nothing to each other
	inner  *nftables.Set // networks that nobody outside may address
	home   *nftables.Set // bridge . its network, where that is not hidden
	hidden *nftables.Set // networks that are masqueraded
	source *nftables.Set // network: address that it gets outside
	open   *nftables.Set // bridges into which everybody may send
	routed *nftables.Set // bridges in gateway mode routed

	published *nftables.Set // address . protocol . port: container's address . port
	any       *nftables.Set // protocol . port: the same
	ranges    *nftables.Set // address . protocol . port, intervals: container's address
	among     *nftables.Set // address . protocol . port, intervals: goto among how many
	shared    *nftables.Set // the same . which of them: container's address . port
	sharedIn  *nftables.Set // the same, of ranges: container's address
	opened    *nftables.Set // container's address . protocol . port
	direct    *nftables.Set // the same, for trusted links
}

func newSets(table *nftables.Table) *sets {
	s := &sets{}
	add := func(x nftables.Set) *nftables.Set {
		set := newSet(table, x)
		s.all = append(s.all, set)
		return set
	}
	concat := nftables.MustConcatSetType
	link := nftables.TypeIFName
	s.bridges = add(nftables.Set{Name: "bridges", KeyType: link})
	s.internal = add(nftables.Set{Name: "internal", KeyType: link})
	s.inside = add(nftables.Set{Name: "inside", IsMap: true, KeyType: concat(link, link), DataType: nftables.TypeVerdict})
	s.lonely = add(nftables.Set{Name: "lonely", KeyType: link})
	s.trusted = add(nftables.Set{Name: "trusted", KeyType: concat(link, link)})
	for i, f := range []*family{&four, &six} {
		address := f.address
		socket := concat(address, nftables.TypeInetProto, nftables.TypeInetService)
		target := concat(address, nftables.TypeInetService)
		slot := concat(address, nftables.TypeInetProto, nftables.TypeInetService, nftables.TypeMark)
		s.of[i] = familySets{
			family: f,
			apart:  add(nftables.Set{Name: "apart" + f.digit, KeyType: link}),
			inner:  add(nftables.Set{Name: "inner" + f.digit, KeyType: address, Interval: true}),
			home:   add(nftables.Set{Name: "home" + f.digit, KeyType: concat(link, address), Interval: true}),
			hidden: add(nftables.Set{Name: "hidden" + f.digit, KeyType: address, Interval: true}),
			source: add(nftables.Set{Name: "source" + f.digit, IsMap: true, KeyType: address, DataType: address, Interval: true}),
			open:   add(nftables.Set{Name: "open" + f.digit, KeyType: link}),
			routed: add(nftables.Set{Name: "routed" + f.digit, KeyType: link}),

			published: add(nftables.Set{Name: "published" + f.digit, IsMap: true, KeyType: socket, DataType: target, KeyByteOrder: binaryutil.BigEndian}),
			any: add(nftables.Set{
				Name: "published" + f.digit + "_any", IsMap: true, DataType: target, KeyByteOrder: binaryutil.BigEndian,
				KeyType: concat(nftables.TypeInetProto, nftables.TypeInetService),
			}),
			ranges:   add(nftables.Set{Name: "published" + f.digit + "_ranges", IsMap: true, KeyType: socket, DataType: address, Interval: true}),
			among:    add(nftables.Set{Name: "among" + f.digit, IsMap: true, KeyType: socket, DataType: nftables.TypeVerdict, Interval: true}),
			shared:   add(nftables.Set{Name: "shared" + f.digit, IsMap: true, KeyType: slot, DataType: target, Interval: true}),
			sharedIn: add(nftables.Set{Name: "shared" + f.digit + "_ranges", IsMap: true, KeyType: slot, DataType: address, Interval: true}),
			opened:   add(nftables.Set{Name: "opened" + f.digit, KeyType: socket, KeyByteOrder: binaryutil.BigEndian}),
			direct:   add(nftables.Set{Name: "direct" + f.digit, KeyType: socket, KeyByteOrder: binaryutil.BigEndian}),
		}
	}
	return s
}

// newSet completes a set of a table.
func newSet(table *nftables.Table, x nftables.Set) *nftables.Set {
	x.Table = table
	if x.KeyByteOrder == nil {
		x.KeyByteOrder = binaryutil.NativeEndian
	}
	x.Concatenation = len(nftables.ConcatSetTypeElements(x.KeyType)) > 1
	return &x
}

func (s *sets) family(a netip.Addr) *familySets {
	if a.Is6() {
		return &s.of[1]
	}
	return &s.of[0]
}

// content is elements by the set they are in.
type content map[*nftables.Set][]nftables.SetElement

func (c content) add(set *nftables.Set, e ...nftables.SetElement) { c[set] = append(c[set], e...) }

// change tells the kernel about elements, a bounded number in each message.
func (t *ruleset) change(c content, do func(*nftables.Set, []nftables.SetElement) error) error {
	for _, set := range t.all { // in a fixed order
		for list := c[set]; len(list) > 0; {
			n := min(len(list), batch)
			if err := do(set, list[:n]); err != nil {
				return fmt.Errorf("nftables set %s: %w", set.Name, err)
			}
			list = list[n:]
		}
	}
	return nil
}

// exchange puts elements in the place of others.
func (t *ruleset) exchange(gone, fresh content) error {
	if err := t.change(gone, t.conn.SetDeleteElements); err != nil {
		return err
	}
	return t.change(fresh, t.conn.SetAddElements)
}

// batch bounds how many elements one message carries, because a netlink
// message has a size. It is even: both ends of an interval stay together.
const batch = 256

func link(name string) nftables.SetElement { return nftables.SetElement{Key: ifname(name)} }

func linkPair(from, to string) nftables.SetElement {
	return nftables.SetElement{Key: append(ifname(from), ifname(to)...)}
}

// interval is all addresses of a network, with a value if it is a map's.
func interval(p netip.Prefix, value []byte) []nftables.SetElement {
	first, last := cover.Bounds(p)
	return []nftables.SetElement{{Key: first.AsSlice(), Val: value}, {Key: last.Next().AsSlice(), IntervalEnd: true}}
}

// network is what the sets say about a network; what it is a part of spans is
// the result.
func (s *sets) network(n *Network, c content) (spans []covered) {
	c.add(s.bridges, link(n.Bridge))
	pair := linkPair(n.Bridge, n.Bridge)
	pair.VerdictData = &expr.Verdict{Kind: expr.VerdictAccept}
	if n.NoICC {
		pair.VerdictData = &expr.Verdict{Kind: expr.VerdictGoto, Chain: lonely}
		c.add(s.lonely, link(n.Bridge))
	}
	c.add(s.inside, pair)
	if n.Internal {
		c.add(s.internal, link(n.Bridge))
	}
	for _, name := range n.Trusted {
		c.add(s.trusted, linkPair(name, n.Bridge))
	}
	seen := [2]bool{}
	for _, p := range n.Subnets {
		f := s.family(p.Addr())
		mode, source := n.gateway(p.Addr().Is6()), n.Source4
		first, last := cover.Bounds(p)
		if p.Addr().Is6() {
			source = n.Source6
		}
		if mode == NAT || mode == Isolated || n.Internal {
			spans = append(spans, covered{f.inner, p})
		}
		plain := n.Internal || n.NoMasquerade || mode == Routed || mode == Isolated
		switch {
		case plain:
		case source.IsValid():
			c.add(f.source, interval(p, source.AsSlice())...)
		default:
			spans = append(spans, covered{f.hidden, p})
		}
		if plain || source.IsValid() {
			c.add(f.home, nftables.SetElement{
				Key:    append(ifname(n.Bridge), first.AsSlice()...),
				KeyEnd: append(ifname(n.Bridge), last.AsSlice()...),
			})
		}
		i := 0
		if p.Addr().Is6() {
			i = 1
		}
		if seen[i] {
			continue
		}
		seen[i] = true
		switch mode {
		case Unprotected:
			c.add(f.open, link(n.Bridge))
		case Routed:
			c.add(f.routed, link(n.Bridge))
		case NAT, Isolated:
		}
	}
	return spans
}
