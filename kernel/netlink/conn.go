package netlink

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"

	"github.com/containerd/errdefs"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Conn is a lasting connection to the kernel. It is safe for concurrent use.
type Conn struct {
	h   *netlink.Handle
	raw map[int]*nl.SocketHandle // for the requests that the library has not

	links links
}

// Open connects to the network namespace of the calling thread.
func Open() (*Conn, error) { return openAt(netns.None()) }

// OpenIn connects to a network namespace.
func OpenIn(f *os.File) (*Conn, error) {
	c, err := openAt(netns.NsHandle(f.Fd()))
	runtime.KeepAlive(f)
	return c, err
}

func openAt(place netns.NsHandle) (*Conn, error) {
	h, err := netlink.NewHandleAt(place, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("rtnetlink: %w", err)
	}
	s, err := nl.GetNetlinkSocketAt(place, netns.None(), unix.NETLINK_ROUTE)
	if err != nil {
		h.Close()
		return nil, fmt.Errorf("rtnetlink: %w", err)
	}
	// Dumps with a filter are of that alone; an older kernel does not know.
	_ = unix.SetsockoptInt(s.GetFd(), unix.SOL_NETLINK, unix.NETLINK_GET_STRICT_CHK, 1)
	return &Conn{h: h, raw: map[int]*nl.SocketHandle{unix.NETLINK_ROUTE: {Socket: s}}}, nil
}

// Close ends the connection.
func (c *Conn) Close() {
	c.h.Close()
	c.raw[unix.NETLINK_ROUTE].Close()
	c.links.close()
}

// Link is a network interface.
type Link struct {
	Index  int
	Name   string
	Kind   string // "bridge", "veth", …; "device" for hardware
	Alias  string
	MTU    int
	Up     bool
	Peer   int // of one end of a veth: the index of the other, where that lives
	Master int // index of the bridge that it is a port of; 0: of none
	MAC    net.HardwareAddr

	unfinished bool
}

// LoopbackIndex is the number that lo has in every namespace.
const LoopbackIndex = 1

func convert(l netlink.Link) Link {
	a := l.Attrs()
	return Link{Index: a.Index, Name: a.Name, Kind: l.Type(), Alias: a.Alias, MTU: a.MTU, Up: a.Flags&net.FlagUp != 0, Peer: a.ParentIndex, Master: a.MasterIndex, MAC: a.HardwareAddr, unfinished: a.Group == unfinished}
}

// at is a link by number, which is all that most requests need.
func at(index int) netlink.Link {
	return &netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: index}}
}

// Link finds an interface by name.
func (c *Conn) Link(name string) (Link, error) {
	l, err := c.h.LinkByName(name)
	if missing := (netlink.LinkNotFoundError{}); errors.As(err, &missing) {
		return Link{}, fmt.Errorf("link %s: %w", name, errdefs.ErrNotFound)
	}
	if err != nil {
		return Link{}, fmt.Errorf("link %s: %w", name, err)
	}
	return convert(l), nil
}

// unfinished is the group (ip-link(8)) of links from when they are made until Finish.
const unfinished = 0x42657274

// Whole is Link for what is there for good: a link that was made and never finished,
// because whoever made it was killed, is removed, and not found.
func (c *Conn) Whole(name string) (Link, error) {
	l, err := c.Link(name)
	if err != nil || !l.unfinished {
		return l, err
	}
	if err := c.Delete(l.Index); err != nil {
		return Link{}, fmt.Errorf("remove unfinished link %s: %w", name, err)
	}
	return Link{}, fmt.Errorf("link %s: %w", name, errdefs.ErrNotFound)
}

// Finish says that a new link is as it is to be, and marked as its owner's. No note can
// be attached to a link while it is made, but a group can.
func (c *Conn) Finish(index int) error { return c.h.LinkSetGroup(at(index), 0) }

