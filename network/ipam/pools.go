package ipam

import (
	"crypto/rand"
	"fmt"
	"net/netip"

	"github.com/containerd/errdefs"

	"github.com/berth-engine/berth/network/cover"
)

// Area is address space that subnets of one size are cut from.
type Area struct {
	Base netip.Prefix
	Bits int // prefix length of each subnet
}

// Areas are tried one after the other.
type Areas []Area

// DefaultPools are Docker's: for IPv4 172.17.0.0/16 to 172.31.0.0/16 and
// 192.168.0.0/20 to 192.168.240.0/20.
var DefaultPools = func() Areas {
	var out Areas
	for n := byte(17); n <= 31; n++ {
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{172, n, 0, 0}), 16)
		out = append(out, Area{p, 16})
	}
	return append(out, Area{netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 168, 0, 0}), 16), 20})
}()

// Check tells what is wrong with an area.
func (a Area) Check() error {
	switch {
	case !a.Base.IsValid() || a.Base.Masked() != a.Base:
		return fmt.Errorf("invalid address pool %s: %w", a.Base, errdefs.ErrInvalidArgument)
	case a.Bits < a.Base.Bits() || a.Bits > a.Base.Addr().BitLen():
		return fmt.Errorf("invalid address pool %s: no subnets of size %d: %w", a.Base, a.Bits, errdefs.ErrInvalidArgument)
	}
	return nil
}

// maxSubnets bounds how many subnets of one area are looked at, so that a
// refusal is quick.
const maxSubnets = 1 << 16

// Choose returns the first subnet of a family that nobody has taken. It fails with
// Docker's text.
func (as Areas) Choose(six bool, taken ...*Taken) (netip.Prefix, error) {
	for _, a := range as {
		if a.Base.Addr().Is6() != six {
			continue
		}
		if p, ok := a.choose(taken); ok {
			return p, nil
		}
	}
	return netip.Prefix{}, fmt.Errorf("all predefined address pools have been fully subnetted: %w", errdefs.ErrInvalidArgument)
}

// choose goes from one end of what is in the way to the next.
func (a Area) choose(taken []*Taken) (netip.Prefix, bool) {
	p := netip.PrefixFrom(a.Base.Addr(), a.Bits)
	for range maxSubnets {
		last, ok := behind(p, taken)
		if !ok {
			return p, true
		}
		next := last.Next()
		if !next.IsValid() || !a.Base.Contains(next) {
			break
		}
		if p = netip.PrefixFrom(next, a.Bits); p != p.Masked() { // some of it is taken, too
			_, last = cover.Bounds(p)
			if next = last.Next(); !next.IsValid() || !a.Base.Contains(next) {
				break
			}
			p = netip.PrefixFrom(next, a.Bits)
		}
	}
	return netip.Prefix{}, false
}

// behind is the last address of what is in the way of a subnet; ok: something is.
func behind(p netip.Prefix, taken []*Taken) (last netip.Addr, ok bool) {
	for _, t := range taken {
		if s, overlaps := t.Overlap(p); overlaps && (!ok || last.Less(s.Last)) {
			last, ok = s.Last, true
		}
	}
	return last, ok
}

// HasSix tells whether an area has IPv6 subnets.
func (as Areas) HasSix() bool {
	for _, a := range as {
		if a.Base.Addr().Is6() {
			return true
		}
	}
	return false
}

// LocalArea makes a site's unique local prefix (RFC 4193, 3.2.2), of which
// subnets of 64 bits are cut.
func LocalArea() Area {
	b := [16]byte{0xfd}
	rand.Read(b[1:6])
	return Area{netip.PrefixFrom(netip.AddrFrom16(b), 48), 64}
}

// Contain tells whether a subnet is one that is cut from an area.
func (as Areas) Contain(p netip.Prefix) bool {
	for _, a := range as {
		if a.Bits == p.Bits() && a.Base.Contains(p.Addr()) {
			return true
		}
	}
	return false
}
