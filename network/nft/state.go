package nft

import (
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Gateway says how a network is connected with the world outside, for one
// address family; the words are Docker's.
type Gateway string

const (
	// NAT hides containers behind the host's address and leads published ports
	// of the host to them; nothing else gets in. The zero Gateway is the same.
	NAT Gateway = "nat"
	// Unprotected is NAT that also lets everybody outside in by the containers'
	// own addresses; not containers of other networks.
	Unprotected Gateway = "nat-unprotected"
	// Routed hides nothing: who has a route to a container reaches its published
	// ports at its own address.
	Routed Gateway = "routed"
	// Isolated is an internal network without an address of the host.
	Isolated Gateway = "isolated"
)

// Network is what the table has to know of one network.
type Network struct {
	// Bridge is the network's link, and its name here.
	Bridge string
	// Subnets are those of both address families.
	Subnets            []netip.Prefix
	Gateway4, Gateway6 Gateway
	// Internal: nothing goes out of the network or comes in, but for the host
	// itself.
	Internal bool
	// NoICC: containers of the network do not reach each other. What stays on
	// the bridge never meets this table: the bridge must isolate its ports.
	NoICC bool
	// NoMasquerade leaves containers their own addresses on the way out.
	NoMasquerade bool
	// Source4 and Source6 are the addresses that containers get on the way out;
	// zero: that of the link they leave by.
	Source4, Source6 netip.Addr
	// Trusted lists links of the host from which published ports are reached at
	// the containers' own addresses, too.
	Trusted []string
}

// gateway is the mode for one address family.
func (n *Network) gateway(six bool) Gateway {
	g := n.Gateway4
	if six {
		g = n.Gateway6
	}
	if g == "" {
		return NAT
	}
	return g
}

// Port leads from an address and port of the host to one of a container.
type Port struct {
	HostIP        netip.Addr // 0.0.0.0, ::: every address of the family
	HostPort      uint16
	Proto         uint8 // IPPROTO_TCP, IPPROTO_UDP or IPPROTO_SCTP
	ContainerIP   netip.Addr
	ContainerPort uint16
	// Routed opens the container's port at the container's address, to everybody
	// on a Routed network and to Trusted links on others, or with State.Direct
	// to everybody outside; HostIP and HostPort are not used.
	Routed bool
	// Of ports that several containers share, this is the one with the number
	// Slot, beginning with 0, of so many; Of is 0 where nobody else shares it.
	Slot, Of uint16
}

// State is all that the table says.
type State struct {
	Networks []Network
	// Apart lists links between which the host forwarded no IPv4 before the
	// engine switched forwarding on. It shall not do so now. Apart6 is the same
	// for IPv6.
	Apart, Apart6 []string
	Ports         []Port
	// Mark is what berth-netd marks connections with that it makes to containers
	// in others' names; their answers get the next number. 0: none.
	Mark uint32
	// Accept lets forwarded packets in to networks that are not internal by
	// their mark.
	Accept Match
	// Direct: who is outside reaches published ports of NAT networks at the
	// containers' own addresses, too; Ports that are Routed say which.
	Direct bool
}

// Match is what a packet's mark must be. The zero Match matches nothing.
type Match struct{ Mark, Mask uint32 }

// protocols are those whose ports can be published.
var protocols = map[string]uint8{"tcp": unix.IPPROTO_TCP, "udp": unix.IPPROTO_UDP, "sctp": unix.IPPROTO_SCTP}

// Protocol is the number of a protocol whose ports can be published.
func Protocol(name string) (uint8, error) {
	if n, ok := protocols[name]; ok {
		return n, nil
	}
	return 0, fmt.Errorf("protocol %q cannot be published", name)
}
