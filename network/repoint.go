package network

import (
	"context"
	"net/netip"
	"slices"

	"github.com/berth-engine/berth/network/netd"
)

// outletKind is what the network that is a container's way out does with
// published ports.
type outletKind struct {
	there            bool
	binding          netip.Addr
	routed4, routed6 bool
	four, six        bool // which addresses the container has there, if some are routed
}

func (m *Manager) kind(r *Result) (k outletKind) {
	s, _ := m.outlet(r)
	if s == nil {
		return k
	}
	k = outletKind{there: true, binding: s.o.binding, routed4: s.routed(false), routed6: s.routed(true)}
	if k.routed4 || k.routed6 {
		four, six := r.targets()
		k.four, k.six = four.IsValid(), six.IsValid()
	}
	return k
}

// repoint has a container's published ports lead to where its way out is now.
// Where that is of another kind, ports of the host are taken, or given back; none
// that stays is closed at any moment. It fills in r.Ports.
func (m *Manager) repoint(ctx context.Context, id string, a *attachment, before, r *Result, specs []PortSpec, u *undo) error {
	if len(specs) == 0 && len(before.Ports) == 0 {
		return nil
	}
	if m.kind(before) == m.kind(r) {
		return m.lead(ctx, id, before, r, u)
	}
	var routed []PortBinding
	s, e := m.outlet(r)
	if s == nil {
		specs = nil
	} else {
		routed, specs = s.split(r, specs)
	}
	shut := slices.DeleteFunc(before.Ports.list(), func(p PortBinding) bool { return p.Routed })
	kept, dropped, fresh := compare(shut, specs)
	if len(kept) > 0 {
		if err := m.lead(ctx, id, before, r, u); err != nil {
			return err
		}
	}
	m.mu.Lock()
	member := a.member()
	m.mu.Unlock()
	var got []netd.Binding
	if len(dropped)+len(fresh) > 0 {
		var err error
		if got, err = m.ports.Change(ctx, id, member, m.held(r, kept), m.wanted(r, fresh)); err != nil {
			return refused(r, e, err)
		}
		u.push(func(ctx context.Context) error {
			_, err := m.ports.Change(ctx, id, member, m.held(r, kept), m.wanted(before, specsOf(dropped)))
			return err
		})
	} else {
		got = m.held(r, kept)
	}
	r.bind(routed, got)
	return nil
}

// lead has what netd holds lead to another address.
func (m *Manager) lead(ctx context.Context, id string, before, r *Result, u *undo) error {
	if len(before.Ports) == 0 || r.target() == before.target() {
		return nil
	}
	u.push(func(ctx context.Context) error { return m.ports.Lead(ctx, id, before.target()) })
	return m.ports.Lead(ctx, id, r.target())
}

// specsOf asks for exactly what is there.
func specsOf(ports []PortBinding) []PortSpec {
	out := make([]PortSpec, len(ports))
	for i, p := range ports {
		out[i] = PortSpec{HostIP: p.HostIP, HostPort: p.HostPort, ContainerPort: p.ContainerPort, Proto: p.Proto}
	}
	return out
}
