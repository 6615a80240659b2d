package netd

import (
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/berth-engine/berth/kernel/socket"
)

// door is a socket, and those whom it leads to: one owner's container, or those
// of several that share the port.
type door struct {
	at       place
	share    string
	listener net.Listener   // tcp
	packets  net.PacketConn // udp
	served   bool           // guarded by Server.mu

	mu     sync.RWMutex
	behind []*held
}

// place is where a socket is bound.
type place struct {
	ip    netip.Addr
	port  uint16
	proto string
}

func (b *Binding) place() place { return place{b.HostIP, b.HostPort, b.Proto} }

// shared is the door at a place that who may go through, too; nil: there is
// none. Server.mu is held.
func (s *Server) shared(who opener, at place) *door {
	d := s.doors[at]
	if who.Share == "" || d == nil || d.share != who.Share {
		return nil
	}
	if slices.ContainsFunc(d.behind, func(h *held) bool { return h.owner == who.owner }) {
		return nil // one container, twice the same port
	}
	return d
}

// enter puts h behind a door. Server.mu is held.
func (d *door) enter(h *held) {
	d.mu.Lock()
	defer d.mu.Unlock()
	h.door = d
	d.behind = append(d.behind, h)
}

// leave takes h away; with the last one, the door is shut. If a successor has
// the door, h stays behind it for who was accepted here. Server.mu is held.
func (s *Server) leave(h *held) error {
	d := h.door
	if d == nil {
		return nil
	}
	if !s.heir && !d.part(h) {
		return nil
	}
	if s.doors[d.at] == d {
		delete(s.doors, d.at)
	}
	return d.shut()
}

// shut closes the socket, once or more often.
func (d *door) shut() error {
	var err error
	if d.listener != nil {
		err = d.listener.Close()
	} else {
		err = d.packets.Close()
	}
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// part takes h from behind the door; true: nobody is left.
func (d *door) part(h *held) (last bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.behind = slices.DeleteFunc(slices.Clone(d.behind), func(x *held) bool { return x == h })
	return len(d.behind) == 0
}

// all is who is behind the door.
func (d *door) all() []*held {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return slices.Clone(d.behind)
}

// choose picks one for whom the next connection is; nil: nobody is left. Those
// in not are passed over.
func (d *door) choose(not map[*held]bool) *held {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if len(d.behind) == 1 && len(not) == 0 && d.behind[0].member.Turn != Drained {
		return d.behind[0]
	}
	left := slices.DeleteFunc(slices.Clone(d.behind), func(h *held) bool { return not[h] })
	left = Next(left, func(h *held) Member { return h.member })
	if len(left) == 0 {
		return nil
	}
	return left[rand.IntN(len(left))]
}

// has tells whether h is still behind the door.
func (d *door) has(h *held) bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return slices.Contains(d.behind, h)
}

// serveDoor passes what reaches the socket to containers until the socket is
// closed. It returns after everything it started. A panic ends the one
// connection, or loses the one datagram, that it is about.
func (s *Server) serveDoor(d *door) {
	if d.listener == nil {
		s.serveUDP(d)
		return
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		c, err := d.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(10 * time.Millisecond) // out of descriptors: others must end first
			continue
		}
		if d.at.proto == "sctp" { // whose streams and messages a splice would lose
			_ = c.Close() // the firewall should have led it
			continue
		}
		if !s.spare.take(perConnection) {
			refuse(c.(*net.TCPConn))
			continue
		}
		wg.Go(func() {
			defer s.spare.give(perConnection)
			s.splice(d, c.(*net.TCPConn))
		})
	}
}

// reach connects to a container for a client: to another one where the first
// does not take it.
func (s *Server) reach(d *door, client netip.AddrPort) (*held, net.Conn) {
	not := map[*held]bool{}
	for {
		h := d.choose(not)
		if h == nil {
			return nil, nil
		}
		to := h.target()
		if c, err := s.dial(h, "tcp", client); err == nil {
			return h, c
		}
		not[h] = h.target() == to // else that address has just gone
		if !not[h] {
			delete(not, h)
		}
	}
}

// serveUDP gives every client a socket of its own towards a container, so that
// answers find their way back.
func (s *Server) serveUDP(d *door) {
	r := &datagrams{server: s, socket: d.packets.(*net.UDPConn), door: d, peers: map[netip.AddrPort]*peer{}}
	defer r.end()
	for {
		if err := socket.Readable(r.socket); err != nil {
			return // closed
		}
		if !r.pass() {
			return
		}
	}
}
