// Package bridge makes the links that containers' interfaces are ports of, and
// namespaces that are plugged into them.
//
// A bridge without an IPv6 address is deaf to IPv6, and one with such an
// address believes no router: the host would believe what a container
// advertises (CVE-2020-13401).
package bridge

import (
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/containerd/errdefs"

	"github.com/berth-engine/berth/fault"
	"github.com/berth-engine/berth/kernel/netlink"
	"github.com/berth-engine/berth/network/ipam"
)

// alias marks links that were made here, and may be removed here. The owner
// follows after a space.
const alias = "berth"

// maxAlias is how long the kernel lets an alias be.
const maxAlias = 255

// Options says what the bridge is to be.
type Options struct {
	Name string
	// Address of the host on the bridge and the size of the network. Zero: that
	// of an existing link, or a free one.
	Address netip.Prefix
	// Prefer is the address to have again if it is free; what the bridge had
	// before, so that a network does not move from one run to the next.
	Prefer netip.Prefix
	// Pools are where a free address is taken from.
	Pools ipam.Areas
	// Six is the host's IPv6 address on the bridge; zero: it has none.
	Six netip.Prefix
	// Bare: without an Address there is none, and none is chosen.
	Bare bool
	// Isolate keeps containers from reaching each other over the bridge.
	Isolate bool
	MTU     int          // of containers' interfaces
	Avoid   []netip.Addr // which a chosen network must not contain
	// Owner says whose the bridge is; one that another owner made is refused if
	// that one is Alive.
	Owner string
	Alive func(owner string) bool
	Log   *slog.Logger
}

// Bridge is a link of the host, up, with an address.
type Bridge struct {
	conn    *netlink.Conn
	log     *slog.Logger
	link    netlink.Link
	address netip.Prefix // zero: none
	mtu     int
	isolate bool
	ours    bool
	mac     net.HardwareAddr
}

// Open makes the bridge, or takes over one that exists. It belongs to the
// network namespace of the calling thread, and conn must, too.
func Open(conn *netlink.Conn, o Options) (*Bridge, error) {
	b := &Bridge{conn: conn, log: o.Log, mtu: o.MTU, isolate: o.Isolate}
	link, err := conn.Whole(o.Name)
	if errdefs.IsNotFound(err) {
		link, err = b.create(&o)
	}
	if err != nil {
		return nil, err
	}
	b.link = link
	if link.Kind != "bridge" {
		return nil, errdefs.ErrFailedPrecondition.WithMessage(fmt.Sprintf("link %s is not a bridge but a %s", o.Name, link.Kind))
	}
	if err := b.own(&o); err != nil {
		return nil, err
	}
	if err := b.setAddress(o); err != nil {
		return nil, fmt.Errorf("address of bridge %s: %w", o.Name, err)
	}
	if err := b.setSix(o.Six); err != nil {
		return nil, fmt.Errorf("IPv6 address of bridge %s: %w", o.Name, err)
	}
	// Answers to the host's loopback come back through the bridge. Package nft
	// keeps containers from using it.
	if err := netlink.SetSysctl("ipv4/conf/"+o.Name+"/route_localnet", "1"); err != nil {
		return nil, err
	}
	if err := conn.SetUp(link.Index); err != nil {
		return nil, fmt.Errorf("bring up bridge %s: %w", o.Name, err)
	}
	if link, err = conn.Link(o.Name); err != nil {
		return nil, err
	}
	b.mac = link.MAC
	return b, nil
}

// Ours tells whether a link is one that an engine made.
func Ours(l netlink.Link) bool {
	mark, _, _ := strings.Cut(l.Alias, " ")
	return mark == alias
}

// own takes over a link that an engine made, unless it is another's that lives:
// whoever ends first would remove it under the other's containers.
func (b *Bridge) own(o *Options) error {
	mark, owner, _ := strings.Cut(b.link.Alias, " ")
	if b.ours = mark == alias; !b.ours || owner == o.Owner {
		return nil
	}
	if owner != "" && o.Alive != nil && o.Alive(owner) {
		return errdefs.ErrFailedPrecondition.WithMessage(fmt.Sprintf("bridge %s belongs to the engine with the exec-root %s: choose another name", o.Name, owner))
	}
	return b.conn.SetAlias(b.link.Index, o.alias())
}

func (o *Options) alias() string { return Alias(o.Owner) }

// Alias is the note on a link that says that an engine made it, and which.
func Alias(owner string) string {
	if a := alias + " " + owner; owner != "" && len(a) <= maxAlias {
		return a
	}
	return alias
}

func (b *Bridge) create(o *Options) (netlink.Link, error) {
	link, err := b.conn.AddBridge(o.Name, b.mtu)
	if err != nil {
		return link, err
	}
	undo := func(err error) (netlink.Link, error) {
		return link, errors.Join(err, b.conn.Delete(link.Index))
	}
	if err := fault.Point("network.bridge.made"); err != nil {
		return undo(err)
	}
	link.Alias = o.alias()
	if err := b.conn.SetAlias(link.Index, link.Alias); err != nil {
		return undo(err)
	}
	if err := netlink.DisableIPv6(o.Name); err != nil {
		return undo(err)
	}
	if err := b.conn.Finish(link.Index); err != nil {
		return undo(err)
	}
	return link, nil
}

