package ipam

import (
	"net/netip"
	"slices"
)

// Taken is address space that somebody has: networks that do not overlap, in
// order. Questions cost little even if there are ten thousand.
type Taken []netip.Prefix

// TakenBy puts networks in order, and leaves out those that are within others.
func TakenBy(all []netip.Prefix) Taken {
	all = slices.Clone(all)
	slices.SortFunc(all, func(a, b netip.Prefix) int {
		if c := a.Addr().Compare(b.Addr()); c != 0 {
			return c
		}
		return a.Bits() - b.Bits()
	})
	var out Taken
	for _, p := range all {
		if n := len(out); n > 0 && out[n-1].Overlaps(p) {
			continue
		}
		out = append(out, p)
	}
	return out
}

// Overlap returns a network that has addresses of p; ok: there is one.
func (t Taken) Overlap(p netip.Prefix) (other netip.Prefix, ok bool) {
	i, _ := slices.BinarySearchFunc(t, p.Addr(), func(x netip.Prefix, a netip.Addr) int { return x.Addr().Compare(a) })
	for _, k := range []int{i - 1, i} {
		if k >= 0 && k < len(t) && t[k].Overlaps(p) {
			return t[k], true
		}
	}
	return netip.Prefix{}, false
}
