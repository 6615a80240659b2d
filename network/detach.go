package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"

	"github.com/moby/moby/api/types/events"

	"github.com/berth-engine/berth/fault"
	"github.com/berth-engine/berth/kernel/netlink"
	"github.com/berth-engine/berth/network/netd"
)

// Detach gives back what Attach took: addresses, ports, rules. The interface
// goes with the namespace. It is no error if there is nothing, and it does all
// that it can.
func (m *Manager) Detach(ctx context.Context, id string) error {
	m.mu.Lock()
	a := m.attached[id]
	delete(m.attached, id)
	var errs []error
	if a != nil && len(a.rules) > 0 {
		errs = append(errs, m.unpublish(a))
	}
	m.mu.Unlock()
	if a == nil {
		return nil
	}
	errs = append(errs, fault.Point("network.unpublished"))
	if len(a.result.Ports) > 0 {
		errs = append(errs, m.ports.Release(ctx, id))
	}
	for _, e := range a.result.Endpoints {
		if slices.ContainsFunc(a.result.Ports, func(p PortBinding) bool { return p.Proto == "udp" }) {
			errs = append(errs, netlink.ForgetFlows(e.IPv4.Addr()))
		}
		if mac, err := net.ParseMAC(e.MAC); err == nil {
			errs = append(errs, m.bridge.Forget(e.HostLink, mac))
		}
		m.ipam.Release(e.IPv4.Addr())
	}
	m.announce(events.ActionDisconnect, id, a.result)
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("detach %s: %w", id, err)
	}
	return nil
}

// unpublish removes a's rules; m.mu is held, and a is no longer attached.
func (m *Manager) unpublish(a *attachment) error {
	err := m.table.Remove(a.rules)
	if err != nil {
		// Somebody removed them already: make sure of all the others.
		m.log.Warn("take ports back", "error", err)
		err = m.replace(m.published())
	}
	return err
}

// Adopt takes over a running container that an earlier Manager attached. Its
// rules are put right by Prune.
func (m *Manager) Adopt(ctx context.Context, id string, r Result) error {
	a := &attachment{result: r, adopted: true}
	if err := m.adopt(ctx, id, a); err != nil {
		return fmt.Errorf("adopt network of %s: %w", id, err)
	}
	return nil
}

func (m *Manager) adopt(ctx context.Context, id string, a *attachment) (err error) {
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
	for _, e := range a.result.Endpoints {
		address := e.IPv4.Addr()
		if err := m.ipam.Reserve(address); err != nil {
			return err
		}
		u.push(func(context.Context) error { m.ipam.Release(address); return nil })
		rules, err := m.ruleset(address, a.result.Ports)
		if err != nil {
			return err
		}
		var want []netd.Binding
		for _, p := range a.result.Ports {
			want = append(want, netd.Binding{HostIP: p.HostIP, HostPort: p.HostPort, Proto: p.Proto, ContainerIP: address, ContainerPort: p.ContainerPort, InName: m.policy == PolicyHost})
		}
		if len(want) > 0 {
			if err := m.ports.Adopt(ctx, id, want); err != nil {
				// Better a published port that nobody guards than none.
				m.log.Error("hold ports of a running container", "container", id, "error", err)
			}
		}
		m.mu.Lock()
		a.rules = append(a.rules, rules...)
		m.mu.Unlock()
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
	errs := []error{err}
	for _, id := range dead {
		errs = append(errs, m.Detach(ctx, id))
	}
	errs = append(errs, m.ports.Prune(ctx))
	return errors.Join(errs...)
}
