package dns

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"
)

// Bounds of serving.
const (
	maxConns = 64               // open TCP connections
	connIdle = 10 * time.Second // between two questions on one
)

// past is a deadline that is over.
var past = time.Unix(1, 0)

// Serve answers on both sockets until ctx ends. Then it reads nothing more, for
// another process may have the sockets as well, but what it has read it still
// answers. It closes the sockets and returns after everything it started.
func (r *Resolver) Serve(ctx context.Context, packets *net.UDPConn, l *net.TCPListener) {
	var wg sync.WaitGroup
	defer r.forward.close()
	defer packets.Close()
	defer wg.Wait()
	defer context.AfterFunc(ctx, func() {
		_ = packets.SetReadDeadline(past) // fails if it is closed, which is as good
		l.Close()
	})()
	wg.Go(func() { r.serveUDP(ctx, packets, &wg) })
	r.serveTCP(ctx, l, &wg)
}

func (r *Resolver) serveUDP(ctx context.Context, c *net.UDPConn, wg *sync.WaitGroup) {
	buf := make([]byte, maxUDP)
	for {
		n, from, err := c.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrDeadlineExceeded) {
			return
		}
		if err == nil {
			r.datagram(ctx, c, from, buf[:n], wg)
		}
	}
}

// datagram answers what can be answered at once; only what somebody else must
// be asked for takes a goroutine.
func (r *Resolver) datagram(ctx context.Context, c *net.UDPConn, from netip.AddrPort, raw []byte, wg *sync.WaitGroup) {
	defer r.crashed.contain(func() {})
	q, m := r.quick(raw)
	switch {
	case q == nil:
	case m != nil:
		_, _ = c.WriteToUDPAddrPort(pack(q, m, false), from) // a datagram may be lost
	default:
		wg.Go(func() {
			_, _ = c.WriteToUDPAddrPort(r.elsewhere(ctx, q, false), from)
		})
	}
}

func (r *Resolver) serveTCP(ctx context.Context, l *net.TCPListener, wg *sync.WaitGroup) {
	slots := make(chan struct{}, maxConns)
	for {
		c, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(10 * time.Millisecond) // out of descriptors: others must end first
			continue
		}
		select {
		case slots <- struct{}{}:
		default:
			c.Close()
			continue
		}
		wg.Go(func() {
			defer func() { <-slots }()
			defer r.crashed.contain(func() {})
			defer c.Close()
			defer context.AfterFunc(ctx, func() { _ = c.SetReadDeadline(past) })()
			r.conn(ctx, c)
		})
	}
}

// conn answers one connection's questions, one after the other (RFC 7766).
func (r *Resolver) conn(ctx context.Context, c net.Conn) {
	buf := make([]byte, 2+maxUDP)
	for {
		if c.SetDeadline(time.Now().Add(connIdle)) != nil || ctx.Err() != nil {
			return
		}
		if _, err := io.ReadFull(c, buf[:2]); err != nil {
			return
		}
		n := int(binary.BigEndian.Uint16(buf))
		if n > maxUDP {
			return // no question is that long
		}
		if _, err := io.ReadFull(c, buf[:n]); err != nil {
			return
		}
		out := r.respond(ctx, buf[:n], true)
		if out == nil {
			return
		}
		if _, err := c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(out))), out...)); err != nil {
			return
		}
	}
}
