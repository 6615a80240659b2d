package ports

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/containerd/errdefs"

	"github.com/berth-engine/berth/kernel/ns"
	"github.com/berth-engine/berth/kernel/socket"
	"github.com/berth-engine/berth/network/dns"
	"github.com/berth-engine/berth/network/netd"
	"github.com/berth-engine/berth/network/nft"
)

// resolver is one that we want netd to have.
type resolver struct {
	sandbox dns.Sandbox
	sockets []*socket.Kept // copies, for another netd should this one die
}

func (r *resolver) close() {
	for _, k := range r.sockets {
		k.Close()
	}
}

// place names an endpoint.
type place struct{ network, endpoint string }

// Resolve gives a container a resolver at dns.Address in its network namespace,
// or changes what its resolver knows. The namespace may be nil where there is a
// resolver, also one from before the engine was restarted; else the error is
// errdefs.ErrNotFound.
func (k *Keeper) Resolve(ctx context.Context, s dns.Sandbox, namespace *os.File) error {
	known, err := k.changeResolver(ctx, s)
	if known || err == nil || !errdefs.IsNotFound(err) || namespace == nil {
		return err
	}
	return k.AddResolver(ctx, s, namespace)
}

// changeResolver tells a resolver that there is what it knows from now on; known:
// this Keeper has it already.
func (k *Keeper) changeResolver(ctx context.Context, s dns.Sandbox) (known bool, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if r := k.resolvers[s.ID]; r != nil {
		r.sandbox = s
		return true, k.call(ctx, func(c *netd.Client) error { return c.Resolve(s) })
	}
	r := &resolver{sandbox: s}
	err = k.call(ctx, func(c *netd.Client) error {
		err := c.Resolve(s)
		if err == nil {
			r.sockets, err = c.Lend(s.ID)
		}
		return err
	})
	if err != nil {
		r.close()
		return false, err
	}
	k.resolvers[s.ID] = r
	return false, nil
}

// AddResolver is Resolve for a namespace that has no resolver for sure: a new one.
// Others need not wait while its sockets are made.
func (k *Keeper) AddResolver(ctx context.Context, s dns.Sandbox, namespace *os.File) error {
	sockets, err := openResolver(namespace)
	if err != nil {
		return fmt.Errorf("resolver of %s: %w", s.ID, err)
	}
	r := &resolver{s, sockets}
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.call(ctx, func(c *netd.Client) error { return c.Resolve(s, r.sockets...) }); err != nil {
		r.close()
		return err
	}
	if old := k.resolvers[s.ID]; old != nil {
		old.close()
	}
	k.resolvers[s.ID] = r
	return nil
}

// openResolver makes a resolver's sockets in a container's namespace.
func openResolver(namespace *os.File) (sockets []*socket.Kept, err error) {
	err = ns.WithNetNS(namespace, func() error {
		at := net.IP(dns.Address.AsSlice())
		packets, err := net.ListenUDP("udp4", &net.UDPAddr{IP: at})
		if err != nil {
			return err
		}
		defer packets.Close()
		listener, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: at})
		if err != nil {
			return err
		}
		defer listener.Close()
		for _, open := range []func() (*os.File, error){packets.File, listener.File} {
			f, err := open()
			if err != nil {
				return err
			}
			k, err := socket.Keep(f)
			if err != nil {
				return err
			}
			sockets = append(sockets, k)
		}
		return nft.Resolver(dns.Address, uint16(packets.LocalAddr().(*net.UDPAddr).Port), uint16(listener.Addr().(*net.TCPAddr).Port))
	})
	if err != nil {
		(&resolver{sockets: sockets}).close()
		return nil, err
	}
	return sockets, nil
}

// Unresolve ends a container's resolver; it is no error if there is none.
func (k *Keeper) Unresolve(ctx context.Context, id string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	r := k.resolvers[id]
	if r == nil {
		return nil
	}
	r.close()
	delete(k.resolvers, id)
	return k.call(ctx, func(c *netd.Client) error { return c.Unresolve(id) })
}

// SetRecord makes an endpoint's names known to the resolvers of its network, or
// changes them.
func (k *Keeper) SetRecord(ctx context.Context, r dns.Record) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.records[place{r.Network, r.Endpoint}] = r
	return k.call(ctx, func(c *netd.Client) error { return c.SetRecord(r) })
}

// DropRecord forgets an endpoint's names; it is no error if there are none.
func (k *Keeper) DropRecord(ctx context.Context, network, endpoint string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, ok := k.records[place{network, endpoint}]; !ok {
		return nil
	}
	delete(k.records, place{network, endpoint})
	return k.call(ctx, func(c *netd.Client) error { return c.DropRecord(network, endpoint) })
}

// restoreNames tells a new netd what the old one knew; k.mu is held.
func (k *Keeper) restoreNames() error {
	sandboxes, records, err := k.client.Names()
	if err != nil {
		return err
	}
	have := map[string]bool{}
	for _, s := range sandboxes {
		have[s.ID] = true
	}
	known := map[place]bool{}
	for _, r := range records {
		known[place{r.Network, r.Endpoint}] = true
	}
	for at, r := range k.records {
		if !known[at] {
			err = errors.Join(err, k.client.SetRecord(r))
		}
	}
	for id, r := range k.resolvers {
		if !have[id] {
			err = errors.Join(err, k.client.Resolve(r.sandbox, r.sockets...))
		}
	}
	return err
}

// pruneNames drops what nobody asked for since the engine started; k.mu is held.
func (k *Keeper) pruneNames(c *netd.Client) error {
	sandboxes, records, err := c.Names()
	if err != nil {
		return err
	}
	for _, s := range sandboxes {
		if k.resolvers[s.ID] == nil {
			err = errors.Join(err, c.Unresolve(s.ID))
		}
	}
	for _, r := range records {
		if _, ok := k.records[place{r.Network, r.Endpoint}]; !ok {
			err = errors.Join(err, c.DropRecord(r.Network, r.Endpoint))
		}
	}
	return err
}
