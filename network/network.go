// Package network gives containers their place on the host's network: a
// namespace with an interface on the bridge, an address, and published ports.
// It changes the kernel through netlink and nftables alone and executes no
// program but berth-netd. It knows nothing of containers: it is told what is
// desired and answers what is.
//
// What must outlive the daemon lives in the kernel (namespaces, the rules) and
// in berth-netd (bound sockets); a new Manager adopts both.
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
	ID string
	// Hostname is not used by the bridge; name resolution will.
	Hostname string
	Mode     Mode // zero: Bridge
	// Networks lists the endpoints; empty means one on "bridge".
	Networks []EndpointSpec
	Ports    []PortSpec
}

// EndpointSpec is one wanted place on a network. Zero fields are chosen.
type EndpointSpec struct {
	Name string
	IPv4 netip.Addr
	MAC  net.HardwareAddr
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
	Proto         string // tcp (also if empty) or udp
}

// Result is what Attach made. It is saved with the container and given back to
// Adopt, so its JSON form is part of the container record.
type Result struct {
	Endpoints []Endpoint    `json:"endpoints,omitempty"`
	Ports     []PortBinding `json:"ports,omitempty"`
}

// Endpoint is one interface of a sandbox.
type Endpoint struct {
	Network    string       `json:"network"`
	NetworkID  string       `json:"network_id"`
	EndpointID string       `json:"endpoint_id"`
	Interface  string       `json:"interface"`
	HostLink   string       `json:"host_link"` // the other end, on the bridge
	MAC        string       `json:"mac"`
	IPv4       netip.Prefix `json:"ipv4"`
	Gateway    netip.Addr   `json:"gateway"`
}

// PortBinding is a published port as it is. A wildcard has two bindings, one
// for each address family.
type PortBinding struct {
	ContainerPort uint16     `json:"container_port"`
	Proto         string     `json:"proto"`
	HostIP        netip.Addr `json:"host_ip"`
	HostPort      uint16     `json:"host_port"`
}
