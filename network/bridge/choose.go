package bridge

import (
	"net/netip"
	"time"

	"github.com/berth-engine/berth/kernel/netlink"
	"github.com/berth-engine/berth/network/ipam"
)

// settle is how long another engine that chose the same network at the same
// moment has to give way.
const settle = 50 * time.Millisecond

// choose takes the first network that overlaps with nothing on the host,
// beginning with the preferred one.
func (b *Bridge) choose(o *Options) error {
	refused := &ipam.Taken{}
	for _, a := range o.Avoid {
		refused.Add(netip.PrefixFrom(a, a.BitLen()))
	}
	for {
		p, err := b.free(o, refused)
		if err != nil {
			return err
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
		refused.Add(p)
	}
}

// free finds a network that nobody on the host has now.
func (b *Bridge) free(o *Options, refused *ipam.Taken) (netip.Prefix, error) {
	all, err := b.others()
	if err != nil {
		return netip.Prefix{}, err
	}
	taken := &ipam.Taken{}
	for _, x := range all {
		taken.Add(x.Prefix)
	}
	if p := o.Prefer.Masked(); p.IsValid() {
		_, has := taken.Overlap(p)
		if _, bad := refused.Overlap(p); !has && !bad {
			return p, nil
		}
	}
	return o.Pools.Choose(false, taken, refused)
}

// overlap returns the index of another link with an address or a route in p,
// or 0.
func (b *Bridge) overlap(p netip.Prefix) (int, error) {
	all, err := b.others()
	for _, x := range all {
		if x.Prefix.Overlaps(p) {
			return x.Index, nil
		}
	}
	return 0, err
}

// others are the addresses of other links, and what their routes lead to, but for
// default routes.
func (b *Bridge) others() ([]netlink.Addr, error) {
	all, err := b.conn.Addrs()
	if err != nil {
		return nil, err
	}
	routes, err := b.conn.Routes()
	if err != nil {
		return nil, err
	}
	var out []netlink.Addr
	for _, r := range routes {
		if r.To.Bits() > 0 {
			// A blackhole route has no link, and is somebody else's.
			all = append(all, netlink.Addr{Index: max(r.Index, netlink.LoopbackIndex), Prefix: r.To})
		}
	}
	for _, x := range all {
		if x.Index != b.link.Index {
			out = append(out, x)
		}
	}
	return out, nil
}
