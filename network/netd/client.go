package netd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"

	"github.com/containerd/errdefs"

	"github.com/berth-engine/berth/kernel/socket"
	"github.com/berth-engine/berth/network/dns"
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
func (c *Client) Reserve(owner string, m Member, ports []Port) ([]Binding, error) {
	r, err := c.call(&request{Op: opReserve, Owner: owner, Member: m.said(), Ports: ports})
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

// List tells what is held, by owner, and what owners are to others.
func (c *Client) List() (map[string][]Binding, map[string]Member, error) {
	r, err := c.call(&request{Op: opList})
	if err != nil {
		return nil, nil, err
	}
	return r.Held, r.Members, nil
}

// Resolve has netd answer a container's questions about names on two sockets,
// packets (UDP) and listener (TCP), which stay the caller's. Without them, it
// changes what a resolver that is there knows; errdefs.ErrNotFound: there is none.
func (c *Client) Resolve(s dns.Sandbox, sockets ...*socket.Kept) error {
	r, err := c.call(&request{Op: opResolve, Sandbox: &s, Sockets: len(sockets) > 0}, sockets...)
	if err == nil && r.Missing {
		err = fmt.Errorf("resolver of %s: %w", s.ID, errdefs.ErrNotFound)
	}
	return err
}

// Lend returns copies of the sockets of a resolver, UDP and TCP.
func (c *Client) Lend(id string) ([]*socket.Kept, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r, err := c.exchange(&request{Op: opLend, Owner: id})
	if err != nil {
		return nil, err
	}
	if r.Missing {
		return nil, fmt.Errorf("resolver of %s: %w", id, errdefs.ErrNotFound)
	}
	out := make([]*socket.Kept, 2)
	for i := range out {
		if out[i], err = socket.ReceiveKept(c.conn); err != nil {
			closeKept(out)
			return nil, err
		}
	}
	return out, nil
}

// Unresolve ends a container's resolver. It is no error if there is none.
func (c *Client) Unresolve(id string) error {
	_, err := c.call(&request{Op: opUnresolve, Owner: id})
	return err
}

// SetRecord makes an endpoint's names known, or changes them.
func (c *Client) SetRecord(r dns.Record) error {
	_, err := c.call(&request{Op: opRecord, Record: &r})
	return err
}

// DropRecord forgets an endpoint's names.
func (c *Client) DropRecord(network, endpoint string) error {
	_, err := c.call(&request{Op: opUnrecord, Record: &dns.Record{Network: network, Endpoint: endpoint}})
	return err
}

// Names tells which resolvers and records there are.
func (c *Client) Names() ([]dns.Sandbox, []dns.Record, error) {
	r, err := c.call(&request{Op: opNames})
	if err != nil {
		return nil, nil, err
	}
	return r.Sandboxes, r.Records, nil
}

// Quit ends a netd that holds nothing; one that does refuses.
func (c *Client) Quit() error {
	_, err := c.call(&request{Op: opQuit})
	return err
}

// Close ends the connection; netd goes on.
func (c *Client) Close() error { return c.conn.Close() }

func (c *Client) call(req *request, sockets ...*socket.Kept) (*response, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.exchange(req, sockets...)
}

// exchange is call, with c.mu held.
func (c *Client) exchange(req *request, sockets ...*socket.Kept) (*response, error) {
	var r response
	err := writeFrame(c.conn, req)
	for _, k := range sockets {
		if err == nil {
			err = socket.SendKept(c.conn, k)
		}
	}
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
