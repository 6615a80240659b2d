package nft

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/containerd/errdefs"
	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"golang.org/x/sys/unix"
)

// Guard is a second table, of the family bridge, which sees what containers say
// on their own networks: none can speak under an address that somebody else has
// there, nor pass for a router. An address that nobody has is free, as a virtual
// one of a program like keepalived is. What one container costs does not grow
// with the number of others: its frames meet one lookup, and its addresses are
// elements of sets.
type Guard struct {
	ruleset
	networks *nftables.Set // groups of containers' links, one for each network
	of       [2]guardSets  // IPv4, IPv6
}

type guardSets struct {
	*family
	holds *nftables.Set // link . address
	taken *nftables.Set // group . address
}

// Holder is who has addresses on a network.
type Holder struct {
	// Group is that of the links of the network's containers on the host
	// (IFLA_GROUP), by which this table knows networks; not 0.
	Group uint32
	Link  string // the container's link; "": the host itself
	// Addresses that nobody else may speak under.
	Addresses []netip.Addr
}

// OpenGuard connects to the kernel; nothing is changed yet.
func OpenGuard(name string) (*Guard, error) {
	g := &Guard{}
	if err := g.connect(name, nftables.TableFamilyBridge); err != nil {
		return nil, err
	}
	add := func(x nftables.Set) *nftables.Set {
		set := newSet(g.table, x)
		g.all = append(g.all, set)
		return set
	}
	link := nftables.TypeIFName
	g.networks = add(nftables.Set{Name: "networks", KeyType: nftables.TypeDevGroup})
	for i, f := range []*family{&four, &six} {
		g.of[i] = guardSets{
			family: f,
			holds:  add(nftables.Set{Name: "holds" + f.digit, KeyType: nftables.MustConcatSetType(link, f.address)}),
			taken:  add(nftables.Set{Name: "taken" + f.digit, KeyType: nftables.MustConcatSetType(nftables.TypeDevGroup, f.address)}),
		}
	}
	return g, nil
}

// Replace makes the table what the holders say, in one transaction, whatever
// was there before; with keep, what was protected stays so. A kernel without
// tables of the family bridge is errdefs.ErrNotImplemented.
func (g *Guard) Replace(holders []Holder, keep bool) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	c := content{}
	if keep {
		if err := g.read(c); err != nil {
			return err
		}
	}
	if err := g.empty(); err != nil {
		return err
	}
	if err := g.addSets(); err != nil {
		return err
	}
	g.chains()
	for i := range holders {
		g.holder(&holders[i], c)
	}
	if err := g.change(c, g.conn.SetAddElements); err != nil {
		return err
	}
	err := g.flush("replace table bridge " + g.table.Name)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EAFNOSUPPORT) {
		return fmt.Errorf("%w: %w", err, errdefs.ErrNotImplemented)
	}
	return err
}

// read gets all elements of a table that is there.
func (g *Guard) read(c content) error {
	there, err := g.there()
	if err != nil || !there {
		return err
	}
	for _, set := range g.all {
		elements, err := g.elements(set)
		if err != nil {
			return err
		}
		for _, e := range elements {
			c.add(set, nftables.SetElement{Key: e.Key})
		}
	}
	return nil
}

// Add protects a holder's addresses.
func (g *Guard) Add(h Holder) error { return g.alter(h, "guard", g.conn.SetAddElements) }

// Remove takes back what Add did for the same value.
func (g *Guard) Remove(h Holder) error {
	return g.alter(h, "no longer guard", g.conn.SetDeleteElements)
}

func (g *Guard) alter(h Holder, what string, do func(*nftables.Set, []nftables.SetElement) error) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	c := content{}
	g.holder(&h, c)
	if err := g.change(c, do); err != nil {
		return err
	}
	return g.flush(what + " " + h.Link)
}

// Delete removes the table; it is no error if there is none.
func (g *Guard) Delete() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if there, err := g.there(); err != nil || !there {
		return err
	}
	g.conn.DelTable(g.table)
	g.owned = false
	return g.flush("delete table bridge " + g.table.Name)
}

// holder is what the sets say about a holder. Whoever is the host brings the
// network along.
func (g *Guard) holder(h *Holder, c content) {
	group := binaryutil.NativeEndian.PutUint32(h.Group)
	if h.Link == "" {
		c.add(g.networks, nftables.SetElement{Key: group})
	}
	for _, a := range h.Addresses {
		f := &g.of[0]
		if a.Is6() {
			f = &g.of[1]
		}
		if h.Link != "" {
			c.add(f.holds, nftables.SetElement{Key: append(ifname(h.Link), a.AsSlice()...)})
		}
		c.add(f.taken, nftables.SetElement{Key: slices.Concat(group, a.AsSlice())})
	}
}
