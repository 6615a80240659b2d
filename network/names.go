package network

import (
	"context"
	"errors"
	"net/netip"
	"os"

	"github.com/berth-engine/berth/network/dns"
)

// Resolver tells whether the container has a resolver of its own, at
// dns.Address: on a network that somebody made. On the default one containers
// do not know each other's names.
func (r *Result) Resolver() bool {
	for i := range r.Endpoints {
		if r.Endpoints[i].Network != DefaultNetwork {
			return true
		}
	}
	return false
}

// resolve gives a container its resolver (ports.Keeper).
type resolve func(ctx context.Context, s dns.Sandbox, namespace *os.File) error

// name makes the container's names known on its networks, and gives it its
// resolver, or tells that what it may look up now.
func (m *Manager) name(ctx context.Context, id string, r *Result, ns *os.File, give resolve) error {
	_, ask := dns.ForResolver(dns.Config{Servers: r.Servers})
	s := dns.Sandbox{ID: id, Links: r.Links, Servers: ask}
	for _, i := range r.order() {
		e := &r.Endpoints[i]
		s.Outside = s.Outside || m.outward(e)
		if e.Network == DefaultNetwork {
			continue
		}
		s.Networks = append(s.Networks, e.NetworkID)
		if err := m.ports.SetRecord(ctx, e.record()); err != nil {
			return err
		}
	}
	return give(ctx, s, ns)
}

// outward tells whether something leads out of an endpoint's network.
func (m *Manager) outward(e *Endpoint) bool {
	s := m.segmentOf(e)
	return s != nil && !s.inward()
}

// record is the endpoint's names.
func (e *Endpoint) record() dns.Record {
	var addrs []netip.Addr
	for _, p := range e.assigned() {
		addrs = append(addrs, p.Addr())
	}
	return dns.Record{Network: e.NetworkID, NetworkName: e.Network, Endpoint: e.EndpointID, Names: e.Names, Addresses: addrs}
}

// unname takes back what name did.
func (m *Manager) unname(ctx context.Context, id string, r *Result) error {
	errs := []error{m.ports.Unresolve(ctx, id)}
	for i := range r.Endpoints {
		errs = append(errs, m.ports.DropRecord(ctx, r.Endpoints[i].NetworkID, r.Endpoints[i].EndpointID))
	}
	return errors.Join(errs...)
}

// Rename tells that a container is called otherwise from now on. It returns the
// result to be saved; ok: there is one.
func (m *Manager) Rename(ctx context.Context, id, name string) (r Result, ok bool, err error) {
	m.mu.Lock()
	a := m.attached[id]
	if a == nil {
		m.mu.Unlock()
		return r, false, nil
	}
	r = a.result.clone()
	old := r.Name
	r.Name = name
	for i := range r.Endpoints {
		e := &r.Endpoints[i]
		if len(e.Names) > 0 && e.Names[0] == old {
			e.Names[0] = name
		}
	}
	a.result = r
	m.mu.Unlock()
	var errs []error
	for i := range r.Endpoints {
		if e := &r.Endpoints[i]; e.Network != DefaultNetwork {
			errs = append(errs, m.ports.SetRecord(ctx, e.record()))
		}
	}
	return r, true, errors.Join(errs...)
}

// DNS returns what a container's /etc/resolv.conf should say: name servers,
// search domains and options.
func (m *Manager) DNS() (servers, search, options []string) {
	c := dns.Host(m.o.Home.IPv6)
	for _, a := range c.Servers {
		servers = append(servers, a.String())
	}
	return servers, c.Search, c.Options
}

// ResolvConf returns the same for a container with a resolver of its own, where
// the user asked for these settings; zero ones are the host's.
func (m *Manager) ResolvConf(search, options []string) (servers, domains, opts []string) {
	file, _ := dns.ForResolver(dns.Config{Search: search, Options: options})
	for _, a := range file.Servers {
		servers = append(servers, a.String())
	}
	return servers, file.Search, file.Options
}
