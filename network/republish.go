package network

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/containerd/errdefs"

	"github.com/berth-engine/berth/network/netd"
	"github.com/berth-engine/berth/network/netns"
)

// Republish makes specs the published ports of a container that is attached,
// all of them or none. Ports that it has already stay as they are, also where
// a spec left the choice to the engine; connections through them are not
// touched. ns is the container's namespace, and stays the caller's. A port that
// cannot be had is a *PortError. Other errors are errdefs kinds: NotFound (it is
// not attached), FailedPrecondition (it has no network of its own that ports
// could lead to).
func (m *Manager) Republish(ctx context.Context, id string, ns *os.File, specs []PortSpec) (Result, error) {
	m.mu.Lock()
	a := m.attached[id]
	m.mu.Unlock()
	if a == nil {
		return Result{}, fmt.Errorf("publish ports of %s: %w", id, errdefs.ErrNotFound)
	}
	if s, _ := m.outlet(&a.result); s == nil {
		if len(specs) == 0 {
			return a.result, nil
		}
		return Result{}, fmt.Errorf("publish ports of %s: it is on no network with a way out: %w", id, errdefs.ErrFailedPrecondition)
	}
	if err := checkPorts(specs, m.policy); err != nil {
		return Result{}, err
	}
	if err := m.republish(ctx, id, a, ns, specs); err != nil {
		if _, ok := errors.AsType[*PortError](err); ok {
			return Result{}, err // its text is Docker's
		}
		return Result{}, fmt.Errorf("publish ports of %s: %w", id, err)
	}
	return a.result, nil
}

func (m *Manager) republish(ctx context.Context, id string, a *attachment, ns *os.File, specs []PortSpec) (err error) {
	before := a.result
	s, e := m.outlet(&before)
	routed, specs := s.split(&before, specs)
	open := slices.DeleteFunc(before.Ports.list(), func(p PortBinding) bool { return !p.Routed })
	shut := slices.DeleteFunc(before.Ports.list(), func(p PortBinding) bool { return p.Routed })
	kept, dropped, fresh := compare(shut, specs)
	if len(dropped)+len(fresh) == 0 && slices.Equal(open, routed) {
		return nil
	}
	var u undo
	defer func() {
		if err != nil {
			err = u.run(ctx, err)
		}
	}()
	held := func(ports []PortBinding) []netd.Binding { return m.held(&before, ports) }
	m.mu.Lock()
	member := a.member()
	m.mu.Unlock()
	got, err := m.ports.Change(ctx, id, member, held(kept), m.wanted(&before, fresh))
	if err != nil {
		return refused(e, err)
	}
	u.push(func(ctx context.Context) error {
		_, err := m.ports.Change(ctx, id, member, held(kept), m.wanted(&before, specsOf(dropped)))
		return err
	})
	r := before.clone()
	r.bind(routed, got)
	if e.Mapped {
		n, err := netns.Open(ns)
		if err != nil {
			return err
		}
		defer n.End()
		if err := m.redirect(ctx, n, &before, &r, nil, &u); err != nil {
			return err
		}
	}
	rules, err := m.ruleset(&r)
	if err != nil {
		return err
	}
	if err := m.swap(a, r, func() { a.rules = rulesOf(rules) }); err != nil {
		return err
	}
	if slices.ContainsFunc(dropped, func(p PortBinding) bool { return p.Proto == "udp" }) {
		if err := r.forgetFlows(); err != nil {
			m.log.Warn("forget flows of a port that was taken back", "container", id, "error", err)
		}
	}
	return nil
}

// swap makes r what a has, in one transaction of the firewall, or leaves a as
// it is.
func (m *Manager) swap(a *attachment, r Result, rules func()) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	result, old := a.result, a.rules
	a.result = r
	rules()
	err := m.replace(m.published())
	if err != nil {
		a.result, a.rules = result, old
	}
	return err
}

// compare tells which of the ports that are there are what specs ask for, which
// are not, and which specs ask for more.
func compare(have []PortBinding, specs []PortSpec) (kept, dropped []PortBinding, fresh []PortSpec) {
	left := slices.Clone(have)
	for _, s := range specs {
		at := slices.IndexFunc(left, func(p PortBinding) bool { return answers(p, s) })
		if at < 0 {
			fresh = append(fresh, s)
			continue
		}
		first := left[at]
		same := func(p PortBinding) bool {
			// A wildcard has a binding in each family.
			return p == first || !s.HostIP.IsValid() && answers(p, s) && p.HostPort == first.HostPort && p.HostIP.Is4() != first.HostIP.Is4()
		}
		for _, p := range left {
			if same(p) {
				kept = append(kept, p)
			}
		}
		left = slices.DeleteFunc(left, same)
	}
	return kept, left, fresh
}

// answers tells whether a published port is one that s asks for.
func answers(p PortBinding, s PortSpec) bool {
	proto := s.Proto
	if proto == "" {
		proto = "tcp"
	}
	if p.ContainerPort != s.ContainerPort || p.Proto != proto {
		return false
	}
	if s.HostIP.IsValid() && p.HostIP != s.HostIP.Unmap() || !s.HostIP.IsValid() && !p.HostIP.IsUnspecified() {
		return false
	}
	return s.HostPort == 0 || p.HostPort >= s.HostPort && p.HostPort <= max(s.HostPort, s.HostPortEnd)
}
