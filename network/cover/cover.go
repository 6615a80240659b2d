// Package cover joins networks that follow one another: what ten thousand of
// them cover is a few spans of addresses, which cost little to keep and to ask.
package cover

import (
	"net/netip"
	"slices"
)

// Span is addresses in a row, the first and the last.
type Span struct{ First, Last netip.Addr }

// Cover is networks as spans, in order, those that touch joined.
type Cover []Span

// Bounds are a network's first and last address.
func Bounds(p netip.Prefix) (first, last netip.Addr) {
	first = p.Masked().Addr()
	end := first.AsSlice()
	for i := p.Bits(); i < first.BitLen(); i++ {
		end[i/8] |= 0x80 >> (i % 8)
	}
	last, _ = netip.AddrFromSlice(end)
	return first, last
}

// search is where the first span is that ends at a or after it.
func (c Cover) search(a netip.Addr) int {
	i, _ := slices.BinarySearchFunc(c, a, func(s Span, a netip.Addr) int { return s.Last.Compare(a) })
	return i
}

// Overlap returns a span that has addresses of a network; ok: there is one.
func (c Cover) Overlap(p netip.Prefix) (s Span, ok bool) {
	first, last := Bounds(p)
	i := c.search(first)
	if i == len(c) || last.Less(c[i].First) {
		return s, false
	}
	return c[i], true
}

// Add puts a network in, and returns which spans take the place of which.
func (c *Cover) Add(p netip.Prefix) (gone, fresh []Span) {
	first, last := Bounds(p)
	s := Span{first, last}
	from := c.search(s.First)
	if from > 0 && (*c)[from-1].Last.Next() == s.First {
		from--
	}
	to := from
	for to < len(*c) && ((*c)[to].First.Compare(s.Last) <= 0 || (*c)[to].First.Prev() == s.Last) {
		if (*c)[to].First.Less(s.First) {
			s.First = (*c)[to].First
		}
		if s.Last.Less((*c)[to].Last) {
			s.Last = (*c)[to].Last
		}
		to++
	}
	gone = slices.Clone((*c)[from:to])
	*c = slices.Replace(*c, from, to, s)
	return gone, []Span{s}
}

// Remove takes a network out that Add put in.
func (c *Cover) Remove(p netip.Prefix) (gone, fresh []Span) {
	first, last := Bounds(p)
	i := c.search(first)
	if i == len(*c) || first.Less((*c)[i].First) || (*c)[i].Last.Less(last) {
		return nil, nil
	}
	whole := (*c)[i]
	if whole.First.Less(first) {
		fresh = append(fresh, Span{whole.First, first.Prev()})
	}
	if last.Less(whole.Last) {
		fresh = append(fresh, Span{last.Next(), whole.Last})
	}
	*c = slices.Replace(*c, i, i+1, fresh...)
	return []Span{whole}, fresh
}
