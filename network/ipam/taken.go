package ipam

import (
	"net/netip"
	"slices"

	"github.com/berth-engine/berth/network/cover"
)

// Taken is address space that somebody has. What one more network costs, and a
// question, does not grow with their number as long as they follow one another.
// The zero Taken has none. It is not safe for concurrent use.
type Taken struct {
	networks []counted // in order; one within another comes after it
	union    cover.Cover
}

// counted is a network, and by how many it was added.
type counted struct {
	netip.Prefix
	times int
}

func compare(a counted, b netip.Prefix) int {
	if c := a.Addr().Compare(b.Addr()); c != 0 {
		return c
	}
	return a.Bits() - b.Bits()
}

// Add adds a network; it may be there, or overlap with others.
func (t *Taken) Add(p netip.Prefix) {
	p = p.Masked()
	i, there := slices.BinarySearchFunc(t.networks, p, compare)
	if there {
		t.networks[i].times++
		return
	}
	t.networks = slices.Insert(t.networks, i, counted{p, 1})
	t.union.Add(p)
}

// Remove takes back one Add; that of a network that is not there is nothing.
func (t *Taken) Remove(p netip.Prefix) {
	p = p.Masked()
	i, there := slices.BinarySearchFunc(t.networks, p, compare)
	if !there {
		return
	}
	if t.networks[i].times--; t.networks[i].times > 0 {
		return
	}
	t.networks = slices.Delete(t.networks, i, i+1)
	if t.within(p) {
		return
	}
	t.union.Remove(p)
	for ; i < len(t.networks) && p.Contains(t.networks[i].Addr()); i++ { // what it covered, too
		t.union.Add(t.networks[i].Prefix)
	}
}

// within tells whether a network is a part of a larger one that is there.
func (t *Taken) within(p netip.Prefix) bool {
	for bits := p.Bits() - 1; bits >= 0; bits-- {
		if _, there := slices.BinarySearchFunc(t.networks, netip.PrefixFrom(p.Addr(), bits).Masked(), compare); there {
			return true
		}
	}
	return false
}

// Overlap returns addresses in a row, all of them taken, of which some are of p;
// ok: there are such.
func (t *Taken) Overlap(p netip.Prefix) (cover.Span, bool) { return t.union.Overlap(p) }
