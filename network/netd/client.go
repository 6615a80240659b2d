package netd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"

	"github.com/containerd/errdefs"
)

// Client is the engine's connection to a running netd. It is safe for
// concurrent use; requests are answered one after the other.
type Client struct {
	mu   sync.Mutex
	conn *net.UnixConn
	pid  int
}

// Dial connects and agrees on a version. A socket on which nobody listens is
// errdefs.ErrUnavailable.
func Dial(ctx context.Context, socket string) (*Client, error) {
	var dialer net.Dialer
	c, err := dialer.DialContext(ctx, "unix", socket)
	if err != nil {
		return nil, errors.Join(err, errdefs.ErrUnavailable)
	}
	client := &Client{conn: c.(*net.UnixConn)}
	r, err := client.call(&request{Op: opHello, Version: Version})
	if err == nil && r.Version != Version {
		err = fmt.Errorf("netd speaks version %d of its protocol, this engine %d: %w", r.Version, Version, errdefs.ErrFailedPrecondition)
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	client.pid = r.Pid
	return client, nil
}

// Pid is netd's process id.
func (c *Client) Pid() int { return c.pid }

// Watch returns when netd has ended, or ctx has. A client that watches must not
// be used for anything else.
func (c *Client) Watch(ctx context.Context) {
	defer context.AfterFunc(ctx, func() { c.conn.Close() })()
	_, _ = c.conn.Read(make([]byte, 1)) // netd never says anything unasked: this fails at the end
}

// Reserve holds all ports for owner, or none; why not is a *RefusalError.
func (c *Client) Reserve(owner string, ports []Port) ([]Binding, error) {
	r, err := c.call(&request{Op: opReserve, Owner: owner, Ports: ports})
	if err != nil {
		return nil, err
	}
	return r.Bindings, nil
}

// Release closes what owner holds.
func (c *Client) Release(owner string) error {
	_, err := c.call(&request{Op: opRelease, Owner: owner})
	return err
}

// List tells what is held, by owner.
func (c *Client) List() (map[string][]Binding, error) {
	r, err := c.call(&request{Op: opList})
	if err != nil {
		return nil, err
	}
	return r.Held, nil
}

// Quit ends a netd that holds nothing; one that does refuses.
func (c *Client) Quit() error {
	_, err := c.call(&request{Op: opQuit})
	return err
}

// Close ends the connection; netd goes on.
func (c *Client) Close() error { return c.conn.Close() }

func (c *Client) call(req *request) (*response, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var r response
	err := writeFrame(c.conn, req)
	if err == nil {
		err = readFrame(c.conn, &r)
	}
	switch {
	case err != nil:
		return nil, fmt.Errorf("netd: %w: %w", err, errdefs.ErrUnavailable)
	case r.Refusal != nil:
		return nil, r.Refusal
	case r.Error != "":
		return nil, fmt.Errorf("netd: %s", r.Error)
	}
	return &r, nil
}
