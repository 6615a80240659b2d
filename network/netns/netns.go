// Package netns makes containers' network namespaces and sets up the interfaces
// in them: names, addresses, routes, the settings of one interface.
//
// A namespace lives as long as a descriptor or a process refers to it, and its
// interfaces with it: those that no container has yet are gone with a killed
// engine.
package netns

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/containerd/errdefs"

	"github.com/berth-engine/berth/kernel/netlink"
	"github.com/berth-engine/berth/kernel/ns"
)

// Namespace is one that the engine looks into. It is not safe for concurrent
// use.
type Namespace struct {
	File *os.File
	conn *netlink.Conn
}

// New makes a namespace whose loopback interface is up, and runs setup on a
// thread in it (nil: nothing more to do). It belongs to the user namespace user,
// whose root may change everything in it; nil: to the caller's.
func New(user *os.File, setup func(*Namespace) error) (*Namespace, error) {
	n := &Namespace{}
	f, err := ns.NewNetNSWith(user, func(f *os.File) (err error) {
		n.File = f
		if n.conn, err = netlink.Open(); err != nil {
			return err
		}
		if err := n.conn.SetUp(netlink.LoopbackIndex); err != nil || setup == nil {
			return err
		}
		return setup(n)
	})
	if n.File = f; err != nil {
		n.Close()
		return nil, fmt.Errorf("network namespace: %w", err)
	}
	return n, nil
}

// Open looks into a namespace that exists; f stays the caller's, who must not
// call Close but End.
func Open(f *os.File) (*Namespace, error) {
	conn, err := netlink.OpenIn(f)
	if err != nil {
		return nil, fmt.Errorf("open network namespace: %w", err)
	}
	return &Namespace{File: f, conn: conn}, nil
}

// End stops looking; the descriptor is the caller's.
func (n *Namespace) End() *os.File {
	n.conn.Close()
	return n.File
}

// Close drops the namespace, unless others refer to it.
func (n *Namespace) Close() {
	if n.conn != nil {
		n.conn.Close()
	}
	if n.File != nil {
		n.File.Close()
	}
}

// Interface is a link in the namespace.
type Interface struct {
	Name  string
	Index int
	Peer  int  // of a veth: the index of the other end, on the host
	Up    bool // it was up already when it was found
	MAC   net.HardwareAddr
}

// Interface finds a link by name.
func (n *Namespace) Interface(name string) (Interface, error) {
	l, err := n.conn.Link(name)
	return Interface{l.Name, l.Index, l.Peer, l.Up, l.MAC}, err
}

// SetUp brings a link up.
func (n *Namespace) SetUp(i *Interface) error {
	err := n.conn.SetUp(i.Index)
	i.Up = i.Up || err == nil
	return err
}

// SetMTU changes how long a link's packets may be, in bytes.
func (n *Namespace) SetMTU(i Interface, mtu int) error { return n.conn.SetMTU(i.Index, mtu) }

// FreeName is the first of prefix0, prefix1, … that no link has.
func (n *Namespace) FreeName(prefix string) (string, error) {
	links, err := n.conn.Links()
	if err != nil {
		return "", err
	}
	taken := map[string]bool{}
	for _, l := range links {
		taken[l.Name] = true
	}
	for i := 0; ; i++ {
		if name := fmt.Sprint(prefix, i); !taken[name] {
			return name, nil
		}
	}
}

// Remove removes a link; it is no error if there is none.
func (n *Namespace) Remove(name string) error {
	l, err := n.conn.Link(name)
	if errdefs.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	return n.conn.Delete(l.Index)
}

// Gateway is a way out of the namespace, for one address family.
type Gateway struct {
	Interface Interface
	Via       netip.Addr // zero: whoever is on the link
	Six       bool
}

// SetGateways makes these the default routes, in the place of those there are.
func (n *Namespace) SetGateways(want ...Gateway) error {
	routes, err := n.conn.Routes()
	if err != nil {
		return err
	}
	for _, r := range routes {
		if r.To.Bits() == 0 {
			err = errors.Join(err, n.conn.DelRoute(r))
		}
	}
	return errors.Join(err, n.AddGateways(want...))
}

// AddGateways adds default routes.
func (n *Namespace) AddGateways(want ...Gateway) error {
	for _, g := range want {
		everything := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
		if g.Six {
			everything = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
		}
		if err := n.conn.AddRoute(netlink.Route{Index: g.Interface.Index, To: everything, Via: g.Via}); err != nil {
			return fmt.Errorf("set default route via %s: %w", g.Via, err)
		}
	}
	return nil
}
