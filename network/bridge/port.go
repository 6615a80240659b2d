package bridge

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/fnv"
	"net"
	"os"

	"github.com/containerd/errdefs"

	"github.com/berth-engine/berth/kernel/netlink"
	"github.com/berth-engine/berth/network/netns"
)

// Interface is the name of a container's first interface, where nobody wants
// another.
const Interface = "eth0"

// Port is one end of a container's interface: a port of the bridge on the host.
type Port struct {
	HostLink  string
	Interface netns.Interface // the other end, in the container
}

// Plug makes a namespace: lo is up, eth0 is up without an address, so that the
// bridge forwards to it by the time it has one. It belongs to the user
// namespace user; nil: to the caller's.
func (b *Bridge) Plug(user *os.File) (*Namespace, error) {
	n := &Namespace{on: b}
	var err error
	n.Namespace, err = netns.New(user, func(ns *netns.Namespace) (err error) {
		err = netlink.BornDeaf(Interface, func() (err error) {
			n.port, err = b.connect(ns, Interface)
			return err
		})
		if err != nil {
			return err
		}
		return ns.SetUp(&n.port.Interface)
	})
	if err == nil {
		err = b.prepare(n.port)
	}
	if err != nil {
		if n.Namespace != nil {
			n.Close()
		}
		return nil, fmt.Errorf("network namespace on %s: %w", b.link.Name, err)
	}
	return n, nil
}

// Connect gives a namespace an interface on the bridge, which is down. It goes
// with the namespace.
func (b *Bridge) Connect(ns *netns.Namespace, name string) (Port, error) {
	p, err := b.connect(ns, name)
	if err == nil {
		err = b.prepare(p)
	}
	if err != nil {
		return p, fmt.Errorf("connect to bridge %s: %w", b.link.Name, err)
	}
	return p, nil
}

func (b *Bridge) connect(ns *netns.Namespace, name string) (p Port, err error) {
	var random [4]byte
	rand.Read(random[:])
	p.HostLink = "veth" + hex.EncodeToString(random[:])[:7]
	v := netlink.Veth{Name: p.HostLink, Master: b.link.Index, Group: b.Group(), MTU: b.mtu, Peer: name, PeerNS: ns.File}
	if err := b.conn.AddVeth(v); err != nil {
		return p, err
	}
	p.Interface, err = ns.Interface(name)
	return p, err
}

// prepare makes the settings of a new port's end on the host.
func (b *Bridge) prepare(p Port) error {
	// It needs no addresses of its own.
	if err := b.conn.DisableIPv6(p.HostLink); err != nil {
		return err
	}
	return b.admit(p)
}

// admit makes the settings of a port that was plugged into the bridge.
func (b *Bridge) admit(p Port) error {
	if b.isolate {
		if err := b.conn.SetIsolated(p.Interface.Peer, true); err != nil {
			return fmt.Errorf("isolate port: %w", err)
		}
	}
	return b.hairpin(p.Interface.Peer)
}

// move takes a prepared port over from the bridge that it is on.
func (b *Bridge) move(n *Namespace) error {
	p, from := n.port, n.on
	if b == from {
		return nil
	}
	if b.mtu != from.mtu {
		if err := errors.Join(b.conn.SetMTU(p.Interface.Peer, b.mtu), n.SetMTU(p.Interface, b.mtu)); err != nil {
			return fmt.Errorf("MTU of bridge %s: %w", b.link.Name, err)
		}
	}
	if err := b.conn.SetMaster(p.Interface.Peer, b.link.Index, b.Group()); err != nil {
		return fmt.Errorf("move port to bridge %s: %w", b.link.Name, err)
	}
	if from.isolate && !b.isolate {
		if err := b.conn.SetIsolated(p.Interface.Peer, false); err != nil {
			return fmt.Errorf("isolate port: %w", err)
		}
	}
	return b.admit(p)
}

// Group is that of the bridge's ports that were made here, by which they are
// told from those of other bridges. It is made of the bridge's name, so that it
// is the same for a bridge that is made anew; two may have the same.
func (b *Bridge) Group() uint32 {
	h := fnv.New32a()
	h.Write([]byte(b.link.Name))   // never fails
	return h.Sum32()&(1<<31-1) | 1 // 0 is everybody's
}

// Pin has the bridge send what is for a hardware address to this port alone,
// whoever else claims to have it.
func (b *Bridge) Pin(p Port, mac net.HardwareAddr) error {
	if err := b.conn.PinMAC(p.Interface.Peer, mac); err != nil {
		return fmt.Errorf("pin %s to its port: %w", mac, err)
	}
	return nil
}

// Adopt makes the settings of a port that an earlier engine made, whose bridge
// may have been another in this.
func (b *Bridge) Adopt(hostLink string) error {
	if is, err := netlink.Isolated(hostLink); err == nil && is == b.isolate {
		return nil // of hundreds, without the kernel's lock of links
	}
	l, err := b.conn.Link(hostLink)
	if err != nil {
		return err
	}
	return b.conn.SetIsolated(l.Index, b.isolate)
}

// hairpin lets a container reach its own published port where bridged packets
// pass the firewall (br_netfilter): there, the packet is led back to the port
// that it came from without leaving the bridge.
func (b *Bridge) hairpin(hostIndex int) error {
	on, err := netlink.Sysctl("bridge/bridge-nf-call-iptables")
	if errdefs.IsNotFound(err) || err == nil && on != "1" {
		return nil
	}
	if err != nil {
		return err
	}
	return b.conn.SetHairpin(hostIndex)
}
