package netd

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"syscall"

	"github.com/berth-engine/berth/kernel/socket"
)

// held is one socket with what it serves.
type held struct {
	Binding
	listener net.Listener   // tcp
	packets  net.PacketConn // udp
	spliced  connections
	// leads guards ContainerIP while the socket is served; who holds Server.mu
	// may read it without.
	leads sync.RWMutex
}

// close stops listening; what is connected stays so.
func (h *held) close() error {
	if h.Count > 0 {
		return nil
	}
	if h.listener != nil {
		return h.listener.Close()
	}
	return h.packets.Close()
}

// cut ends what is connected.
func (h *held) cut() { h.spliced.close() }

// hold binds the sockets for one port: one for an address, one in each family
// for the wildcard. It binds all or none.
func (s *Server) hold(ctx context.Context, p Port) ([]*held, error) {
	if p.Count > 1 {
		return s.holdRun(p)
	}
	if p.HostPortEnd <= p.HostPort {
		return s.holdOne(ctx, p, p.HostPort)
	}
	var last error
	for port := int(p.HostPort); port <= int(p.HostPortEnd); port++ {
		sockets, err := s.holdOne(ctx, p, uint16(port))
		if err == nil {
			return sockets, nil
		}
		last = err
	}
	return nil, last
}

// tries bounds how often a free port is asked for until it is free in both
// address families.
const tries = 16

func (s *Server) holdOne(ctx context.Context, p Port, port uint16) ([]*held, error) {
	if p.HostIP.IsValid() {
		h, err := s.bindFree(ctx, p, p.HostIP, port)
		if err != nil {
			return nil, err
		}
		return []*held{h}, nil
	}
	any4, any6 := netip.IPv4Unspecified(), netip.IPv6Unspecified()
	if p.Loopback {
		any4, any6 = netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()
	}
	for try := 0; ; try++ {
		four, err := s.bindFree(ctx, p, any4, port)
		if err != nil {
			return nil, err
		}
		six, err := bind(ctx, p, any6, four.HostPort)
		switch {
		case err == nil:
			return []*held{four, six}, nil
		case socket.NoFamily(err):
			return []*held{four}, nil // a host without IPv6
		}
		if e := four.close(); e != nil {
			return nil, e
		}
		if port != 0 || try == tries {
			return nil, err
		}
	}
}

// bindFree makes a socket whose port is in no run that is held.
func (s *Server) bindFree(ctx context.Context, p Port, ip netip.Addr, port uint16) (*held, error) {
	for try := 0; ; try++ {
		h, err := bind(ctx, p, ip, port)
		if err != nil || !s.inRun(p.Proto, ip, h.HostPort) {
			return h, err
		}
		if err := h.close(); err != nil {
			return nil, err
		}
		if port != 0 || try == tries {
			return nil, &bindError{h.Binding, syscall.EADDRINUSE}
		}
	}
}

// bind makes one socket. TCP sockets listen, because a port that is merely
// bound with SO_REUSEADDR can be taken by others, and without it the remains of
// closed connections would keep us out.
func bind(ctx context.Context, p Port, ip netip.Addr, port uint16) (*held, error) {
	h := &held{Binding: Binding{HostIP: ip, HostPort: port, Proto: p.Proto, ContainerIP: p.ContainerIP, ContainerPort: p.ContainerPort, InName: p.InName}}
	family := "4"
	if ip.Is6() {
		family = "6" // Go sets IPV6_V6ONLY for it
	}
	addr := net.JoinHostPort(ip.String(), strconv.Itoa(int(port)))
	config := net.ListenConfig{}
	var err error
	switch p.Proto {
	case "tcp":
		if h.listener, err = config.Listen(ctx, "tcp"+family, addr); err == nil {
			h.HostPort = uint16(h.listener.Addr().(*net.TCPAddr).Port)
		}
	case "udp":
		if h.packets, err = config.ListenPacket(ctx, "udp"+family, addr); err == nil {
			h.HostPort = uint16(h.packets.LocalAddr().(*net.UDPAddr).Port)
		}
	default:
		err = fmt.Errorf("protocol %q cannot be held", p.Proto)
	}
	if err != nil {
		return nil, &bindError{h.Binding, err}
	}
	return h, nil
}

// bindError remembers which socket could not be bound.
type bindError struct {
	binding Binding
	err     error
}

func (e *bindError) Error() string { return e.err.Error() }
func (e *bindError) Unwrap() error { return e.err }
