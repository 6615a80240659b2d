package ipam

import (
	"encoding/binary"
	"fmt"
	"math"
	"net/netip"

	"github.com/containerd/errdefs"

	"github.com/berth-engine/berth/network/cover"
)

// Subnet is one subnet of a network, as it is kept on disk.
type Subnet struct {
	Prefix netip.Prefix `json:"prefix"`
	// Range is the part from which addresses are chosen; zero: all of it. Who
	// asks for a certain address may have one outside.
	Range netip.Prefix `json:"range,omitzero"`
	// Gateway is no container's; zero: the subnet has none.
	Gateway netip.Addr `json:"gateway,omitzero"`
	// Aux are addresses that others on the network have.
	Aux map[string]netip.Addr `json:"aux,omitempty"`
	// Chosen: nobody named the gateway.
	Chosen bool `json:"chosen,omitempty"`
	// Asked: somebody wanted this prefix; otherwise it was chosen.
	Asked bool `json:"asked,omitempty"`
}

// FirstGateway is the address that the gateway gets where nobody says another:
// the first that can be handed out.
func (s *Subnet) FirstGateway() (netip.Addr, error) {
	p, err := New(Subnet{Prefix: s.Prefix, Range: s.Range, Aux: s.Aux})
	if err != nil {
		return netip.Addr{}, err
	}
	return p.Take()
}

// Edges are the addresses of a subnet that are nobody's: that of the network,
// and in IPv4 the one for broadcasts. Two addresses are both used (RFC 3021).
func (s *Subnet) Edges() []netip.Addr {
	first, last := cover.Bounds(s.Prefix)
	switch {
	case s.Prefix.Bits() >= first.BitLen()-1:
		return nil
	case first.Is6():
		return []netip.Addr{first} // all routers of the subnet (RFC 4291, 2.6.1)
	}
	return []netip.Addr{first, last}
}

func (s *Subnet) check() error {
	refuse := func(format string, args ...any) error {
		return fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), errdefs.ErrInvalidArgument)
	}
	inside := func(a netip.Addr) bool { return s.Prefix.Contains(a) }
	switch {
	case !s.Prefix.IsValid() || s.Prefix.Masked() != s.Prefix:
		return refuse("invalid subnet %s", s.Prefix)
	case s.Range.IsValid() && (s.Range.Masked() != s.Range || !inside(s.Range.Addr()) || s.Range.Bits() < s.Prefix.Bits()):
		return refuse("range %s is outside subnet %s", s.Range, s.Prefix)
	case s.Gateway.IsValid() && !inside(s.Gateway):
		return refuse("gateway %s is outside subnet %s", s.Gateway, s.Prefix)
	}
	for name, a := range s.Aux {
		if !inside(a) {
			return refuse("auxiliary address %s (%s) is outside subnet %s", a, name, s.Prefix)
		}
		if a == s.Gateway {
			return refuse("auxiliary address %s (%s) is the gateway's", a, name)
		}
	}
	return nil
}

// span is how many addresses there are from first to last, at most MaxUint64.
func span(first, last netip.Addr) uint64 {
	a, b := first.As16(), last.As16()
	if binary.BigEndian.Uint64(b[:]) != binary.BigEndian.Uint64(a[:]) {
		return math.MaxUint64
	}
	n := binary.BigEndian.Uint64(b[8:]) - binary.BigEndian.Uint64(a[8:])
	if n == math.MaxUint64 {
		return n
	}
	return n + 1
}