// IndexOf is the number of an interface of the calling thread's namespace. Unlike
// Link, it does not wait for the kernel's lock of links (netdevice(7)).
func IndexOf(name string) (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	req, err := unix.NewIfreq(name)
	if err != nil {
		return 0, fmt.Errorf("link %s: %w", name, err)
	}
	if err = unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, req); errors.Is(err, unix.ENODEV) {
		return 0, fmt.Errorf("link %s: %w", name, errdefs.ErrNotFound)
	}
	if err != nil {
		return 0, fmt.Errorf("link %s: %w", name, err)
	}
	return int(req.Uint32()), nil
}

// LinkAt finds an interface by its number.
func (c *Conn) LinkAt(index int) (Link, error) {
	l, err := c.h.LinkByIndex(index)
	if missing := (netlink.LinkNotFoundError{}); errors.As(err, &missing) || errors.Is(err, unix.ENODEV) {
		return Link{}, fmt.Errorf("link %d: %w", index, errdefs.ErrNotFound)
	}
	if err != nil {
		return Link{}, fmt.Errorf("link %d: %w", index, err)
	}
	return convert(l), nil
}

// Links lists the namespace's interfaces.
func (c *Conn) Links() ([]Link, error) {
	all, err := dump(c.h.LinkList)
	if err != nil {
		return nil, fmt.Errorf("list links: %w", err)
	}
	out := make([]Link, len(all))
	for i, l := range all {
		out[i] = convert(l)
	}
	return out, nil
}

// dump repeats a listing that changed while it was read.
func dump[T any](list func() ([]T, error)) (out []T, err error) {
	for range 8 {
		if out, err = list(); !errors.Is(err, netlink.ErrDumpInterrupted) {
			return out, err
		}
	}
	return out, err
}

// SetUp brings a link up.
func (c *Conn) SetUp(index int) error { return c.h.LinkSetUp(at(index)) }

// SetDown takes a link down.
func (c *Conn) SetDown(index int) error { return c.h.LinkSetDown(at(index)) }

// SetMTU changes how long a link's packets may be, in bytes.
func (c *Conn) SetMTU(index, mtu int) error { return c.h.LinkSetMTU(at(index), mtu) }

// Rename gives a link another name. Before Linux 6.2 it must be down.
func (c *Conn) Rename(index int, name string) error { return c.h.LinkSetName(at(index), name) }

// SetMaster makes a link a port of a bridge, and one of a group of links.
func (c *Conn) SetMaster(index, bridge int, group uint32) error {
	req := nl.NewNetlinkRequest(unix.RTM_SETLINK, unix.NLM_F_ACK)
	req.Sockets = c.raw
	msg := nl.NewIfInfomsg(unix.AF_UNSPEC)
	msg.Index = int32(index)
	req.AddData(msg)
	req.AddData(nl.NewRtAttr(unix.IFLA_MASTER, nl.Uint32Attr(uint32(bridge))))
	req.AddData(nl.NewRtAttr(unix.IFLA_GROUP, nl.Uint32Attr(group)))
	_, err := req.Execute(unix.NETLINK_ROUTE, 0)
	return err
}

// SetMAC changes a link's hardware address.
func (c *Conn) SetMAC(index int, mac net.HardwareAddr) error {
	return c.h.LinkSetHardwareAddr(at(index), mac)
}

// SetAlias attaches a note to a link, which `ip link` shows.
func (c *Conn) SetAlias(index int, alias string) error { return c.h.LinkSetAlias(at(index), alias) }

// Delete removes a link. It is synchronous and takes tens of milliseconds; a
// link in a namespace goes by itself with the namespace.
func (c *Conn) Delete(index int) error { return c.h.LinkDel(at(index)) }

// Addr is an address of a link.
type Addr struct {
	Index  int
	Prefix netip.Prefix
}

