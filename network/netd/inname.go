package netd

import (
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/berth-engine/berth/kernel/netlink"
	"github.com/berth-engine/berth/kernel/socket"
)

// connectIn bounds how long a container may take to accept a connection.
const connectIn = 10 * time.Second

// dial connects to the container for a client, in its name if that is wanted
// and the answers come back to us.
func (s *Server) dial(h *held, network string, client netip.AddrPort) (net.Conn, error) {
	d := net.Dialer{Timeout: connectIn}
	to := h.target()
	target := netip.AddrPortFrom(to, h.ContainerPort).String()
	client = netip.AddrPortFrom(client.Addr().Unmap(), client.Port())
	if !h.InName || client.Addr().Is4() != to.Is4() || !s.outsider(client.Addr(), to) {
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
// own network: to those, a container answers directly, not through us. The kernel
// is asked for the two ways: what it costs does not grow with the host's links.
func (s *Server) outsider(client, container netip.Addr) bool {
	if client.IsLoopback() || client.IsLinkLocalUnicast() {
		return false
	}
	conn, err := s.ways.open()
	if err != nil {
		return false
	}
	back, err := conn.WayTo(client)
	if err != nil || back.Local {
		return false
	}
	in, err := conn.WayTo(container)
	return err == nil && (back.Index != in.Index || back.Via || in.Via)
}

// ways is a connection to the kernel to ask it for routes, made when it is needed.
type ways struct {
	mu   sync.Mutex
	conn *netlink.Conn
}

func (w *ways) open() (_ *netlink.Conn, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.conn == nil {
		w.conn, err = netlink.Open()
	}
	return w.conn, err
}

func (w *ways) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.conn != nil {
		w.conn.Close()
		w.conn = nil
	}
}
