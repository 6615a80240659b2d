package netlink

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"

	"github.com/containerd/errdefs"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// macvlanModes are the kernel's modes by ip-link(8)'s names.
var macvlanModes = map[string]netlink.MacvlanMode{
	"bridge": netlink.MACVLAN_MODE_BRIDGE, "private": netlink.MACVLAN_MODE_PRIVATE,
	"vepa": netlink.MACVLAN_MODE_VEPA, "passthru": netlink.MACVLAN_MODE_PASSTHRU,
}

// ipvlanModes are the kernel's modes by ip-link(8)'s names.
var ipvlanModes = map[string]netlink.IPVlanMode{
	"l2": netlink.IPVLAN_MODE_L2, "l3": netlink.IPVLAN_MODE_L3, "l3s": netlink.IPVLAN_MODE_L3S,
}

// ipvlanFlags say whom an ipvlan's interfaces reach, by ip-link(8)'s names.
var ipvlanFlags = map[string]netlink.IPVlanFlag{
	"bridge": netlink.IPVLAN_FLAG_BRIDGE, "private": netlink.IPVLAN_FLAG_PRIVATE, "vepa": netlink.IPVLAN_FLAG_VEPA,
}

// Child is an interface on top of a link of the host, which is its parent.
type Child struct {
	Parent int    // index
	Name   string // in NS
	MTU    int    // 0: the parent's
	NS     *os.File
	Mode   string           // of a macvlan: bridge, private, vepa, passthru; of an ipvlan: l2, l3, l3s
	Flag   string           // of an ipvlan: bridge, private, vepa
	MAC    net.HardwareAddr // of a macvlan; nil: a random one
}

func (k *Child) attrs() netlink.LinkAttrs {
	a := netlink.NewLinkAttrs()
	a.Name, a.ParentIndex, a.MTU, a.HardwareAddr = k.Name, k.Parent, k.MTU, k.MAC
	a.Namespace = netlink.NsFd(int(k.NS.Fd()))
	return a
}

// AddMacvlan makes a macvlan, which is born in its namespace, and down.
func (c *Conn) AddMacvlan(k Child) error {
	err := c.h.LinkAdd(&netlink.Macvlan{LinkAttrs: k.attrs(), Mode: macvlanModes[k.Mode]})
	runtime.KeepAlive(k.NS)
	return lacking("macvlan", k.Name, err)
}

// AddIPvlan makes an ipvlan, which is born in its namespace, and down. It has
// the parent's hardware address.
func (c *Conn) AddIPvlan(k Child) error {
	err := c.h.LinkAdd(&netlink.IPVlan{LinkAttrs: k.attrs(), Mode: ipvlanModes[k.Mode], Flag: ipvlanFlags[k.Flag]})
	runtime.KeepAlive(k.NS)
	return lacking("ipvlan", k.Name, err)
}

// HasKind is nil if the kernel has links of a kind that is made on top of another
// link, such as "macvlan", and errdefs.ErrNotImplemented if it has not.
func (c *Conn) HasKind(kind string) error {
	// Without a parent nothing is made: a kernel that knows the kind says so.
	req := nl.NewNetlinkRequest(unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL|unix.NLM_F_ACK)
	req.Sockets = c.raw
	req.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
	info := nl.NewRtAttr(unix.IFLA_LINKINFO, nil)
	info.AddRtAttr(nl.IFLA_INFO_KIND, nl.NonZeroTerminated(kind))
	req.AddData(info)
	_, err := req.Execute(unix.NETLINK_ROUTE, 0)
	if errors.Is(err, unix.EOPNOTSUPP) {
		return lacking(kind, kind, err)
	}
	return nil
}

// AddVLAN makes the sub-interface of parent for a VLAN (IEEE 802.1Q) of the
// host's; it is down, and to be finished.
func (c *Conn) AddVLAN(name string, parent, id int) (Link, error) {
	a := netlink.NewLinkAttrs()
	a.Name, a.ParentIndex, a.Group = name, parent, unfinished
	if err := lacking("vlan", name, c.h.LinkAdd(&netlink.Vlan{LinkAttrs: a, VlanId: id, VlanProtocol: netlink.VLAN_PROTOCOL_8021Q})); err != nil {
		return Link{}, err
	}
	return c.Link(name)
}

// AddDummy makes a link that leads nowhere; it is down, and to be finished.
func (c *Conn) AddDummy(name string) (Link, error) {
	a := netlink.NewLinkAttrs()
	a.Name, a.Group = name, unfinished
	if err := lacking("dummy", name, c.h.LinkAdd(&netlink.Dummy{LinkAttrs: a})); err != nil {
		return Link{}, err
	}
	return c.Link(name)
}

// lacking tells apart a kernel that has no links of a kind.
func lacking(kind, name string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.EOPNOTSUPP):
		return fmt.Errorf("make link %s: this kernel has no links of kind %s (module %s): %w", name, kind, module(kind), errdefs.ErrNotImplemented)
	case errors.Is(err, unix.ENETDOWN):
		return fmt.Errorf("make link %s: its parent is down: %w: %w", name, err, errdefs.ErrFailedPrecondition)
	}
	return fmt.Errorf("make %s %s: %w", kind, name, err)
}

func module(kind string) string {
	if kind == "vlan" {
		return "8021q"
	}
	return kind
}
