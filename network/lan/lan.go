// Package lan gives containers interfaces of their own on a network that the
// host is on: macvlan (each with a hardware address) and ipvlan (all with the
// host's). There is no bridge, and the host's firewall sees nothing of them;
// nor, as the kernel has it, can they and the host talk over the parent.
//
// The parent is the administrator's, and is left as it is. Where it is a VLAN
// of one (eth0.10) and is not there, or nobody named one, the link is made, and
// removed by Remove; its alias says so, so that a later engine knows.
package lan

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"syscall"

	"github.com/containerd/errdefs"

	"github.com/berth-engine/berth/kernel/netlink"
	"github.com/berth-engine/berth/network/bridge"
	"github.com/berth-engine/berth/network/netns"
)

// Drivers, by Docker's names.
const (
	Macvlan = "macvlan"
	IPvlan  = "ipvlan"
)

// Options says what interfaces are to be.
type Options struct {
	Driver string // Macvlan or IPvlan
	Parent string // name of a link of the host
	// Alone: nobody named a parent. Parent is that of a link that leads nowhere.
	Alone bool
	Mode  string // as in netlink.Child
	Flag  string
	MTU   int    // 0: the parent's
	Owner string // as in bridge.Options
}

// Network makes interfaces on one parent.
type Network struct {
	conn *netlink.Conn
	o    Options
}

// Open sees to it that there is a parent. It belongs to the network namespace of
// the calling thread, and conn must, too.
func Open(conn *netlink.Conn, o Options) (*Network, error) {
	n := &Network{conn, o}
	if err := conn.HasKind(o.Driver); err != nil {
		return n, err
	}
	_, err := n.parent()
	return n, err
}

// parent finds the parent, or makes it where it is one to be made.
func (n *Network) parent() (netlink.Link, error) {
	l, err := n.conn.Whole(n.o.Parent)
	if !errdefs.IsNotFound(err) {
		return l, err
	}
	if n.o.Alone {
		l, err = n.conn.AddDummy(n.o.Parent)
	} else {
		l, err = n.addVLAN()
	}
	if err != nil {
		return l, err
	}
	if err := errors.Join(n.conn.SetAlias(l.Index, bridge.Alias(n.o.Owner)), netlink.DisableIPv6(l.Name), n.conn.SetUp(l.Index), n.conn.Finish(l.Index)); err != nil {
		return l, errors.Join(fmt.Errorf("set up %s: %w", l.Name, err), n.conn.Delete(l.Index))
	}
	return l, nil
}

// addVLAN makes a parent that is called eth0.10.
func (n *Network) addVLAN() (netlink.Link, error) {
	name, id, ok := strings.Cut(n.o.Parent, ".")
	if !ok {
		return netlink.Link{}, errdefs.ErrFailedPrecondition.WithMessage(fmt.Sprintf("parent interface %s was not found on the host, and is no VLAN of one, such as eth0.10, that could be made", n.o.Parent))
	}
	number, err := parseVLAN(id)
	if err != nil {
		return netlink.Link{}, err
	}
	below, err := n.conn.Link(name)
	if err != nil {
		return below, fmt.Errorf("parent interface %s of VLAN %d was not found on the host: %w", name, number, errors.Join(err, errdefs.ErrFailedPrecondition))
	}
	return n.conn.AddVLAN(n.o.Parent, below.Index, number)
}

// parseVLAN reads the number of a VLAN.
func parseVLAN(s string) (int, error) {
	id, err := strconv.Atoi(s)
	if err != nil {
		return 0, fmt.Errorf("unable to parse a valid vlan id from: %s (ex. eth0.10 for vlan 10): %w", s, errdefs.ErrInvalidArgument)
	}
	if id < 1 || id > 4094 {
		return 0, fmt.Errorf("vlan id must be between 1-4094, received: %d: %w", id, errdefs.ErrInvalidArgument)
	}
	return id, nil
}

// Connect gives a namespace an interface, which is down, with a hardware address
// (nil: one that the kernel chooses; an ipvlan has the parent's). It goes with
// the namespace.
func (n *Network) Connect(ns *netns.Namespace, name string, mac net.HardwareAddr) (netns.Interface, error) {
	l, err := n.parent()
	if err != nil {
		return netns.Interface{}, err
	}
	k := netlink.Child{Parent: l.Index, Name: name, MTU: n.o.MTU, NS: ns.File, Mode: n.o.Mode, Flag: n.o.Flag, MAC: mac}
	if n.o.Driver == IPvlan {
		err = n.conn.AddIPvlan(k)
	} else {
		err = n.conn.AddMacvlan(k)
	}
	switch {
	case err == nil:
	case n.o.Mode == "passthru" && errors.Is(err, syscall.EINVAL):
		return netns.Interface{}, fmt.Errorf("parent interface %s is in mode passthru and is another container's: %w: %w", l.Name, err, errdefs.ErrFailedPrecondition)
	case errors.Is(err, syscall.EBUSY):
		return netns.Interface{}, fmt.Errorf("parent interface %s is in use by a link of another kind: %w: %w", l.Name, err, errdefs.ErrFailedPrecondition)
	default:
		return netns.Interface{}, err
	}
	return ns.Interface(name)
}

// MAC tells whether interfaces have hardware addresses of their own that may be
// chosen: an ipvlan has the parent's, and so has a macvlan that passes through.
func (n *Network) MAC() bool { return n.o.Driver == Macvlan && n.o.Mode != "passthru" }

// Neighbours tells whether interfaces are on the parent's link with others,
// who ask for hardware addresses and to whom routers speak.
func (n *Network) Neighbours() bool { return n.o.Mode != "l3" && n.o.Mode != "l3s" }

// Parent is the name of the link on the host.
func (n *Network) Parent() string { return n.o.Parent }

// Remove removes the parent, if Open or an earlier Open made it. No other
// Network may be using it.
func (n *Network) Remove() error {
	l, err := n.conn.Link(n.o.Parent)
	if errdefs.IsNotFound(err) {
		return nil
	}
	if err != nil || l.Alias != bridge.Alias(n.o.Owner) || l.Kind != "vlan" && l.Kind != "dummy" {
		return err
	}
	return n.conn.Delete(l.Index)
}
