package nft

import (
	"net/netip"
	"slices"

	"github.com/google/nftables"
)

// span is addresses in a row, the first and the last.
type span struct{ first, last netip.Addr }

// cover is networks as spans, in order, those that touch joined: however many
// networks follow one another, they are one element of a set, and the kernel
// has little to copy when one more comes.
type cover []span

// search is where the first span is that ends at a or after it.
func (c cover) search(a netip.Addr) int {
	i, _ := slices.BinarySearchFunc(c, a, func(s span, a netip.Addr) int { return s.last.Compare(a) })
	return i
}

// add puts a network in, and returns which spans take the place of which.
func (c *cover) add(p netip.Prefix) (gone, fresh []span) {
	first, last := bounds(p)
	s := span{first, last}
	from := c.search(s.first)
	if from > 0 && (*c)[from-1].last.Next() == s.first {
		from--
	}
	to := from
	for to < len(*c) && ((*c)[to].first.Compare(s.last) <= 0 || (*c)[to].first.Prev() == s.last) {
		if (*c)[to].first.Less(s.first) {
			s.first = (*c)[to].first
		}
		if s.last.Less((*c)[to].last) {
			s.last = (*c)[to].last
		}
		to++
	}
	gone = slices.Clone((*c)[from:to])
	*c = slices.Replace(*c, from, to, s)
	return gone, []span{s}
}

// remove takes a network out that add put in.
func (c *cover) remove(p netip.Prefix) (gone, fresh []span) {
	first, last := bounds(p)
	i := c.search(first)
	if i == len(*c) || first.Less((*c)[i].first) || (*c)[i].last.Less(last) {
		return nil, nil
	}
	whole := (*c)[i]
	if whole.first.Less(first) {
		fresh = append(fresh, span{whole.first, first.Prev()})
	}
	if last.Less(whole.last) {
		fresh = append(fresh, span{last.Next(), whole.last})
	}
	*c = slices.Replace(*c, i, i+1, fresh...)
	return []span{whole}, fresh
}

// elements are spans as a set has them.
func elements(spans []span) []nftables.SetElement {
	var out []nftables.SetElement
	for _, s := range spans {
		out = append(out, nftables.SetElement{Key: s.first.AsSlice()}, nftables.SetElement{Key: s.last.Next().AsSlice(), IntervalEnd: true})
	}
	return out
}

// covered is a network of a set of spans.
type covered struct {
	set *nftables.Set
	p   netip.Prefix
}
