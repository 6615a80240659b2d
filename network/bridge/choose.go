package bridge

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/containerd/errdefs"
)

// settle is how long another engine that chose the same network at the same
// moment has to give way.
const settle = 50 * time.Millisecond

// choose takes the first network that overlaps with nothing on the host,
// beginning with the preferred one.
func (b *Bridge) choose(o *Options) error {
	all := o.Pools.Prefixes()
	if o.Prefer.IsValid() {
		all = slices.Insert(all, 0, o.Prefer.Masked())
	}
	for _, p := range all {
		if holdsAny(p, o.Avoid) {
			continue
		}
		if other, err := b.overlap(p); err != nil || other != 0 {
			if err != nil {
				return err
			}
			continue
		}
		address := netip.PrefixFrom(p.Addr().Next(), p.Bits())
		if err := b.take(address); err != nil {
			return err
		}
		// Another engine may have looked before we took it. The one with the
		// younger bridge gives way.
		other, err := b.overlap(p)
		if err == nil && other > b.link.Index {
			time.Sleep(settle)
			other, err = b.overlap(p)
		}
		if err != nil {
			return err
		}
		if other == 0 {
			b.address = address
			return nil
		}
		if err := b.conn.DelAddr(b.link.Index, address); err != nil {
			return err
		}
	}
	return fmt.Errorf("all predefined address pools have been fully subnetted: %w", errdefs.ErrResourceExhausted)
}

func holdsAny(p netip.Prefix, addrs []netip.Addr) bool {
	return slices.ContainsFunc(addrs, p.Contains)
}

// overlap returns the index of another link with an address or a route in p,
// or 0.
func (b *Bridge) overlap(p netip.Prefix) (int, error) {
	addrs, err := b.conn.Addrs()
	if err != nil {
		return 0, err
	}
	for _, a := range addrs {
		if a.Index != b.link.Index && a.Prefix.Overlaps(p) {
			return a.Index, nil
		}
	}
	routes, err := b.conn.Routes()
	if err != nil {
		return 0, err
	}
	for _, r := range routes {
		if r.Index != b.link.Index && r.To.Bits() > 0 && r.To.Overlaps(p) {
			return max(r.Index, 1), nil // a blackhole route has no link
		}
	}
	return 0, nil
}
