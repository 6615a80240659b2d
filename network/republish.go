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
	a, err := m.attachedTo(id)
	if err != nil {
		return Result{}, err
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
		return refused(&before, e, err)
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
	if err := m.publish(a, r, rules); err != nil {
		return err
	}
	if slices.ContainsFunc(dropped, func(p PortBinding) bool { return p.Proto == "udp" }) {
		if err := r.forgetFlows(); err != nil {
			m.log.Warn("forget flows of a port that was taken back", "container", id, "error", err)
		}
	}
	return nil
}

// compare tells which of the ports that are there are what specs ask for, which
// are not, and which specs ask for more. There may be ten thousand of each.
func compare(have []PortBinding, specs []PortSpec) (kept, dropped []PortBinding, fresh []PortSpec) {
	type side struct {
		container uint16
		proto     string
		host      uint16 // 0: whichever
	}
	at := make(map[side][]int, 2*len(have)) // indexes of have, in order
	for i, p := range have {
		at[side{p.ContainerPort, p.Proto, 0}] = append(at[side{p.ContainerPort, p.Proto, 0}], i)
		at[side{p.ContainerPort, p.Proto, p.HostPort}] = append(at[side{p.ContainerPort, p.Proto, p.HostPort}], i)
	}
	taken := make([]bool, len(have))
	for _, s := range specs {
		place := side{s.ContainerPort, s.Proto, 0}
		if s.HostPortEnd <= s.HostPort {
			place.host = s.HostPort
		}
		at[place] = slices.DeleteFunc(at[place], func(i int) bool { return taken[i] })
		n := slices.IndexFunc(at[place], func(i int) bool { return answers(have[i], s) })
		if n < 0 {
			fresh = append(fresh, s)
			continue
		}
		first := have[at[place][n]]
		for _, i := range at[side{s.ContainerPort, s.Proto, first.HostPort}] {
			// A wildcard has a binding in each family.
			other := !s.HostIP.IsValid() && answers(have[i], s) && have[i].HostIP.Is4() != first.HostIP.Is4()
			if !taken[i] && (have[i] == first || other) {
				taken[i], kept = true, append(kept, have[i])
			}
		}
	}
	for i, p := range have {
		if !taken[i] {
			dropped = append(dropped, p)
		}
	}
	return kept, dropped, fresh
}

// answers tells whether a published port is one that s asks for.
func answers(p PortBinding, s PortSpec) bool {
	if p.ContainerPort != s.ContainerPort || p.Proto != s.Proto {
		return false
	}
	if s.HostIP.IsValid() && p.HostIP != s.HostIP.Unmap() || !s.HostIP.IsValid() && !p.HostIP.IsUnspecified() {
		return false
	}
	return s.HostPort == 0 || p.HostPort >= s.HostPort && p.HostPort <= max(s.HostPort, s.HostPortEnd)
}
