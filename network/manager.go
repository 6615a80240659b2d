package network

import (
	"context"
	"log/slog"
	"net/netip"
	"os"

	"github.com/containerd/errdefs"

	"github.com/berth-engine/berth/event"
)

// Options says how the Manager works.
type Options struct {
	// ExecRoot is the engine's directory for what may vanish at reboot;
	// netd.sock is in it.
	ExecRoot string
	// DataRoot is the engine's directory for what lasts; the Manager keeps its
	// files in the directory "network" there.
	DataRoot string
	// Bridge is the name of the default bridge's link. "": berth0.
	Bridge string
	// BIP is the bridge's address and its network's size. Zero: what an existing
	// link has, or else the first of Docker's default pools that overlaps with
	// nothing on the host.
	BIP  netip.Prefix
	Netd NetdOptions
	// MTU of the bridge and of containers' interfaces. 0: that of the host's
	// default route, at most 1500.
	MTU int
	// Pool is how many namespaces are kept ready. 0: 4; negative: none.
	Pool int
	// ResolvConf is the host's resolver configuration. "": /etc/resolv.conf.
	ResolvConf string
	Events     *event.Bus
	Log        *slog.Logger // nil: discarded
}

// NetdOptions says how to start berth-netd.
type NetdOptions struct {
	Binary string // absolute path of berth-netd
	// CgroupParent is the group below which it gets one of its own. "": /berth.
	CgroupParent string
}

// Manager connects containers. Its methods may be called from several
// goroutines.
type Manager struct{}

// New makes or adopts the bridge, the firewall's table and berth-netd.
func New(ctx context.Context, o Options) (*Manager, error) { return nil, errdefs.ErrNotImplemented }

// Run does the background work: it keeps namespaces ready and repairs what
// somebody else removed from the host. It returns when ctx ends and all it
// started has ended. If no container is attached then, it also removes the
// bridge, the table and berth-netd.
func (m *Manager) Run(ctx context.Context) error { return errdefs.ErrNotImplemented }

// Attach makes the network that d wants. The caller owns the namespace.
func (m *Manager) Attach(ctx context.Context, d Desired) (*os.File, Result, error) {
	return nil, Result{}, errdefs.ErrNotImplemented
}

// Detach gives back what Attach took: addresses, ports, rules. It is no error
// if there is nothing.
func (m *Manager) Detach(ctx context.Context, id string) error { return errdefs.ErrNotImplemented }

// Adopt takes over a running container that an earlier Manager attached.
func (m *Manager) Adopt(ctx context.Context, id string, r Result) error {
	return errdefs.ErrNotImplemented
}

// Prune drops everything that belongs to none of the containers live.
func (m *Manager) Prune(ctx context.Context, live []string) error { return errdefs.ErrNotImplemented }

// DNS returns what a container's /etc/resolv.conf should say: name servers,
// search domains and options.
func (m *Manager) DNS() (servers, search, options []string) { return nil, nil, nil }

// Warnings tells what on this host will disturb containers' networking, for
// users to read.
func (m *Manager) Warnings() []string { return nil }

// Network describes a network.
type Network struct {
	ID, Name, Driver string
	Link             string // the bridge's name on the host
	Subnet           netip.Prefix
	Gateway          netip.Addr
	MTU              int
}

// Default returns the network that always exists.
func (m *Manager) Default() Network { return Network{} }
