package network

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/containerd/errdefs"

	"github.com/berth-engine/berth/kernel/netlink"
	"github.com/berth-engine/berth/network/netd"
)

// Republish makes specs the published ports of a container that is attached,
// all of them or none. Ports that it has already stay as they are, also where
// a spec left the choice to the engine; connections through them are not
// touched. A port that cannot be had is a *PortError. Other errors are errdefs
// kinds: NotFound (it is not attached), FailedPrecondition (it has no network
// of its own that ports could lead to).
func (m *Manager) Republish(ctx context.Context, id string, specs []PortSpec) (Result, error) {
	m.mu.Lock()
	a := m.attached[id]
	m.mu.Unlock()
	if a == nil {
		return Result{}, fmt.Errorf("publish ports of %s: %w", id, errdefs.ErrNotFound)
	}
	if len(a.result.Endpoints) == 0 {
		if len(specs) == 0 {
			return a.result, nil
		}
		return Result{}, fmt.Errorf("publish ports of %s: it is on no network: %w", id, errdefs.ErrFailedPrecondition)
	}
	if err := m.republish(ctx, id, a, specs); err != nil {
		if _, ok := errors.AsType[*PortError](err); ok {
			return Result{}, err // its text is Docker's
		}
		return Result{}, fmt.Errorf("publish ports of %s: %w", id, err)
	}
	return a.result, nil
}

func (m *Manager) republish(ctx context.Context, id string, a *attachment, specs []PortSpec) error {
	e := a.result.Endpoints[0]
	kept, dropped, fresh := compare(a.result.Ports, specs)
	if len(dropped)+len(fresh) == 0 {
		return nil
	}
	held := func(ports []PortBinding) []netd.Binding {
		out := make([]netd.Binding, len(ports))
		for i, p := range ports {
			out[i] = netd.Binding{HostIP: p.HostIP, HostPort: p.HostPort, Proto: p.Proto, ContainerIP: e.IPv4.Addr(), ContainerPort: p.ContainerPort, InName: m.policy == PolicyHost}
		}
		return out
	}
	got, err := m.ports.Change(ctx, id, held(kept), m.wanted(e, fresh))
	if err != nil {
		return refused(e, err)
	}
	before := a.result
	r := Result{Endpoints: before.Endpoints}
	for _, b := range got {
		r.Ports = append(r.Ports, PortBinding{b.ContainerPort, b.Proto, b.HostIP, b.HostPort})
	}
	rules, err := m.ruleset(e.IPv4.Addr(), r.Ports)
	if err == nil {
		err = m.swap(a, r, func() { a.rules = rules })
	}
	if err != nil {
		back := make([]PortSpec, len(dropped))
		for i, p := range dropped {
			back[i] = PortSpec{HostIP: p.HostIP, HostPort: p.HostPort, ContainerPort: p.ContainerPort, Proto: p.Proto}
		}
		_, undone := m.ports.Change(context.WithoutCancel(ctx), id, held(kept), m.wanted(e, back))
		return errors.Join(err, undone)
	}
	if slices.ContainsFunc(dropped, func(p PortBinding) bool { return p.Proto == "udp" }) {
		if err := netlink.ForgetFlows(e.IPv4.Addr()); err != nil {
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
