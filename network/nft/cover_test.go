package nft

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
		var c cover
		kernel := map[span]bool{}
		in := map[byte]bool{}
		for range 60 {
			n := byte(r.IntN(24))
			p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, n, 0}), 24)
			change := c.add
			if in[n] {
				change = c.remove
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
			var want []span
			for n := range byte(24) {
				if !in[n] {
					continue
				}
				first, last := bounds(netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, n, 0}), 24))
				if k := len(want); k > 0 && want[k-1].last.Next() == first {
					want[k-1].last = last
				} else {
					want = append(want, span{first, last})
				}
			}
			if !slices.Equal(c, want) || len(kernel) != len(want) {
				t.Fatalf("%v, want %v; the kernel has %v", c, want, kernel)
			}
		}
	}
}
