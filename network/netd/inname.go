package netd

import (
	"net"
	"net/netip"
	"time"

	"github.com/berth-engine/berth/kernel/socket"
)

// connectIn bounds how long a container may take to accept a connection.
const connectIn = 10 * time.Second

// dial connects to the container for a client, in its name if that is wanted
// and the answers come back to us.
func (h *held) dial(network string, client netip.AddrPort) (net.Conn, error) {
	d := net.Dialer{Timeout: connectIn}
	to := h.target()
	target := netip.AddrPortFrom(to, h.ContainerPort).String()
	client = netip.AddrPortFrom(client.Addr().Unmap(), client.Port())
	if !h.InName || client.Addr().Is4() != to.Is4() || !outsider(client.Addr(), to) {
		return d.Dial(network, target)
	}
	d.Control = socket.InName(Mark)
	d.LocalAddr = address(network, client)
	c, err := d.Dial(network, target)
	if socket.InUse(err) {
		// The client's port leads to this container's port by another way already.
		d.LocalAddr = address(network, netip.AddrPortFrom(client.Addr(), 0))
		c, err = d.Dial(network, target)
	}
	return c, err
}

func address(network string, a netip.AddrPort) net.Addr {
	if network == "udp" {
		return net.UDPAddrFromAddrPort(a)
	}
	return net.TCPAddrFromAddrPort(a)
}

// outsider tells whether a client is neither this host nor on the container's
// own network: to those, a container answers directly, not through us.
func outsider(client, container netip.Addr) bool {
	if client.IsLoopback() || client.IsLinkLocalUnicast() {
		return false
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}
	for _, a := range addrs {
		p, err := netip.ParsePrefix(a.String())
		if err != nil {
			continue
		}
		if p.Addr() == client || p.Contains(container) && p.Contains(client) {
			return false
		}
	}
	return true
}
