package bridge

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/containerd/errdefs"

	"github.com/berth-engine/berth/kernel/netlink"
)

// Interface is the name of a container's interface.
const Interface = "eth0"

// Namespace is a network namespace with an interface on the bridge. It lives
// as long as a descriptor or a process refers to it, and the interface with it:
// with a killed engine, namespaces that no container has yet are gone.
type Namespace struct {
	File     *os.File
	HostLink string // the interface's other end

	hostIndex int
	conn      *netlink.Conn // in the namespace
	eth0      int
}

// Plug makes a namespace: lo is up, eth0 is up without an address, so that the
// bridge forwards to it by the time it has one.
func (b *Bridge) Plug() (*Namespace, error) {
	var random [4]byte
	rand.Read(random[:])
	n := &Namespace{HostLink: "veth" + hex.EncodeToString(random[:])[:7]}
	f, err := netlink.NewNamespace(func(f *os.File) (err error) {
		if n.conn, err = netlink.Open(); err != nil {
			return err
		}
		v := netlink.Veth{Name: n.HostLink, Master: b.link.Index, MTU: b.mtu, Peer: Interface, PeerNS: f}
		if err := b.conn.AddVeth(v); err != nil {
			return err
		}
		link, err := n.conn.Link(Interface)
		if err != nil {
			return err
		}
		n.eth0, n.hostIndex = link.Index, link.Peer
		if err := netlink.DisableIPv6(Interface); err != nil {
			return err
		}
		if err := n.conn.SetUp(netlink.LoopbackIndex); err != nil {
			return err
		}
		return n.conn.SetUp(n.eth0)
	})
	if n.File = f; err == nil {
		// The host's end needs no addresses of its own.
		err = netlink.DisableIPv6(n.HostLink)
	}
	if err == nil {
		err = b.hairpin(n.hostIndex)
	}
	if err != nil {
		n.Close()
		return nil, fmt.Errorf("network namespace on %s: %w", b.link.Name, err)
	}
	return n, nil
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

// Configure gives the interface its addresses and the way out.
func (n *Namespace) Configure(address netip.Prefix, gateway netip.Addr, mac net.HardwareAddr) error {
	if err := n.conn.SetMAC(n.eth0, mac); err != nil {
		return fmt.Errorf("set MAC address %s: %w", mac, err)
	}
	if err := n.conn.AddAddr(n.eth0, address); err != nil {
		return fmt.Errorf("set address %s: %w", address, err)
	}
	if err := n.conn.AddDefaultRoute(n.eth0, gateway); err != nil {
		return fmt.Errorf("set default route via %s: %w", gateway, err)
	}
	return nil
}

// Detach gives the namespace away: the descriptor is the caller's.
func (n *Namespace) Detach() *os.File {
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

// Loopback makes a namespace that is plugged into nothing.
func Loopback() (*os.File, error) {
	return netlink.NewNamespace(func(*os.File) error {
		conn, err := netlink.Open()
		if err != nil {
			return err
		}
		defer conn.Close()
		return conn.SetUp(netlink.LoopbackIndex)
	})
}
