package netd

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/berth-engine/berth/kernel/socket"
)

// splice joins two connections until both directions have ended. Go moves the
// bytes with splice(2).
func (s *Server) splice(d *door, client *net.TCPConn) {
	defer s.contain("a connection", nothing)
	defer client.Close()
	h, c := s.reach(d, client.RemoteAddr().(*net.TCPAddr).AddrPort())
	if h == nil {
		refuse(client)
		return
	}
	defer h.spliced.add(client)()
	server := c.(*net.TCPConn)
	defer server.Close()
	defer h.spliced.add(server)()
	var wg sync.WaitGroup
	pass := func(to, from *net.TCPConn) {
		defer s.contain("a connection", func() {
			client.Close()
			server.Close()
		})
		_, _ = io.Copy(to, from) // either side may go away at any time
		_ = to.CloseWrite()
	}
	wg.Go(func() { pass(server, client) })
	wg.Go(func() { pass(client, server) })
	wg.Wait()
}

// connections are those that can be ended from outside.
type connections struct {
	mu  sync.Mutex
	all map[net.Conn]struct{}
	end bool
}

// add registers a connection; the result takes it back. One that comes after
// the end is closed at once.
func (s *connections) add(c net.Conn) func() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.end {
		c.Close()
		return func() {}
	}
	if s.all == nil {
		s.all = map[net.Conn]struct{}{}
	}
	s.all[c] = struct{}{}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.all, c)
	}
}

func (s *connections) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.all)
}

func (s *connections) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.end = true
	for c := range s.all {
		c.Close()
	}
}

// Bounds of the datagram relay: how many clients it remembers, and for how
// long after their last datagram.
const (
	maxPeers = 1024
	peerIdle = 90 * time.Second
)

// datagram buffers are shared: most sockets never hear anything.
var buffers = sync.Pool{New: func() any { return new([socket.DatagramSize]byte) }}

// pass passes on a datagram that has arrived; false: the socket is closed.
func (r *datagrams) pass() (open bool) {
	defer r.server.contain("a datagram", func() { open = true })
	buf := buffers.Get().(*[socket.DatagramSize]byte)
	defer buffers.Put(buf)
	n, from, err := r.socket.ReadFromUDPAddrPort(buf[:])
	if errors.Is(err, net.ErrClosed) {
		return false
	}
	if err != nil {
		return true // an ICMP error about an earlier datagram
	}
	if p := r.peer(from); p != nil {
		_, _ = p.Write(buf[:n]) // a datagram may be lost, that is its nature
	}
	return true
}

type datagrams struct {
	server *Server
	socket *net.UDPConn
	door   *door
	mu     sync.Mutex
	peers  map[netip.AddrPort]*peer
	wg     sync.WaitGroup
}

// peer is the socket of one client towards the container that it speaks to.
type peer struct {
	*net.UDPConn
	of    *held
	heard time.Time // when its client last sent; guarded by datagrams.mu
}

// stale tells whether it leads elsewhere than it should by now.
func (p *peer) stale(d *door) bool {
	return p.RemoteAddr().(*net.UDPAddr).AddrPort().Addr().Unmap() != p.of.target() || !d.has(p.of)
}

func (r *datagrams) peer(from netip.AddrPort) *peer {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p := r.peers[from]; p != nil && p.stale(r.door) {
		p.Close()
		delete(r.peers, from)
	}
	if p := r.peers[from]; p != nil {
		p.heard = time.Now()
		_ = p.SetReadDeadline(p.heard.Add(peerIdle)) // closed: its reader is about to forget it
		return p
	}
	h := r.door.choose(nil)
	if h == nil {
		return nil
	}
	if len(r.peers) >= maxPeers {
		r.evict()
	}
	if !r.server.spare.take(perPeer) {
		return nil
	}
	conn, err := r.server.dial(h, "udp", from)
	if err != nil {
		r.server.spare.give(perPeer)
		return nil
	}
	p := &peer{UDPConn: conn.(*net.UDPConn), of: h, heard: time.Now()}
	_ = p.SetReadDeadline(p.heard.Add(peerIdle)) // just opened
	r.peers[from] = p
	r.wg.Go(func() {
		defer r.server.spare.give(perPeer)
		r.back(from, p)
	})
	return p
}

// evict drops the one of a few clients, by chance, that was silent longest: so
// one that sends under many addresses shuts nobody out. r.mu is held.
func (r *datagrams) evict() {
	var (
		out    *peer
		client netip.AddrPort
		looked int
	)
	for from, p := range r.peers { // in an order of chance
		if out == nil || p.heard.Before(out.heard) {
			out, client = p, from
		}
		if looked++; looked == 16 {
			break
		}
	}
	out.Close()
	delete(r.peers, client)
}

// back carries answers to one client until it was idle for long.
func (r *datagrams) back(to netip.AddrPort, c *peer) {
	defer r.server.contain("a datagram's answer", nothing)
	defer c.Close()
	defer r.forget(to, c)
	// Clients are many, and most wait: only who reads has a buffer.
	_ = socket.EachDatagram(c, &buffers, func(b []byte) {
		_, _ = r.socket.WriteToUDPAddrPort(b, to)
	}) // it ends when the peer is closed, or idle
}

// forget drops the socket of a client, unless it has another by now.
func (r *datagrams) forget(client netip.AddrPort, c *peer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.peers[client] == c {
		delete(r.peers, client)
	}
}

func (r *datagrams) end() {
	r.mu.Lock()
	for _, c := range r.peers {
		c.Close()
	}
	r.mu.Unlock()
	r.wg.Wait()
}
