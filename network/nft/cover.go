package nft

import (
	"net/netip"

	"github.com/google/nftables"

	"github.com/berth-engine/berth/network/cover"
)

// elements are spans as a set has them: however many networks follow one
// another, they are one element, and the kernel has little to copy when one more
// comes.
func elements(spans []cover.Span) []nftables.SetElement {
	var out []nftables.SetElement
	for _, s := range spans {
		out = append(out, nftables.SetElement{Key: s.First.AsSlice()}, nftables.SetElement{Key: s.Last.Next().AsSlice(), IntervalEnd: true})
	}
	return out
}

// covered is a network of a set of spans.
type covered struct {
	set *nftables.Set
	p   netip.Prefix
}
