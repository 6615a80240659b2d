package netd

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/berth-engine/berth/kernel/socket"
)

// serve passes what reaches the socket to the container until the socket is
// closed. It returns after everything it started.
func (h *held) serve() {
	switch {
	case h.Count > 0:
		return
	case h.listener != nil:
		h.serveTCP()
	default:
		h.serveUDP()
	}
}

func (h *held) serveTCP() {
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		c, err := h.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(10 * time.Millisecond) // out of descriptors: others must end first
			continue
		}
		wg.Go(func() { h.splice(c.(*net.TCPConn)) })
	}
}

// splice joins two connections until both directions have ended. Go moves the
// bytes with splice(2).
func (h *held) splice(client *net.TCPConn) {
	defer client.Close()
	defer h.spliced.add(client)()
	from, to := client.RemoteAddr().(*net.TCPAddr).AddrPort(), h.target()
	c, err := h.dial("tcp", from)
	if err != nil && h.target() != to { // that address has just gone
		c, err = h.dial("tcp", from)
	}
	if err != nil {
		_ = client.SetLinger(0) // a reset is what a refused connection looks like
		return
	}
	server := c.(*net.TCPConn)
	defer server.Close()
	defer h.spliced.add(server)()
	var wg sync.WaitGroup
	pass := func(to, from *net.TCPConn) {
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

// serveUDP gives every client a socket of its own towards the container, so
// that answers find their way back.
func (h *held) serveUDP() {
	r := &datagrams{socket: h.packets.(*net.UDPConn), dial: h.dial, target: h.target, peers: map[netip.AddrPort]*net.UDPConn{}}
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

// datagram buffers are shared: most sockets never hear anything.
var buffers = sync.Pool{New: func() any { return new([64 << 10]byte) }}

// pass passes on a datagram that has arrived; false: the socket is closed.
func (r *datagrams) pass() bool {
	buf := buffers.Get().(*[64 << 10]byte)
	defer buffers.Put(buf)
	n, from, err := r.socket.ReadFromUDPAddrPort(buf[:])
	if errors.Is(err, net.ErrClosed) {
		return false
	}
	if err != nil {
		return true // an ICMP error about an earlier datagram
	}
	if peer := r.peer(from); peer != nil {
		_, _ = peer.Write(buf[:n]) // a datagram may be lost, that is its nature
	}
	return true
}

type datagrams struct {
	socket *net.UDPConn
	dial   func(network string, client netip.AddrPort) (net.Conn, error)
	target func() netip.Addr
	mu     sync.Mutex
	peers  map[netip.AddrPort]*net.UDPConn
	wg     sync.WaitGroup
}

func (r *datagrams) peer(from netip.AddrPort) *net.UDPConn {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c := r.peers[from]; c != nil && c.RemoteAddr().(*net.UDPAddr).AddrPort().Addr().Unmap() != r.target() {
		c.Close() // it leads elsewhere by now
		delete(r.peers, from)
	}
	if c := r.peers[from]; c != nil {
		_ = c.SetReadDeadline(time.Now().Add(peerIdle)) // closed: its reader is about to forget it
		return c
	}
	if len(r.peers) >= maxPeers {
		return nil
	}
	conn, err := r.dial("udp", from)
	if err != nil {
		return nil
	}
	c := conn.(*net.UDPConn)
	_ = c.SetReadDeadline(time.Now().Add(peerIdle)) // just opened
	r.peers[from] = c
	r.wg.Go(func() { r.back(from, c) })
	return c
}

// back carries answers to one client until it was idle for long.
func (r *datagrams) back(to netip.AddrPort, c *net.UDPConn) {
	buf := make([]byte, 64<<10)
	for {
		n, err := c.Read(buf)
		if errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
		if err == nil {
			_, _ = r.socket.WriteToUDPAddrPort(buf[:n], to)
		}
	}
	r.mu.Lock()
	if r.peers[to] == c {
		delete(r.peers, to)
	}
	r.mu.Unlock()
	c.Close()
}

func (r *datagrams) end() {
	r.mu.Lock()
	for _, c := range r.peers {
		c.Close()
	}
	r.mu.Unlock()
	r.wg.Wait()
}
