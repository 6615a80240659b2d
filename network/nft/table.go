// Package nft keeps Berth's one nftables table: which published port leads to
// which container, which networks reach each other, who may reach a container
// unasked, whose address is hidden on the way out. Every change is one
// transaction, so that no packet ever sees half of one. The rules are the same
// for any number of networks and ports, which are elements of sets: what one
// costs does not grow with the number of others.
//
// A second table, of the family bridge, keeps containers from taking each
// other's addresses (Guard).
//
// Nobody else's tables are touched. An accept here ends only our own chains: a
// host firewall that drops forwarded packets still does.
package nft

import (
	"net/netip"
	"slices"

	"github.com/google/nftables"

	"github.com/berth-engine/berth/network/cover"
)

// Table is the connection to the kernel and what was made. It is safe for
// concurrent use.
type Table struct {
	ruleset
	sets    *sets
	subnets map[netip.Prefix]Gateway // of the networks that there are
	covers  map[*nftables.Set]*cover.Cover
	spreads map[uint16]int // ports that are shared by so many: for each number there is a chain
	// unrelayed: the kernel cannot tell by sockets who reaches a published port over berth-netd.
	unrelayed bool
}

// Open connects to the kernel; nothing is changed yet.
func Open(name string) (*Table, error) {
	t := &Table{subnets: map[netip.Prefix]Gateway{}, covers: map[*nftables.Set]*cover.Cover{}, spreads: map[uint16]int{}}
	if err := t.connect(name, nftables.TableFamilyINet); err != nil {
		return nil, err
	}
	t.sets = newSets(t.table)
	t.all = t.sets.all
	return t, nil
}

// Replace makes the table what s says, in one transaction, whatever was there
// before.
func (t *Table) Replace(s State) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	err := t.replace(s)
	if unknown(err) && !t.unrelayed {
		t.unrelayed = true
		err = t.replace(s)
	}
	return err
}

func (t *Table) replace(s State) error {
	if err := t.makeUser(); err != nil {
		return err
	}
	if err := t.empty(); err != nil {
		return err
	}
	if err := t.addSets(); err != nil {
		return err
	}
	ports := runs(s.Ports)
	t.chains(&s, ports)
	clear(t.subnets)
	for i := range s.Networks {
		t.know(&s.Networks[i])
	}
	c := t.content(ports)
	clear(t.covers)
	for i := range s.Networks {
		for _, x := range t.sets.network(&s.Networks[i], c) {
			t.cover(x.set).Add(x.p)
		}
	}
	for set, spans := range t.covers {
		c.add(set, elements(*spans)...)
	}
	for i, names := range [][]string{s.Apart, s.Apart6} {
		for _, name := range names {
			c.add(t.sets.of[i].apart, link(name))
		}
	}
	if err := t.change(c, t.conn.SetAddElements); err != nil {
		return err
	}
	return t.flush("replace table " + t.table.Name)
}

// cover is what a set of spans has. After a change that failed it may be wrong,
// until Replace.
func (t *Table) cover(set *nftables.Set) *cover.Cover {
	if t.covers[set] == nil {
		t.covers[set] = &cover.Cover{}
	}
	return t.covers[set]
}

// AddNetwork lets a network in, with all that its containers may do.
func (t *Table) AddNetwork(n Network) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	gone, c := content{}, content{}
	for _, x := range t.sets.network(&n, c) {
		old, fresh := t.cover(x.set).Add(x.p)
		gone.add(x.set, elements(old)...)
		c.add(x.set, elements(fresh)...)
	}
	if err := t.exchange(gone, c); err != nil {
		return err
	}
	if err := t.flush("add network " + n.Bridge); err != nil {
		return err
	}
	t.know(&n)
	return nil
}

// know remembers a network's subnets.
func (t *Table) know(n *Network) {
	for _, p := range n.Subnets {
		t.subnets[p.Masked()] = n.gateway(p.Addr().Is6())
	}
}

// RemoveNetwork takes back what AddNetwork did for the same value. Its ports
// must have been removed.
func (t *Table) RemoveNetwork(n Network) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	gone, c := content{}, content{}
	for _, x := range t.sets.network(&n, gone) {
		old, fresh := t.cover(x.set).Remove(x.p)
		gone.add(x.set, elements(old)...)
		c.add(x.set, elements(fresh)...)
	}
	if err := t.exchange(gone, c); err != nil {
		return err
	}
	if err := t.flush("remove network " + n.Bridge); err != nil {
		return err
	}
	for _, p := range n.Subnets {
		delete(t.subnets, p.Masked())
	}
	return nil
}

// Ports reads from the kernel what is published; nothing if there is no table.
func (t *Table) Ports() ([]Port, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	there, err := t.there()
	if err != nil || !there {
		return nil, err
	}
	var out []Port
	for i := range t.sets.of {
		f := &t.sets.of[i]
		for _, set := range []*nftables.Set{f.published, f.any, f.ranges, f.opened, f.direct} {
			elements, err := t.elements(set)
			if err != nil {
				return nil, err
			}
			for _, e := range elements {
				out = append(out, f.parse(set, e)...)
			}
		}
		shared, err := t.readShared(f)
		if err != nil {
			return nil, err
		}
		out = append(out, shared...)
	}
	return out, nil
}

// Change publishes after in the place of before, in one transaction: what is in
// both is not touched, and what both have for a port of the host is at no moment
// closed. Before is as one call published it, because ports in a row are one
// element. On an error nothing is changed.
func (t *Table) Change(before, after []Port) error {
	old, next := runs(before), runs(after)
	gone, fresh := minus(old, next), minus(next, old)
	if len(gone)+len(fresh) == 0 {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range fresh {
		t.spread(&fresh[i].Port)
	}
	if err := t.exchange(t.content(gone), t.content(fresh)); err != nil {
		return err
	}
	for i := range gone {
		t.gather(&gone[i].Port)
	}
	return t.flush("publish ports")
}

// minus is what of a is not in b.
func minus(a, b []run) []run {
	if len(a) == 0 || len(b) == 0 {
		return a
	}
	have := make(map[run]bool, len(b))
	for _, r := range b {
		have[r] = true
	}
	return slices.DeleteFunc(slices.Clone(a), func(r run) bool { return have[r] })
}

// Delete removes the whole table.
func (t *Table) Delete() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.removeUser(); err != nil {
		return err
	}
	if there, err := t.there(); err != nil || !there {
		return err
	}
	t.conn.DelTable(t.table)
	t.owned = false
	return t.flush("delete table " + t.table.Name)
}
