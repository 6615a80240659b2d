package network

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/containerd/errdefs"

	"github.com/berth-engine/berth/event"
	"github.com/berth-engine/berth/kernel/netlink"
	"github.com/berth-engine/berth/network/bridge"
	"github.com/berth-engine/berth/network/ipam"
	"github.com/berth-engine/berth/network/netd"
	"github.com/berth-engine/berth/network/nft"
	"github.com/berth-engine/berth/network/ports"
	"github.com/berth-engine/berth/plugin"
)

// DefaultBridge is the name of the default network's link.
const DefaultBridge = "berth0"

// netdSocket is the name of berth-netd's socket in the exec-root.
const netdSocket = "netd.sock"

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
	// Home is what the default network is to be.
	Home HomeOptions
	Netd NetdOptions
	// MTU of the bridge and of containers' interfaces. 0: that of the host's
	// default route, at most 1500.
	MTU int
	// Policy of published ports.
	Policy Policy
	// NoForward leaves it to the administrator to switch forwarding on.
	NoForward bool
	// Direct: see nft.State. Accept: the same.
	Direct bool
	Accept nft.Match
	// Pools are where subnets of networks are taken from that do not name
	// theirs. Nil: ipam.DefaultPools.
	Pools ipam.Areas
	// NetworkOptions are options of networks that are made without them, by
	// driver.
	NetworkOptions map[string]map[string]string
	// Pool is how many namespaces are kept ready. 0: 4; negative: none.
	Pool int
	CNI  CNIOptions
	// Plugins are where drivers are looked for that are not the engine's own;
	// nil: there are none.
	Plugins *plugin.Registry
	// User is a user namespace that containers' network namespaces belong to. Nil:
	// they are the engine's own. It stays the caller's and open.
	User   *os.File
	Events *event.Bus
	Log    *slog.Logger // nil: discarded
}

// NetdOptions says how to start berth-netd.
type NetdOptions struct {
	Binary string // absolute path of berth-netd
	// CgroupParent is the group below which it gets one of its own. "": /berth.
	CgroupParent string
}

// Manager connects containers. Its methods may be called from several
// goroutines.
type Manager struct {
	log       *slog.Logger
	events    *event.Bus
	o         Options
	owner     string // of links, as their alias says
	conn      *netlink.Conn
	host      *netlink.Around // under making
	reached   ipam.Taken      // what of the host's must not be chosen; under making
	home      *segment        // the default network
	pool      *bridge.Pool
	lingering *lingering
	table     *nft.Table
	guard     guard
	ports     *ports.Keeper
	apart     []string // links that stay apart since forwarding is on; see nft.State
	apart6    []string // under mu
	policy    Policy
	defs      definitions
	local     ipam.Area         // of IPv6 subnets
	fixed     map[string]string // ids of the networks host and none
	created   time.Time         // when these, and the default network, came to be
	alive     func(execRoot string) bool

	making sync.Mutex // held while a network is made or removed

	mu       sync.Mutex
	segments map[string]*segment // by id; put and drop them with admit and expel
	names    map[string]*segment // the same
	links    map[string]*segment // the same, by their bridges
	subnets  ipam.Taken          // theirs
	attached map[string]*attachment
	came     uint64 // how many members of services have come
	flows    flows
	// inherited is what an earlier Manager published; it stays until Prune.
	inherited []nft.Port
	// settled: Prune was called, so that all that runs is known.
	settled bool
}

// attachment is what one container has. While Attach works on it, it is
// reserved and nothing else.
type attachment struct {
	result  Result
	rules   rules  // what its ports alone would be
	ready   bool   // it takes its turn, if it shares ports
	came    uint64 // as of a netd.Member; 0: it has started
	adopted bool
}

