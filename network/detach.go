package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"

	"github.com/moby/moby/api/types/events"

	"github.com/berth-engine/berth/fault"
	"github.com/berth-engine/berth/kernel/netlink"
	"github.com/berth-engine/berth/network/netd"
	"github.com/berth-engine/berth/network/netns"
)

// Detach gives back what Attach took: addresses, ports, names, rules. The
// interfaces go with the namespace. It is no error if there is nothing, and it
// does all that it can.
func (m *Manager) Detach(ctx context.Context, id string) error {
	m.mu.Lock()
	a := m.attached[id]
	var errs []error
	if a != nil && len(a.rules) > 0 {
		errs = append(errs, m.unpublish(a))
	}
	delete(m.attached, id)
	m.mu.Unlock()
	if a == nil {
		return nil
	}
	errs = append(errs, fault.Point("network.unpublished"))
	r := &a.result
	if len(r.Ports) > 0 {
		errs = append(errs, m.ports.Release(ctx, id))
	}
	if r.Resolver() {
		errs = append(errs, m.unname(ctx, id, r))
	}
	if slices.ContainsFunc(r.Ports, Row.udp) {
		errs = append(errs, r.forgetFlows())
	}
	for i := range r.Endpoints {
		e := &r.Endpoints[i]
		errs = append(errs, m.part(ctx, nil, e), m.forget(e))
		if e.HostLink != "" {
			m.lingering.add(e.HostLink)
		}
		m.announce(events.ActionDisconnect, id, e)
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("detach %s: %w", id, err)
	}
	return nil
}

// forgetFlows ends the UDP flows that were led to the container.
func (r *Result) forgetFlows() error {
	var errs []error
	for i := range r.Endpoints {
		for _, p := range r.Endpoints[i].assigned() {
			errs = append(errs, netlink.ForgetFlows(p.Addr()))
		}
	}
	return errors.Join(errs...)
}

// unpublish takes a's ports back: those who share them get its part. m.mu is
// held.
func (m *Manager) unpublish(a *attachment) error {
	before := m.led(a)
	a.rules = nil
	return m.turnTo(before, m.led(a))
}

// Adopt takes over a running container that an earlier Manager attached; ns is
// its namespace, and stays the caller's. Its rules are put right by Prune.
func (m *Manager) Adopt(ctx context.Context, id string, ns *os.File, r Result) error {
	a := &attachment{result: r, adopted: true}
	if err := m.adopt(ctx, id, ns, a); err != nil {
		return fmt.Errorf("adopt network of %s: %w", id, err)
	}
	return nil
}

func (m *Manager) adopt(ctx context.Context, id string, ns *os.File, a *attachment) (err error) {
	if err := m.enter(id, a); err != nil {
		return err
	}
	var u undo
	u.push(func(context.Context) error { m.leave(id); return nil })
	defer func() {
		if err != nil {
			err = u.run(ctx, err)
		}
	}()
	r := &a.result
	for i := range r.Endpoints {
		e := &r.Endpoints[i]
		s, err := m.hold(e.NetworkID)
		if err != nil {
			return err
		}
		u.push(func(context.Context) error { m.drop(s); return nil })
		if s == m.home { // the setting may be another than before
			if err := s.bridge.Adopt(e.HostLink); err != nil {
				m.log.Warn("set up a container's port again", "container", id, "error", err)
			}
		}
		for _, p := range e.assigned() {
			pool := s.pool(p.Addr())
			if pool == nil {
				continue
			}
			if err := pool.Reserve(p.Addr()); err != nil {
				return err
			}
			u.push(func(context.Context) error { pool.Release(p.Addr()); return nil })
		}
		if s.guarded() {
			u.push(func(context.Context) error { return m.guard.remove(e.EndpointID) })
			m.guard.know(e.EndpointID, s.holder(e))
		}
	}
	rules, err := m.ruleset(r)
	if err != nil {
		return err
	}
	var was netd.Member
	known := false
	if !r.Service.none() {
		was, known = m.ports.MemberOf(ctx, id)
	}
	m.mu.Lock()
	// Until somebody asks it again, it is as it was. Of who it is that berth-netd
	// does not know, it has started: an engine has come since.
	a.rules, a.ready, a.came = rulesOf(rules), known && was.Turn == netd.Ready, was.Came
	m.came = max(m.came, a.came)
	member := a.member()
	m.mu.Unlock()
	// Better a published port that nobody guards, and a container that cannot
	// resolve names, than none.
	if want := m.bindings(r); len(want) > 0 {
		if err := m.ports.Adopt(ctx, id, member, want); err != nil {
			m.log.Error("hold ports of a running container", "container", id, "error", err)
		}
	}
	if r.Resolver() {
		if err := m.name(ctx, id, r, ns, m.ports.Resolve); err != nil {
			m.log.Error("resolve names for a running container", "container", id, "error", err)
		}
	}
	return nil
}

// Prune ends an adoption: it drops everything of earlier Managers that belongs
// to none of the containers live, and makes the firewall's table exactly what it should be, in
// one transaction.
func (m *Manager) Prune(ctx context.Context, live []string) error {
	m.mu.Lock()
	var dead []string
	for id, a := range m.attached {
		if a.adopted && !slices.Contains(live, id) {
			dead = append(dead, id)
		}
	}
	m.inherited, m.settled = nil, true
	err := m.replace(m.published())
	m.mu.Unlock()
	errs := []error{err, m.guard.settle()}
	for _, id := range dead {
		errs = append(errs, m.Detach(ctx, id))
	}
	errs = append(errs, m.ports.Prune(ctx))
	return errors.Join(errs...)
}

// part takes back what joined an endpoint to a network without a bridge. n is
// where its interface is; nil: that is gone.
func (m *Manager) part(ctx context.Context, n *netns.Namespace, e *Endpoint) error {
	s := m.segmentOf(e)
	if s == nil || s.fabric == nil {
		return nil
	}
	return s.fabric.leave(ctx, n, e)
}

// forget makes the host forget an endpoint whose container is gone from it, and
// gives its addresses back.
func (m *Manager) forget(e *Endpoint) error {
	s := m.segmentOf(e)
	if s == nil {
		return nil
	}
	var err error
	if mac, bad := net.ParseMAC(e.MAC); bad == nil && s.bridge != nil {
		err = errors.Join(s.bridge.Forget(e.HostLink, mac), m.guard.remove(e.EndpointID))
	}
	m.unclaim(s, e)
	return err
}
