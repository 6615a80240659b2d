package network

import (
	"fmt"
	"strings"

	"github.com/containerd/errdefs"

	"github.com/berth-engine/berth/kernel/netlink"
	"github.com/berth-engine/berth/network/netd"
)

// Policy says how published ports stand to the host's own firewall.
type Policy string

const (
	// PolicyDocker leads packets to containers before the host's rules for
	// packets to itself see them, as Docker does. The zero Policy is the same.
	PolicyDocker Policy = "docker"
	// PolicyHost has berth-netd listen, as any program of the host: its input
	// rules decide. The container still sees the client's address.
	PolicyHost Policy = "host"
	// PolicyLoopback is PolicyDocker, but a port that names no address is on the
	// host's loopback alone.
	PolicyLoopback Policy = "loopback"
)

// Check refuses what is no policy.
func (p Policy) Check() error {
	switch p {
	case "", PolicyDocker, PolicyHost, PolicyLoopback:
		return nil
	}
	return fmt.Errorf("invalid publish-policy %q: it is docker, host or loopback: %w", string(p), errdefs.ErrInvalidArgument)
}

// apply makes a port held as the policy says.
func (p Policy) apply(port *netd.Port) {
	port.InName = p == PolicyHost
	port.Loopback = p == PolicyLoopback && !port.HostIP.IsValid()
}

// mark is the firewall's for connections of berth-netd; 0: there are none.
func (p Policy) mark() uint32 {
	if p == PolicyHost {
		return netd.Mark
	}
	return 0
}

// priority is that of this engine's routing rule, which no other engine has: it
// follows from the index of the default bridge. It comes before the main table's.
func (m *Manager) priority() int { return 20000 + m.home.bridge.Index()%10000 }

// Warnings tells what on this host will disturb containers' networking, for
// users to read.
func (m *Manager) Warnings() []string {
	out := m.ports.Warnings()
	if !m.guard.works() {
		out = append(out, "This kernel has no nf_tables for bridges: containers can take each other's addresses on their network")
	}
	forward, input := m.foreign()
	if len(forward) > 0 {
		out = append(out, fmt.Sprintf("Forwarded packets are dropped by %s unless a rule there accepts them: accept those from and to %s for containers to reach the network",
			strings.Join(forward, ", "), m.home.bridge.Name()))
	}
	if len(input) > 0 && m.policy != PolicyHost {
		out = append(out, fmt.Sprintf("The host's firewall (%s) drops what it does not accept, but published ports go round it: with publish-policy \"host\" they do not", strings.Join(input, ", ")))
	}
	return out
}

// GoRound tells a user who published ports that the host's firewall does not
// see them; "" if there is none that would, or they do not go round it.
func (m *Manager) GoRound() string {
	if m.policy == PolicyHost {
		return ""
	}
	_, input := m.foreign()
	if len(input) == 0 {
		return ""
	}
	return fmt.Sprintf("Published ports are reachable although the host's firewall (%s) drops by policy: it does not see them. Set publish-policy to \"host\", or publish on 127.0.0.1.", strings.Join(input, ", "))
}

// foreign names what of others drops packets by policy, forwarded ones and
// those to the host.
func (m *Manager) foreign() (forward, input []string) {
	forward, input, err := m.table.Foreign()
	if err != nil {
		m.log.Error("look for other firewalls", "error", err)
	}
	legacyInput, legacyForward := netlink.LegacyDrops()
	if legacyForward {
		forward = append(forward, "the legacy iptables' FORWARD (iptables-legacy -S FORWARD)")
	}
	if legacyInput {
		input = append(input, "the legacy iptables' INPUT")
	}
	return forward, input
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