// New makes or adopts the bridge, the firewall's table and berth-netd. They
// belong to the network namespace of the calling thread, which must be that of
// all threads that use the Manager.
func New(ctx context.Context, o Options) (_ *Manager, err error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Bridge == "" {
		o.Bridge = DefaultBridge
	}
	if err := o.Policy.Check(); err != nil {
		return nil, err
	}
	if o.Pools == nil {
		o.Pools = ipam.DefaultPools
	}
	m := &Manager{
		o: o, policy: o.Policy, log: o.Log, events: o.Events, lingering: newLingering(), attached: map[string]*attachment{},
		segments: map[string]*segment{}, names: map[string]*segment{}, links: map[string]*segment{},
		alive: func(execRoot string) bool { return netdAnswers(ctx, execRoot) },
	}
	defer func() {
		if err != nil {
			m.close()
		}
	}()
	dir := filepath.Join(o.DataRoot, "network")
	if err := m.identify(dir); err != nil {
		return nil, fmt.Errorf("networks' identity: %w", err)
	}
	if m.conn, err = netlink.Open(); err != nil {
		return nil, err
	}
	if m.host, err = netlink.LookAround(m.conn, m.noteHost); err != nil {
		return nil, err
	}
	if err := m.forward(); err != nil {
		return nil, fmt.Errorf("switch on forwarding: %w", err)
	}
	if m.owner, err = filepath.EvalSymlinks(o.ExecRoot); err != nil {
		return nil, err
	}
	if err := m.openHome(dir); err != nil {
		return nil, err
	}
	if mark := m.policy.mark(); mark != 0 {
		if err := m.conn.DeliverMarked(mark+1, m.priority()); err != nil {
			return nil, err
		}
	}
	if err := m.load(); err != nil {
		return nil, fmt.Errorf("load networks: %w", err)
	}
	if err := m.flows.look(m.ours); err != nil {
		m.log.Warn("connections of containers that are gone stay for whoever gets their addresses", "error", err)
	}
	m.pool = bridge.NewPool(m.home.bridge, o.User, o.Pool)
	if m.table, err = nft.Open(tableName(o.Bridge)); err != nil {
		return nil, err
	}
	if m.inherited, err = m.table.Ports(); err != nil {
		return nil, err
	}
	if err := m.replace(m.inherited); err != nil {
		return nil, err
	}
	for id, s := range m.segments {
		if s.guarded() {
			m.guard.know(id, s.host())
		}
	}
	if err := m.guard.open(m.table.Name()); err != nil {
		return nil, err
	}
	m.ports, err = ports.Open(ctx, ports.Options{
		Socket: filepath.Join(o.ExecRoot, netdSocket), Binary: o.Netd.Binary,
		CgroupParent: o.Netd.CgroupParent, CgroupID: "netd-" + o.Bridge, Log: o.Log,
	})
	return m, err
}

// netdAnswers reports whether a berth-netd runs for an exec-root: there is one as
// long as there is an engine, or a container.
func netdAnswers(ctx context.Context, execRoot string) bool {
	c, err := netd.Dial(ctx, filepath.Join(execRoot, netdSocket))
	if err == nil {
		c.Close()
	}
	return err == nil || errdefs.IsFailedPrecondition(err) // another version
}

// close ends connections; what exists stays.
func (m *Manager) close() error {
	var errs []error
	if m.ports != nil {
		errs = append(errs, m.ports.Close())
	}
	if m.table != nil {
		errs = append(errs, m.table.Close(), m.guard.close())
	}
	m.host.Close()
	if m.conn != nil {
		m.conn.Close()
	}
	return errors.Join(errs...)
}

// Run does the background work: it keeps namespaces ready, and repairs what
// somebody else removed from the host. It returns when ctx ends and all it
// started has ended; the Manager is then of no use any more. If no container is
// attached, Run also removes the bridge, the table and berth-netd; not before
// Prune, because an engine that failed at its start does not know who runs.
func (m *Manager) Run(ctx context.Context) error {
	for _, text := range m.Warnings() {
		m.log.Warn(text)
	}
	var wg sync.WaitGroup
	wg.Go(func() { m.pool.Run(ctx) })
	wg.Go(func() { m.ports.Run(ctx) })
	wg.Go(func() { m.sweep(ctx) })
	wg.Go(func() {
		if err := netlink.WatchRules(ctx, m.table.Name(), m.repair); err != nil {
			m.log.Error("watch the firewall", "error", err)
		}
	})
	<-ctx.Done()
	wg.Wait()
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.attached) > 0 || !m.settled {
		return m.close()
	}
	err := errors.Join(m.ports.End(), m.table.Delete(), m.table.Close(), m.guard.end(), m.removeLinks())
	if mark := m.policy.mark(); mark != 0 {
		err = errors.Join(err, m.conn.ForgetMarked(mark+1, m.priority()))
	}
	m.host.Close()
	m.conn.Close()
	return err
}
