package remote

import (
	"context"
	"net"
	"time"
)

// watchedDialer makes connections that notice a registry which stops sending.
type watchedDialer struct{ net.Dialer }

func (d *watchedDialer) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	c, err := d.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return watchedConn{c}, nil
}

// watchedConn fails a read that gets nothing for too long, so that a registry
// that stops sending does not hold a pull for ever.
type watchedConn struct{ net.Conn }

func (c watchedConn) Read(p []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(stall)); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}
