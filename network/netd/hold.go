package netd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"syscall"

	"github.com/berth-engine/berth/kernel/socket"
)

// held is a port of one owner.
type held struct {
	Binding
	owner   string
	member  Member // guarded by the door's mu
	door    *door  // nil: a run of ports
	spliced connections
	// leads guards ContainerIP while the socket is served; who holds Server.mu
	// may read it without.
	leads sync.RWMutex
}

// opener is who wants a port.
type opener struct {
	owner string
	Member
}

// cut ends what is connected.
func (h *held) cut() { h.spliced.close() }

// hold binds the sockets for one port: one for an address, one in each family
// for the wildcard. It binds all or none. Who asks for any port of a range gets
// one for itself.
func (s *Server) hold(ctx context.Context, who opener, p Port) ([]*held, error) {
	if p.Count > 1 {
		return s.holdRun(who, p)
	}
	if p.HostPortEnd <= p.HostPort {
		return s.holdOne(ctx, who, p, p.HostPort)
	}
	alone := who
	alone.Share = ""
	var last error
	for port := int(p.HostPort); port <= int(p.HostPortEnd); port++ {
		sockets, err := s.holdOne(ctx, alone, p, uint16(port))
		if err == nil {
			for _, h := range sockets {
				h.door.share = who.Share // others may come
			}
			return sockets, nil
		}
		last = err
	}
	return nil, last
}

// tries bounds how often a free port is asked for until it is free in both
// address families.
const tries = 16

func (s *Server) holdOne(ctx context.Context, who opener, p Port, port uint16) ([]*held, error) {
	if p.HostIP.IsValid() {
		h, err := s.bindFree(ctx, who, p, p.HostIP, port)
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
		four, err := s.bindFree(ctx, who, p, any4, port)
		if err != nil {
			return nil, err
		}
		six, err := s.bind(ctx, who, p, any6, four.HostPort)
		switch {
		case err == nil:
			return []*held{four, six}, nil
		case socket.NoFamily(err):
			return []*held{four}, nil // a host without IPv6
		}
		if e := s.leave(four); e != nil {
			return nil, e
		}
		if port != 0 || try == tries {
			return nil, err
		}
	}
}

// bindFree makes a socket whose port is in no run that is held.
func (s *Server) bindFree(ctx context.Context, who opener, p Port, ip netip.Addr, port uint16) (*held, error) {
	for try := 0; ; try++ {
		h, err := s.bind(ctx, who, p, ip, port)
		if err != nil || !s.inRun(p.Proto, ip, h.HostPort) {
			return h, err
		}
		if err := s.leave(h); err != nil {
			return nil, err
		}
		if port != 0 || try == tries {
			return nil, &bindError{binding: h.Binding, err: syscall.EADDRINUSE}
		}
	}
}

// bind makes one socket, or shares one that is there. TCP sockets listen, because
// a port that is merely bound with SO_REUSEADDR can be taken by others, and
// without it the remains of closed connections would keep us out.
func (s *Server) bind(ctx context.Context, who opener, p Port, ip netip.Addr, port uint16) (*held, error) {
	h := &held{owner: who.owner, member: who.Member}
	h.Binding = Binding{HostIP: ip, HostPort: port, Proto: p.Proto, ContainerIP: p.ContainerIP, ContainerPort: p.ContainerPort, InName: p.InName}
	if d := s.shared(who, h.place()); d != nil && port != 0 {
		d.enter(h)
		return h, nil
	}
	family := "4"
	if ip.Is6() {
		family = "6" // Go sets IPV6_V6ONLY for it
	}
	addr := net.JoinHostPort(ip.String(), strconv.Itoa(int(port)))
	config := net.ListenConfig{}
	d := &door{share: who.Share}
	var err error
	switch p.Proto {
	case "tcp":
		if d.listener, err = config.Listen(ctx, "tcp"+family, addr); err == nil {
			h.HostPort = uint16(d.listener.Addr().(*net.TCPAddr).Port)
		}
	case "udp":
		if d.packets, err = config.ListenPacket(ctx, "udp"+family, addr); err == nil {
			h.HostPort = uint16(d.packets.LocalAddr().(*net.UDPAddr).Port)
		}
	case "sctp":
		if d.listener, err = socket.ListenSCTP(ctx, netip.AddrPortFrom(ip, port)); err == nil {
			h.HostPort = uint16(d.listener.Addr().(*net.TCPAddr).Port)
		}
	default:
		err = fmt.Errorf("protocol %q cannot be held", p.Proto)
	}
	if err != nil {
		return nil, &bindError{binding: h.Binding, err: err}
	}
	s.open(d, h)
	if err := d.mark(); err != nil {
		return nil, errors.Join(err, s.leave(h))
	}
	return h, nil
}

// open puts h behind a new door. Server.mu is held.
func (s *Server) open(d *door, h *held) {
	d.at = h.place()
	s.doors[d.at] = d
	d.enter(h)
}

// mark makes the door's socket one that the firewall knows (nft.Table: `socket
// transparent`): who is on an internal network does not begin there.
func (d *door) mark() error {
	var from any = d.packets
	if d.listener != nil {
		from = d.listener
	}
	raw, err := from.(syscall.Conn).SyscallConn()
	if err == nil {
		err = socket.SetTransparent(raw, d.at.ip.Is6())
	}
	if err != nil {
		return fmt.Errorf("mark the socket of a published port: %w", err)
	}
	return nil
}

// bindError remembers which socket could not be bound.
type bindError struct {
	binding Binding
	err     error
	twice   bool // the same request wants the port already
}

func (e *bindError) Error() string { return e.err.Error() }
func (e *bindError) Unwrap() error { return e.err }
