package cover

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
)

// TestCover puts networks in and takes them out in any order: what the kernel
// would have, told of the differences alone, is what there should be.
func TestCover(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var c Cover
		kernel := map[Span]bool{}
		in := map[byte]bool{}
		for range 60 {
			n := byte(r.IntN(24))
			p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, n, 0}), 24)
			change := c.Add
			if in[n] {
				change = c.Remove
			}
			in[n] = !in[n]
			gone, fresh := change(p)
			for _, s := range gone {
				if !kernel[s] {
					t.Fatalf("%v was not there", s)
				}
				delete(kernel, s)
			}
			for _, s := range fresh {
				if kernel[s] {
					t.Fatalf("%v is there twice", s)
				}
				kernel[s] = true
			}
			var want []Span
			for n := range byte(24) {
				if !in[n] {
					continue
				}
				first, last := Bounds(netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, n, 0}), 24))
				if k := len(want); k > 0 && want[k-1].Last.Next() == first {
					want[k-1].Last = last
				} else {
					want = append(want, Span{first, last})
				}
			}
			if !slices.Equal(c, want) || len(kernel) != len(want) {
				t.Fatalf("%v, want %v; the kernel has %v", c, want, kernel)
			}
		}
	}
}