// setAddress sees to it that the bridge has its address and no other.
func (b *Bridge) setAddress(o Options) error {
	all, err := b.conn.AddrsOf(b.link.Index)
	if err != nil {
		return err
	}
	has := slices.DeleteFunc(all, func(p netip.Prefix) bool { return p.Addr().Is6() })
	if !o.Address.IsValid() && !o.Bare {
		if len(has) > 0 {
			b.address = has[0]
			return nil
		}
		return b.choose(&o)
	}
	b.address = o.Address
	found := false
	for _, p := range has {
		if p == o.Address {
			found = true
			continue
		}
		if err := b.conn.DelAddr(b.link.Index, p); err != nil {
			return err
		}
	}
	if found {
		return nil
	}
	if !o.Address.IsValid() {
		return b.steady(o.Six.Addr())
	}
	return b.take(o.Address)
}

// setSix gives the bridge its IPv6 address, or sees to it that it hears none.
// One that existed before and is somebody else's is left as it is.
func (b *Bridge) setSix(want netip.Prefix) error {
	if !want.IsValid() {
		if !b.ours {
			return nil
		}
		return netlink.DisableIPv6(b.link.Name)
	}
	if err := netlink.EnableIPv6(b.link.Name); err != nil {
		return err
	}
	all, err := b.conn.AddrsOf(b.link.Index)
	if err != nil {
		return err
	}
	found := false
	for _, p := range all {
		switch {
		case !p.Addr().Is6() || p.Addr().IsLinkLocalUnicast():
		case p == want:
			found = true
		default:
			if err := b.conn.DelAddr(b.link.Index, p); err != nil {
				return err
			}
		}
	}
	if found {
		return nil
	}
	return b.conn.AddAddr(b.link.Index, want)
}

// take gives the bridge its address, and a hardware address that does not
// change with its ports.
func (b *Bridge) take(p netip.Prefix) error {
	if err := b.steady(p.Addr()); err != nil {
		return err
	}
	return b.conn.AddAddr(b.link.Index, p)
}

// steady gives the bridge a hardware address that does not change with its
// ports.
func (b *Bridge) steady(a netip.Addr) error {
	if !b.ours || !a.IsValid() {
		return nil
	}
	return b.conn.SetMAC(b.link.Index, MAC(a))
}

// MAC is the hardware address that belongs to an address: of an IPv4 address as
// Docker has it, of an IPv6 address a hash.
func MAC(a netip.Addr) net.HardwareAddr {
	if a.Is4() {
		return append(net.HardwareAddr{0x02, 0x42}, a.AsSlice()...)
	}
	h := fnv.New32a()
	h.Write(a.AsSlice()) // never fails
	return h.Sum(net.HardwareAddr{0x02, 0x42})
}

// UplinkMTU is the MTU of the way to the outside, by the host's default routes;
// at most Ethernet's.
func UplinkMTU(conn *netlink.Conn, defaults []netlink.Route) (int, error) {
	mtu := 1500
	for _, r := range defaults {
		l, err := conn.LinkAt(r.Index)
		if errdefs.IsNotFound(err) {
			continue // a blackhole route has no link
		}
		if err != nil {
			return 0, err
		}
		mtu = min(mtu, l.MTU)
	}
	return mtu, nil
}

// Name of the link.
func (b *Bridge) Name() string { return b.link.Name }

// Index of the link.
func (b *Bridge) Index() int { return b.link.Index }

// Address is the host's IPv4 address on the bridge with the network's size; zero
// if there is none.
func (b *Bridge) Address() netip.Prefix { return b.address }

// MAC is the host's hardware address on the bridge.
func (b *Bridge) MAC() net.HardwareAddr { return b.mac }

// MTU of containers' interfaces.
func (b *Bridge) MTU() int { return b.mtu }

// Remove removes the link, if Open or an earlier Open made it.
func (b *Bridge) Remove() error {
	if !b.ours {
		return nil
	}
	// A link that goes with routes has the kernel look through those of all links
	// (fib_flush); an address takes its own along.
	if b.address.IsValid() {
		_ = b.conn.DelAddr(b.link.Index, b.address) // it may be gone already
	}
	return b.conn.Delete(b.link.Index)
}

// Forget makes the bridge forget where it saw a container that has ended, so
// that the next one with its address is found at once. The kernel removes the
// old port only some time after its namespace.
func (b *Bridge) Forget(hostLink string, mac net.HardwareAddr) error {
	index, err := netlink.IndexOf(hostLink)
	if errdefs.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	return b.conn.ForgetMAC(index, mac)
}
