package network

import (
	"errors"
	"net/netip"
	"slices"
	"strings"

	"github.com/berth-engine/berth/network/nft"
)

// tableName gives every engine on a host a table of its own.
func tableName(bridge string) string {
	if bridge == DefaultBridge {
		return "berth"
	}
	return "berth-" + bridge
}

// replace makes the firewall's table what it should be, with these ports; m.mu is
// held, except in New.
func (m *Manager) replace(ports []nft.Port) error {
	return m.table.Replace(nft.State{
		Networks: m.rules(), Apart: m.apart, Apart6: m.apart6, Ports: ports, Mark: m.policy.mark(), Accept: m.o.Accept, Direct: m.o.Direct,
	})
}

// repair puts the table back after somebody, such as a firewall that was
// reloaded, removed some of it.
func (m *Manager) repair() {
	m.mu.Lock()
	defer m.mu.Unlock()
	ok, err := m.table.Intact()
	if err == nil && ok {
		if ok, err = m.guard.intact(); err == nil && ok {
			return
		}
	}
	if err == nil {
		m.log.Warn("rules were removed from the firewall's table; putting them back", "table", m.table.Name())
		err = errors.Join(m.replace(m.published()), m.guard.settle())
	}
	if err != nil {
		m.log.Error("repair the firewall's table", "error", err)
	}
}

// rules are what the firewall has to know of all networks; m.mu is held.
func (m *Manager) rules() []nft.Network {
	var out []nft.Network
	for _, s := range m.segments {
		if s.bridge != nil {
			out = append(out, s.rule)
		}
	}
	slices.SortFunc(out, func(a, b nft.Network) int { return strings.Compare(a.Bridge, b.Bridge) })
	return out
}

// Rules is the firewall's tables as they are, in the language of nft(8).
func (m *Manager) Rules() (string, error) {
	table, err := m.table.Text()
	if err != nil {
		return "", err
	}
	guard, err := m.guard.text()
	return table + guard, err
}

// Warnings tells what on this host will disturb containers' networking, for
// users to read.
func (m *Manager) Warnings() []string {
	out := m.ports.Warnings()
	if !m.guard.works() {
		out = append(out, "This kernel has no nf_tables for bridges: containers can take each other's addresses on their network")
	}
	if !m.table.KnowsRelayed() {
		out = append(out, "This kernel has no CONFIG_NFT_SOCKET: containers on internal networks reach published ports that berth-netd passes on")
	}
	return append(out, m.PortWarnings()...)
}

// turnTo brings the firewall's table from some ports to others, in one
// transaction; m.mu is held.
func (m *Manager) turnTo(before, after []nft.Port) error {
	err := m.table.Change(before, after)
	if err != nil {
		// Somebody removed the table, or an old rule is in the way.
		m.log.Warn("change published ports", "error", err)
		err = m.replace(m.published())
	}
	return err
}

// published is everything that the table should lead on; m.mu is held.
func (m *Manager) published() []nft.Port {
	services := map[Service][]*attachment{}
	var out []nft.Port
	for _, a := range m.attached {
		if a.result.Service.none() {
			out = append(out, spread([]*attachment{a})...)
		} else {
			services[a.result.Service] = append(services[a.result.Service], a)
		}
	}
	for _, all := range services {
		out = append(out, spread(all)...)
	}
	if len(m.inherited) == 0 {
		return out
	}
	// Of the same port, what is known by now counts.
	at := func(p nft.Port) nft.Port {
		if !p.Routed {
			p.ContainerIP, p.ContainerPort, p.Slot, p.Of = netip.Addr{}, 0, 0, 0
		}
		return p
	}
	seen := map[nft.Port]bool{}
	for _, p := range out {
		seen[at(p)] = true
	}
	for _, p := range m.inherited {
		if !seen[at(p)] {
			out = append(out, p)
		}
	}
	return out
}
