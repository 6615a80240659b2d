package network

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/events"

	"github.com/berth-engine/berth/fault"
	"github.com/berth-engine/berth/network/netns"
)

// attachedTo returns what a container has; it is the caller who sees to it that
// nobody else changes it meanwhile.
func (m *Manager) attachedTo(id string) (*attachment, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.attachment(id)
}

// attachment returns what a container has; m.mu is held.
func (m *Manager) attachment(id string) (*attachment, error) {
	if a := m.attached[id]; a != nil {
		return a, nil
	}
	return nil, fmt.Errorf("network of %s: %w", id, errdefs.ErrNotFound)
}

// Connect gives a running container one more interface. ns is its namespace,
// which stays the caller's; ports are those that it is to have, of which some
// can be had only by now, or no longer, because another network is the way out.
// On an error nothing has changed. The container's other methods must not be
// called at the same time.
func (m *Manager) Connect(ctx context.Context, id string, ns *os.File, w EndpointSpec, ports []PortSpec) (_ Result, err error) {
	if err := checkPorts(ports, m.policy); err != nil {
		return Result{}, err
	}
	a, err := m.attachedTo(id)
	if err != nil {
		return Result{}, err
	}
	n, err := netns.Open(ns)
	if err != nil {
		return Result{}, err
	}
	defer n.End() // after what is undone in it
	var u undo
	defer func() {
		if err != nil {
			err = u.run(ctx, err)
		}
	}()
	p, err := m.claim(ctx, w)
	if err != nil {
		return Result{}, err
	}
	u.push(func(context.Context) error { m.unclaim(p.s, &p.e); return nil })
	before := a.result
	for i := range before.Endpoints {
		if before.Endpoints[i].NetworkID == p.e.NetworkID {
			return Result{}, forbidden("endpoint with name %s already exists in network %s", before.Name, p.e.Network)
		}
	}
	u.push(func(context.Context) error {
		if p.e.Interface == "" {
			return nil
		}
		return n.Remove(p.e.Interface)
	})
	if err := m.wire(ctx, n, p, nil, &u); err != nil {
		return Result{}, err
	}
	if err := fault.Point("network.connect.wired"); err != nil {
		return Result{}, err
	}
	r := before.clone()
	r.Endpoints = append(r.Endpoints, p.e)
	if err := m.leadable(&r, ports); err != nil {
		return Result{}, err
	}
	if err := m.reroute(ctx, id, a, &before, &r, n, ports, &u); err != nil {
		return Result{}, err
	}
	m.announce(events.ActionConnect, id, &p.e)
	return r, nil
}

// Disconnect takes an interface away from a running container; ports are as for
// Connect.
func (m *Manager) Disconnect(ctx context.Context, id string, ns *os.File, network string, ports []PortSpec) (_ Result, err error) {
	a, err := m.attachedTo(id)
	if err != nil {
		return Result{}, err
	}
	before := a.result
	i := slices.IndexFunc(before.Endpoints, func(e Endpoint) bool { return e.Network == network || e.NetworkID == network })
	if i < 0 {
		return Result{}, forbidden("container %s is not connected to network %s", before.Name, network)
	}
	e := before.Endpoints[i]
	n, err := netns.Open(ns)
	if err != nil {
		return Result{}, err
	}
	defer n.End()
	r := before.clone()
	r.Endpoints = slices.Delete(r.Endpoints, i, i+1)
	if err := m.leadable(&r, ports); err != nil {
		m.log.Warn("a container's ports are not published any more", "container", id, "why", err)
	}
	var u undo
	err = m.reroute(ctx, id, a, &before, &r, n, ports, &u)
	if err == nil {
		err = fault.Point("network.disconnect.turned")
	}
	if err != nil {
		return Result{}, u.run(ctx, err)
	}
	e.External = false // reroute has revoked it
	err = errors.Join(m.part(ctx, n, &e), n.Remove(e.Interface))
	if e.Network != DefaultNetwork {
		err = errors.Join(err, m.ports.DropRecord(ctx, e.NetworkID, e.EndpointID))
	}
	if err = errors.Join(err, m.forget(&e)); err != nil {
		// It is disconnected nevertheless: the addresses lead nowhere.
		m.log.Error("disconnect a container", "container", id, "network", e.Network, "error", err)
	}
	m.announce(events.ActionDisconnect, id, &e)
	return r, nil
}

// reroute brings a container from one set of endpoints to another, whose
// interfaces exist: default routes, names, published ports.
func (m *Manager) reroute(ctx context.Context, id string, a *attachment, before, r *Result, n *netns.Namespace, ports []PortSpec, u *undo) error {
	gateways, err := r.routes(n.Interface)
	if err != nil {
		return err
	}
	u.push(func(context.Context) error {
		old, err := before.routes(n.Interface)
		if err != nil {
			return err
		}
		return n.SetGateways(old...)
	})
	if err := n.SetGateways(gateways...); err != nil {
		return err
	}
	u.push(func(ctx context.Context) error { return m.renamed(ctx, id, r, before, n.File) })
	if err := m.renamed(ctx, id, before, r, n.File); err != nil {
		return err
	}
	if err := m.repoint(ctx, id, a, before, r, ports, u); err != nil {
		return err
	}
	if err := m.redirect(ctx, n, before, r, ports, u); err != nil {
		return err
	}
	rules, err := m.ruleset(r)
	if err != nil {
		return err
	}
	if slices.Equal(rulesOf(rules), a.rules) {
		m.mu.Lock()
		defer m.mu.Unlock()
		a.result = *r
		return nil
	}
	if err := m.publish(a, *r, rules); err != nil || r.target() == before.target() {
		return err
	}
	if slices.ContainsFunc(before.Ports, Row.udp) {
		// They would go on to the address that ports led to before.
		if err := before.forgetFlows(); err != nil {
			m.log.Warn("forget flows of ports that lead elsewhere", "container", id, "error", err)
		}
	}
	return nil
}

// renamed brings names from one set of endpoints to another.
func (m *Manager) renamed(ctx context.Context, id string, before, r *Result, ns *os.File) error {
	if r.Resolver() {
		return m.name(ctx, id, r, ns, m.ports.Resolve)
	}
	if before.Resolver() {
		return m.unname(ctx, id, before)
	}
	return nil
}

// clone is a copy whose endpoints can be changed.
func (r *Result) clone() Result {
	c := *r
	c.Endpoints = slices.Clone(r.Endpoints)
	for i := range c.Endpoints {
		c.Endpoints[i].Names = slices.Clone(c.Endpoints[i].Names)
	}
	return c
}