// Addrs lists the addresses of all links.
func (c *Conn) Addrs() ([]Addr, error) {
	all, err := dump(func() ([]netlink.Addr, error) { return c.h.AddrList(nil, netlink.FAMILY_ALL) })
	if err != nil {
		return nil, fmt.Errorf("list addresses: %w", err)
	}
	var out []Addr
	for _, a := range all {
		if p, ok := prefix(a.IPNet); ok {
			out = append(out, Addr{a.LinkIndex, p})
		}
	}
	return out, nil
}

// AddrsOf lists the addresses of one link. Since Linux 4.20 the kernel looks at
// no other.
func (c *Conn) AddrsOf(index int) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		req := nl.NewNetlinkRequest(unix.RTM_GETADDR, unix.NLM_F_DUMP)
		req.Sockets = c.raw
		msg := nl.NewIfAddrmsg(int(family))
		msg.Index = uint32(index)
		req.AddData(msg)
		all, err := dump(func() ([][]byte, error) { return req.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWADDR) })
		if err != nil {
			return nil, fmt.Errorf("list addresses of link %d: %w", index, err)
		}
		for _, b := range all {
			of := nl.DeserializeIfAddrmsg(b)
			if p, err := parseAddress(b); err == nil && of.Index == uint32(index) && of.Family == family {
				out = append(out, p)
			}
		}
	}
	return out, nil
}

// AddAddr gives a link an address. IPv6 addresses can be used at once: whoever
// hands them out sees to it that no other has them.
func (c *Conn) AddAddr(index int, p netip.Prefix) error {
	a := &netlink.Addr{IPNet: ipnet(p)}
	if p.Addr().Is6() {
		a.Flags = unix.IFA_F_NODAD
	}
	return c.h.AddrAdd(at(index), a)
}

// DelAddr takes an address away.
func (c *Conn) DelAddr(index int, p netip.Prefix) error {
	return c.h.AddrDel(at(index), &netlink.Addr{IPNet: ipnet(p)})
}

// Route is a route of the main table.
type Route struct {
	Index int
	To    netip.Prefix // 0 bits: the default route
	Via   netip.Addr   // zero: whoever is on the link
}

// Routes lists the routes of the main table.
func (c *Conn) Routes() ([]Route, error) {
	all, err := dump(func() ([]netlink.Route, error) { return c.h.RouteList(nil, netlink.FAMILY_ALL) })
	if err != nil {
		return nil, fmt.Errorf("list routes: %w", err)
	}
	var out []Route
	for _, r := range all {
		p, ok := prefix(r.Dst)
		if !ok {
			p = netip.PrefixFrom(netip.IPv4Unspecified(), 0)
		}
		via, _ := netip.AddrFromSlice(r.Gw)
		out = append(out, Route{r.LinkIndex, p, via.Unmap()})
	}
	return out, nil
}

// AddRoute adds a route to the main table.
func (c *Conn) AddRoute(r Route) error {
	k := r.kernel()
	if !r.Via.IsValid() {
		k.Scope = netlink.SCOPE_LINK
	}
	return c.h.RouteAdd(k)
}

// SetNamespace moves a link to another namespace; it is down there.
func (c *Conn) SetNamespace(index int, f *os.File) error {
	defer runtime.KeepAlive(f)
	return c.h.LinkSetNsFd(at(index), int(f.Fd()))
}

// DelRoute removes a route of the main table.
func (c *Conn) DelRoute(r Route) error {
	k := r.kernel()
	k.Scope = netlink.SCOPE_NOWHERE // whichever it has
	return c.h.RouteDel(k)
}

func (r Route) kernel() *netlink.Route {
	k := &netlink.Route{LinkIndex: r.Index, Dst: ipnet(r.To)}
	if r.Via.IsValid() {
		k.Gw = r.Via.AsSlice()
	}
	return k
}

func ipnet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

func prefix(n *net.IPNet) (netip.Prefix, bool) {
	if n == nil {
		return netip.Prefix{}, false
	}
	a, ok := netip.AddrFromSlice(n.IP)
	bits, _ := n.Mask.Size()
	return netip.PrefixFrom(a.Unmap(), bits), ok
}
