package netlink

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/kernel/file"
)

// maxLearned bounds how many hardware addresses a bridge learns from frames (Linux
// 6.7; an older kernel passes it over). Whoever may send raw frames could have the
// host remember millions, for five minutes each. Those that are pinned do not count;
// what is for an address that was not learned goes to all ports.
const maxLearned = 1024

// AddBridge makes a bridge that is down, and to be finished. A bridge with its own
// mtu keeps it, whatever ports it gets.
func (c *Conn) AddBridge(name string, mtu int) (Link, error) {
	req := nl.NewNetlinkRequest(unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL|unix.NLM_F_ACK)
	req.Sockets = c.raw
	req.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
	req.AddData(nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(name)))
	if mtu > 0 {
		req.AddData(nl.NewRtAttr(unix.IFLA_MTU, nl.Uint32Attr(uint32(mtu))))
	}
	req.AddData(nl.NewRtAttr(unix.IFLA_GROUP, nl.Uint32Attr(unfinished)))
	info := nl.NewRtAttr(unix.IFLA_LINKINFO, nil)
	info.AddRtAttr(nl.IFLA_INFO_KIND, nl.NonZeroTerminated("bridge"))
	info.AddRtAttr(nl.IFLA_INFO_DATA, nil).AddRtAttr(unix.IFLA_BR_FDB_MAX_LEARNED, nl.Uint32Attr(maxLearned))
	req.AddData(info)
	if _, err := req.Execute(unix.NETLINK_ROUTE, 0); err != nil {
		return Link{}, fmt.Errorf("make bridge %s: %w", name, err)
	}
	return c.Link(name)
}

// Veth is a pair of interfaces: one here, as a port of a bridge, the other in
// another namespace.
type Veth struct {
	Name   string
	Master int // index of the bridge
	MTU    int
	Group  uint32   // of this end, as ip-link(8) has it
	Peer   string   // name of the other end
	PeerNS *os.File // where it is born
}

// AddVeth makes the pair with one message: this end is up and on the bridge,
// the other one is down, so that it can be configured before it hears anything.
func (c *Conn) AddVeth(v Veth) error {
	req := nl.NewNetlinkRequest(unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL|unix.NLM_F_ACK)
	req.Sockets = c.raw
	msg := nl.NewIfInfomsg(unix.AF_UNSPEC)
	msg.Flags, msg.Change = unix.IFF_UP, unix.IFF_UP
	req.AddData(msg)
	req.AddData(nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(v.Name)))
	req.AddData(nl.NewRtAttr(unix.IFLA_MTU, nl.Uint32Attr(uint32(v.MTU))))
	req.AddData(nl.NewRtAttr(unix.IFLA_MASTER, nl.Uint32Attr(uint32(v.Master))))
	req.AddData(nl.NewRtAttr(unix.IFLA_GROUP, nl.Uint32Attr(v.Group)))
	info := nl.NewRtAttr(unix.IFLA_LINKINFO, nil)
	info.AddRtAttr(nl.IFLA_INFO_KIND, nl.NonZeroTerminated("veth"))
	peer := info.AddRtAttr(nl.IFLA_INFO_DATA, nil).AddRtAttr(nl.VETH_INFO_PEER, nil)
	nl.NewIfInfomsgChild(peer, unix.AF_UNSPEC)
	peer.AddRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(v.Peer))
	peer.AddRtAttr(unix.IFLA_MTU, nl.Uint32Attr(uint32(v.MTU)))
	peer.AddRtAttr(unix.IFLA_NET_NS_FD, nl.Uint32Attr(uint32(v.PeerNS.Fd())))
	req.AddData(info)
	_, err := req.Execute(unix.NETLINK_ROUTE, 0)
	runtime.KeepAlive(v.PeerNS)
	if err != nil {
		return fmt.Errorf("make veth %s: %w", v.Name, err)
	}
	return nil
}

// SetHairpin makes a bridge send frames back through the port that they came
// from, if that is where they belong.
func (c *Conn) SetHairpin(index int) error { return c.h.LinkSetHairpin(at(index), true) }

// SetIsolated keeps a port of a bridge from talking to other such ports of it,
// or ends that.
func (c *Conn) SetIsolated(index int, on bool) error { return c.h.LinkSetIsolated(at(index), on) }

// Isolated tells whether SetIsolated is on for a port of a bridge, by its name.
// Unlike Link, it does not wait for the kernel's lock of links. The error is
// os.ErrNotExist without such a port, and where /sys is that of another network
// namespace.
func Isolated(port string) (bool, error) {
	text, err := file.Read("/sys/class/net/" + port + "/brport/isolated")
	if err != nil {
		return false, err
	}
	return strings.TrimSpace(string(text)) == "1", nil
}

// PinMAC tells a bridge that a hardware address is behind one of its ports
// (index), and stays there whatever frames come from elsewhere, until the port
// is gone or ForgetMAC.
func (c *Conn) PinMAC(index int, mac net.HardwareAddr) error {
	const sticky = 1 << 6 // NTF_STICKY, Linux 4.20
	return c.h.NeighSet(&netlink.Neigh{
		LinkIndex: index, Family: unix.AF_BRIDGE, HardwareAddr: mac, Flags: netlink.NTF_MASTER | sticky, State: netlink.NUD_NOARP,
	})
}

// ForgetMAC makes a bridge forget behind which of its ports (index) it last
// saw a hardware address. Nothing to forget is no error.
func (c *Conn) ForgetMAC(index int, mac net.HardwareAddr) error {
	err := c.h.NeighDel(&netlink.Neigh{LinkIndex: index, Family: unix.AF_BRIDGE, HardwareAddr: mac, Flags: netlink.NTF_MASTER})
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENODEV) {
		return nil
	}
	return err
}
