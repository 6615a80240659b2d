package network

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/moby/moby/api/types/events"
	nettypes "github.com/moby/moby/api/types/network"

	"github.com/berth-engine/berth/fault"
)

// Remove removes a network that no container is on.
func (m *Manager) Remove(ctx context.Context, ref string) error {
	m.making.Lock()
	defer m.making.Unlock()
	m.mu.Lock()
	s, err := m.findRemovable(ref)
	if err != nil {
		m.mu.Unlock()
		return err
	}
	s.gone = true
	m.mu.Unlock()
	if err := m.demolish(ctx, s); err != nil {
		m.mu.Lock()
		s.gone = false
		m.mu.Unlock()
		return fmt.Errorf("error while removing network: %w", err)
	}
	m.tell(events.ActionDestroy, s)
	return nil
}

// findRemovable is find, for who wants to remove the network: if that cannot be,
// the error says why, and the network is there nevertheless. m.mu is held.
func (m *Manager) findRemovable(ref string) (*segment, error) {
	if name := m.fixedName(ref); name != "" {
		return nil, forbidden("%s is a pre-defined network and cannot be removed", name)
	}
	s, err := m.find(ref)
	if err != nil {
		return nil, err
	}
	return s, m.removable(s)
}

// removable tells why a network cannot be removed; m.mu is held.
func (m *Manager) removable(s *segment) error {
	if !s.userDefined() {
		return forbidden("%s is a pre-defined network and cannot be removed", s.def.Name)
	}
	if s.def.ConfigOnly {
		for _, other := range m.segments {
			if other.def.ConfigFrom == s.def.Name {
				return forbidden("error while removing network: configuration network %q is in use", s.def.Name)
			}
		}
	}
	if s.users == 0 {
		return nil
	}
	var users []string
	for _, a := range m.attached {
		for i := range a.result.Endpoints {
			if e := &a.result.Endpoints[i]; e.NetworkID == s.def.ID {
				users = append(users, fmt.Sprintf("name:%q id:%q", a.result.Name, e.EndpointID[:12]))
			}
		}
	}
	slices.Sort(users)
	return forbidden("error while removing network: network %s has active endpoints (%s)", s.def.Name, strings.Join(users, ", "))
}

// demolish takes everything away; the definition last, so that a later engine
// finds what a killed one left.
func (m *Manager) demolish(ctx context.Context, s *segment) error {
	if s.fabric != nil {
		if err := s.fabric.remove(ctx); err != nil {
			return err
		}
	}
	if s.bridge != nil {
		m.pool.Leave(s.bridge)
		if err := s.bridge.Remove(); err != nil {
			return err
		}
		m.mu.Lock()
		s.bridge = nil
		err := m.table.RemoveNetwork(s.rule)
		if err != nil { // somebody removed it already
			err = m.replace(m.published())
		}
		m.mu.Unlock()
		if err := errors.Join(err, m.guard.remove(s.def.ID)); err != nil {
			return err
		}
	}
	if err := fault.Point("network.remove.unlinked"); err != nil {
		return err
	}
	if len(s.def.Leases) > 0 {
		// As with Docker, the network goes although its plugin may be gone.
		if err := m.releasePools(ctx, &s.def); err != nil {
			m.log.Error("give subnets back", "network", s.def.Name, "error", err)
		}
	}
	if err := m.defs.remove(s.def.ID); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.expel(s)
	return nil
}

// PruneUnused removes networks that no container is on.
func (m *Manager) PruneUnused(ctx context.Context, f Filters) (nettypes.PruneReport, error) {
	report := nettypes.PruneReport{NetworksDeleted: []string{}}
	names, err := m.unused(f)
	if err != nil {
		return report, err
	}
	for _, n := range names {
		if err := ctx.Err(); err != nil {
			return report, err
		}
		if err := m.Remove(ctx, n.ID); err != nil {
			m.log.Warn("prune networks", "network", n.Name, "error", err)
			continue
		}
		report.NetworksDeleted = append(report.NetworksDeleted, n.Name)
	}
	m.events.Publish(events.Message{Type: events.NetworkEventType, Action: events.ActionPrune, Actor: events.Actor{
		Attributes: map[string]string{"reclaimed": "0"}, // as Docker's
	}})
	return report, nil
}

// WouldRemove tells why Remove would refuse a network, or nothing.
func (m *Manager) WouldRemove(ref string) (name string, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, err := m.findRemovable(ref)
	if s == nil {
		return "", err
	}
	return s.def.Name, err
}

// tell publishes an event about a network.
func (m *Manager) tell(action events.Action, s *segment) {
	m.events.Publish(events.Message{Type: events.NetworkEventType, Action: action, Actor: events.Actor{
		ID: s.def.ID, Attributes: map[string]string{"name": s.def.Name, "type": s.def.Driver},
	}})
}
