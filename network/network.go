// Package network keeps the networks of this host, and gives containers their
// place on them: a namespace with an interface for each network, addresses,
// names, and published ports.
//
// It changes the kernel through netlink and nftables alone and executes no
// program but berth-netd, and CNI plugins for networks that are theirs. It knows
// nothing of containers: it is told what is desired and answers what is.
//
// What must outlive the daemon lives in the kernel (namespaces, the rules) and
// in berth-netd (bound sockets, resolvers); a new Manager adopts both.
package network

import (
	"net"
	"net/netip"
)

// Mode is what kind of namespace a sandbox gets.
type Mode string

// Modes that Attach knows. Host and shared namespaces need no Attach.
const (
	// Bridge is a namespace with eth0 on the default bridge.
	Bridge Mode = "bridge"
	// None is a namespace with the loopback interface alone.
	None Mode = "none"
)

// DefaultNetwork is the name of the network that always exists.
const DefaultNetwork = "bridge"

// Desired is what a container asks for.
type Desired struct {
	// ID names the sandbox; Detach, Adopt and Prune take the same.
	ID   string
	Name string // of the container, for people
	Mode Mode   // zero: Bridge
	// Networks lists the endpoints; empty means one on "bridge".
	Networks []EndpointSpec
	Ports    []PortSpec
	// Servers are asked about names that no network knows; none: the host's.
	Servers []netip.Addr
	// Links are other names for names, for this container alone.
	Links map[string][]string
	// Service: others of the same may have the same Ports.
	Service Service
}

// EndpointSpec is one wanted place on a network. Zero fields are chosen.
type EndpointSpec struct {
	Name      string // of the network, or its id
	IPv4      netip.Addr
	IPv6      netip.Addr
	LinkLocal []netip.Addr // further addresses of the interface
	MAC       net.HardwareAddr
	// Names are what the container is called on this network; the first is its
	// own, to which its addresses lead back.
	Names []string
	// DriverOpts are options by Docker's names, com.docker.network.endpoint.….
	DriverOpts map[string]string
	// GwPriority: the endpoint with the highest is the way out.
	GwPriority int
}

// PortSpec asks to publish one port of the container, or, with HostPortEnd,
// to choose any free host port of a range for it.
type PortSpec struct {
	// HostIP zero: every address of both families; unspecified (0.0.0.0, ::):
	// every address of that family.
	HostIP        netip.Addr
	HostPort      uint16 // 0: any free port
	HostPortEnd   uint16 // 0: HostPort alone
	ContainerPort uint16
	Proto         string // tcp, udp or sctp
}

// Result is what Attach made. It is saved with the container and given back to
// Adopt, so its JSON form is part of the container record.
type Result struct {
	Name      string              `json:"name,omitempty"` // the container's
	Endpoints []Endpoint          `json:"endpoints,omitempty"`
	Ports     Bindings            `json:"ports,omitempty"`
	Servers   []netip.Addr        `json:"servers,omitempty"` // as in Desired
	Links     map[string][]string `json:"links,omitempty"`
	Service   Service             `json:"service,omitzero"`  // as in Desired
	Drained   bool                `json:"drained,omitempty"` // as Drain said
}

// Endpoint is one interface of a sandbox. Addresses of a family that the network
// has not are zero.
type Endpoint struct {
	Network    string       `json:"network"`
	NetworkID  string       `json:"network_id"`
	EndpointID string       `json:"endpoint_id"`
	Interface  string       `json:"interface"`
	HostLink   string       `json:"host_link"` // the other end, on the bridge; "": there is no bridge
	MAC        string       `json:"mac"`
	IPv4       netip.Prefix `json:"ipv4"`
	Gateway    netip.Addr   `json:"gateway"`
	IPv6       netip.Prefix `json:"ipv6,omitzero"`
	Gateway6   netip.Addr   `json:"gateway6,omitzero"`
	LinkLocal  []netip.Addr `json:"link_local,omitempty"`
	Names      []string     `json:"names,omitempty"`
	Priority   int          `json:"gw_priority,omitempty"`
	// Source is what the link was called on the host, of a driver that is a
	// plugin.
	Source string `json:"source,omitempty"`
	// External: the driver was told of published ports, and leads them here.
	External bool `json:"external,omitempty"`
	// Mapped: the driver can lead ports here that the host holds.
	Mapped bool `json:"mapped,omitempty"`
	// OnLink: the link is the way out, without a gateway.
	OnLink bool `json:"on_link,omitempty"`
}

// PortBinding is a published port as it is. A wildcard has two bindings, one
// for each address family.
type PortBinding struct {
	ContainerPort uint16     `json:"container_port"`
	Proto         string     `json:"proto"`
	HostIP        netip.Addr `json:"host_ip"`
	HostPort      uint16     `json:"host_port"`
	// Routed: the port is open at the container's own addresses instead, and
	// there is none of the host.
	Routed bool `json:"routed,omitempty"`
}
