package netd

import (
	"fmt"
	"net/netip"
	"syscall"

	"github.com/berth-engine/berth/kernel/socket"
)

// holdRun reserves many ports in a row. A socket for each would cost more than
// they are worth: it is seen to that nobody has one of them now, and that none
// is given to somebody else here. The firewall leads them, in one interval. A
// program that binds one later hears nothing.
func (s *Server) holdRun(who opener, p Port) ([]*held, error) {
	h := &held{owner: who.owner}
	h.Binding = Binding{HostIP: p.HostIP, HostPort: p.HostPort, Proto: p.Proto, ContainerIP: p.ContainerIP, ContainerPort: p.ContainerPort, Count: p.Count}
	switch { // there is no relay from IPv6
	case h.HostIP.IsValid():
	case p.Loopback:
		h.HostIP = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	default:
		h.HostIP = netip.IPv4Unspecified()
	}
	if int(p.HostPort)+int(p.Count) > 1<<16 || int(p.ContainerPort)+int(p.Count) > 1<<16 || p.HostPort == 0 || p.HostPortEnd != 0 {
		return nil, fmt.Errorf("there are no %d ports from %d", p.Count, p.HostPort)
	}
	bound, err := socket.AllBound(p.Proto)
	if err != nil {
		return nil, err
	}
	for _, b := range bound {
		if h.spans(b.Addr.Port()) && socket.Overlap(b.Addr.Addr(), h.HostIP) {
			one := h.Binding
			one.ContainerPort += b.Addr.Port() - one.HostPort
			one.HostPort, one.Count = b.Addr.Port(), 0
			return nil, &bindError{binding: one, err: syscall.EADDRINUSE}
		}
	}
	for owner, sockets := range s.runs {
		for _, other := range sockets {
			if who.Share != "" && s.members[owner].Share == who.Share && other.Count == h.Count && other.place() == h.place() {
				continue // they share it
			}
			if other.Proto == h.Proto && h.HostPort <= other.last() && other.HostPort <= h.last() && socket.Overlap(other.HostIP, h.HostIP) {
				one := h.Binding
				one.HostPort, one.Count = max(h.HostPort, other.HostPort), 0
				return nil, &bindError{binding: one, err: syscall.EADDRINUSE}
			}
		}
	}
	return []*held{h}, nil
}

// last is the last host port.
func (b *Binding) last() uint16 { return b.HostPort + max(b.Count, 1) - 1 }

func (b *Binding) spans(port uint16) bool { return b.HostPort <= port && port <= b.last() }

// inRun tells whether a port is one of a run that is held without sockets.
func (s *Server) inRun(proto string, ip netip.Addr, port uint16) bool {
	for _, sockets := range s.runs {
		for _, h := range sockets {
			if h.Proto == proto && h.spans(port) && socket.Overlap(h.HostIP, ip) {
				return true
			}
		}
	}
	return false
}
