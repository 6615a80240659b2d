package network

import (
	"fmt"

	"github.com/containerd/errdefs"

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
