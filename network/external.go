package network

import (
	"context"
	"slices"

	"github.com/berth-engine/berth/network/netns"
)

// publisher is a fabric whose driver leads published ports itself.
type publisher interface {
	// program has the driver lead ports to an endpoint that is the container's way
	// out: those asked for, or those of the host that are held for it. It says in
	// e whether it did.
	program(ctx context.Context, n *netns.Namespace, e *Endpoint, asked []PortSpec, held []PortBinding) error
	// revoke ends that; it is no error if there was nothing.
	revoke(ctx context.Context, e *Endpoint) error
}

// fabricOf is what joins an endpoint to its network; nil: a bridge.
func (m *Manager) fabricOf(e *Endpoint) fabric {
	if s := m.segmentOf(e); s != nil {
		return s.fabric
	}
	return nil
}

// redirect tells the drivers that lead published ports themselves which
// endpoints are ways out now, and which are no longer: first those that end.
func (m *Manager) redirect(ctx context.Context, n *netns.Namespace, before, r *Result, asked []PortSpec, u *undo) error {
	changed := !slices.Equal(before.Ports, r.Ports)
	for i := range before.Endpoints {
		old := &before.Endpoints[i]
		f, ok := m.fabricOf(old).(publisher)
		if !ok || !old.External || r.exit(old) && !(changed && old.Mapped) {
			continue
		}
		if err := f.revoke(ctx, old); err != nil {
			return err
		}
		for j := range r.Endpoints {
			if r.Endpoints[j].EndpointID == old.EndpointID {
				r.Endpoints[j].External = false
			}
		}
		u.push(func(ctx context.Context) error {
			again := *old
			return f.program(ctx, n, &again, asked, before.Ports.list())
		})
	}
	for _, e := range r.exits() {
		f, ok := m.fabricOf(e).(publisher)
		// A plugin that was told before and is not led to does not know how.
		if !ok || e.External || before.exit(e) && !e.Mapped {
			continue
		}
		if err := f.program(ctx, n, e, asked, r.Ports.list()); err != nil {
			return err
		}
		u.push(func(ctx context.Context) error { return f.revoke(ctx, e) })
	}
	return nil
}
