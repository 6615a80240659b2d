// Package ports keeps host ports for containers, and their resolvers, in
// berth-netd: it starts that program, or takes over one that runs already, and
// should it die, starts another and has it hold the same again.
package ports

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"os/exec"
	"slices"
	"sync"

	"github.com/containerd/errdefs"

	"github.com/berth-engine/berth/kernel/ns"
	"github.com/berth-engine/berth/network/dns"
	"github.com/berth-engine/berth/network/netd"
)

// Options says where netd is.
type Options struct {
	Socket       string
	Binary       string // absolute path of berth-netd
	CgroupParent string // "": /berth
	CgroupID     string // name of netd's own group below it
	Log          *slog.Logger
}

// Keeper is the engine's side of netd. It is safe for concurrent use.
type Keeper struct {
	o Options

	mu      sync.Mutex
	client  *netd.Client
	started *exec.Cmd                 // nil: an earlier engine started it
	held    map[string][]netd.Binding // what we want held, by owner
	members map[string]netd.Member    // what owners are to others, but for the zero Member
	kept    map[string]*kept          // copies of its sockets
	lost    []string                  // what could not be held again, for users to read

	resolvers map[string]*resolver
	records   map[place]dns.Record
}

// Open takes over the running netd, or starts one. A running one of another
// version, or whose program was replaced since, hands its sockets to a new one.
func Open(ctx context.Context, o Options) (*Keeper, error) {
	k := &Keeper{o: o, held: map[string][]netd.Binding{}, members: map[string]netd.Member{}, kept: map[string]*kept{}, resolvers: map[string]*resolver{}, records: map[place]dns.Record{}}
	client, err := netd.Dial(ctx, o.Socket)
	switch {
	case err == nil && !k.outdated(client.Pid()):
		k.client = client
		return k, nil
	case err == nil:
		client.Close()
	case !errdefs.IsUnavailable(err) && !errdefs.IsFailedPrecondition(err):
		return nil, fmt.Errorf("netd: %w", err)
	}
	if err := k.start(ctx); err != nil {
		return nil, err
	}
	return k, nil
}

// Reserve holds all ports for owner, or none; why not is a *netd.RefusalError.
func (k *Keeper) Reserve(ctx context.Context, owner string, m netd.Member, want []netd.Port) ([]netd.Binding, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	var got []netd.Binding
	err := k.call(ctx, func(c *netd.Client) (err error) {
		got, err = c.Reserve(owner, m, fold(want))
		return err
	})
	if err != nil {
		return nil, err
	}
	k.note(owner, m, got)
	k.keep(owner)
	return unfold(got), nil
}

// note is what owner has from now on; k.mu is held.
func (k *Keeper) note(owner string, m netd.Member, held []netd.Binding) {
	delete(k.members, owner)
	delete(k.held, owner)
	if len(held) > 0 {
		k.held[owner] = held
		if m != (netd.Member{}) {
			k.members[owner] = m
		}
	}
}

// Turn has owner take its turn or not from now on, as m says; it stays in its
// share.
func (k *Keeper) Turn(ctx context.Context, owner string, m netd.Member) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	was := k.members[owner]
	m.Share = was.Share
	if len(k.held[owner]) == 0 || m == was {
		return nil
	}
	k.note(owner, m, k.held[owner])
	return k.call(ctx, func(c *netd.Client) error { return c.Turn(owner, m) })
}

// MemberOf is what berth-netd knows of an owner from before the engine was
// restarted; false: it holds nothing for it.
func (k *Keeper) MemberOf(ctx context.Context, owner string) (netd.Member, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	var m netd.Member
	known := false
	err := k.call(ctx, func(c *netd.Client) error {
		held, members, err := c.List()
		m, known = members[owner], len(held[owner]) > 0
		return err
	})
	return m, err == nil && known
}

// Connections is how many TCP connections netd passes on for owner.
func (k *Keeper) Connections(ctx context.Context, owner string) (n int, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	err = k.call(ctx, func(c *netd.Client) (err error) {
		n, err = c.Connections(owner)
		return err
	})
	return n, err
}

// Change makes owner hold keep, which it has, and want; all of it or nothing.
// Why not is a *netd.RefusalError.
func (k *Keeper) Change(ctx context.Context, owner string, m netd.Member, keep []netd.Binding, want []netd.Port) ([]netd.Binding, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	wanted := netd.SetOf(keep)
	var stay []netd.Binding
	want = slices.Clone(want)
	for _, b := range k.held[owner] {
		parts := unfold([]netd.Binding{b})
		left := slices.DeleteFunc(slices.Clone(parts), func(p netd.Binding) bool { return !wanted[p] })
		if len(left) == len(parts) {
			stay = append(stay, b)
			continue
		}
		for _, p := range left { // of a run of which some goes
			want = append(want, asked(p))
		}
	}
	k.letGoBut(owner, stay)
	var got []netd.Binding
	err := k.call(ctx, func(c *netd.Client) (err error) {
		got, err = c.Change(owner, m, stay, fold(want))
		return err
	})
	if err != nil {
		k.keep(owner)
		return nil, err
	}
	k.note(owner, m, got)
	k.keep(owner)
	return unfold(got), nil
}

// Lead has everything that owner holds lead to another address of the container.
// No port is closed meanwhile.
func (k *Keeper) Lead(ctx context.Context, owner string, to netip.Addr) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.held[owner]) == 0 {
		return nil
	}
	var got []netd.Binding
	err := k.call(ctx, func(c *netd.Client) (err error) {
		got, err = c.Lead(owner, to)
		return err
	})
	if err != nil {
		return err
	}
	k.held[owner] = got
	k.keep(owner)
	return nil
}

// Release lets go of what owner has.
func (k *Keeper) Release(ctx context.Context, owner string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, ok := k.held[owner]; !ok {
		return nil
	}
	k.note(owner, netd.Member{}, nil)
	k.letGo(owner)
	return k.call(ctx, func(c *netd.Client) error { return c.Release(owner) })
}

// Adopt makes sure that owner has exactly these, as it had before the engine
// was restarted.
func (k *Keeper) Adopt(ctx context.Context, owner string, m netd.Member, want []netd.Binding) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	want = refold(want)
	return k.call(ctx, func(c *netd.Client) error {
		all, members, err := c.List()
		if err != nil {
			return err
		}
		have := all[owner]
		if sameBindings(have, want) && members[owner].Share == m.Share {
			k.note(owner, m, want)
			k.keep(owner)
			if members[owner] == m {
				return nil
			}
			return c.Turn(owner, m)
		}
		k.letGo(owner)
		k.note(owner, netd.Member{}, nil)
		if len(have) > 0 {
			if err := c.Release(owner); err != nil {
				return err
			}
		}
		if len(want) == 0 {
			return nil
		}
		k.note(owner, m, want)
		if err := hold(c, owner, m, want); err != nil {
			return err
		}
		k.keep(owner)
		return nil
	})
}

// sameBindings tells whether two lists have the same, in whatever order.
func sameBindings(a, b []netd.Binding) bool {
	have := netd.SetOf(b)
	return len(a) == len(b) && !slices.ContainsFunc(a, func(x netd.Binding) bool { return !have[x] })
}

// hold reserves very specific bindings.
func hold(c *netd.Client, owner string, m netd.Member, bindings []netd.Binding) error {
	want := make([]netd.Port, len(bindings))
	for i, b := range bindings {
		want[i] = asked(b)
	}
	_, err := c.Reserve(owner, m, want)
	return err
}

// Prune lets go of everything that was neither reserved nor adopted here.
func (k *Keeper) Prune(ctx context.Context) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.call(ctx, func(c *netd.Client) error {
		all, _, err := c.List()
		if err != nil {
			return err
		}
		for owner := range all {
			if _, ok := k.held[owner]; !ok {
				err = errors.Join(err, c.Release(owner))
			}
		}
		return errors.Join(err, k.pruneNames(c))
	})
}

// Warnings tells which ports are published but no longer held.
func (k *Keeper) Warnings() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.lost)
}

// call does something with netd, once more with a new one if netd has died;
// k.mu is held.
func (k *Keeper) call(ctx context.Context, do func(*netd.Client) error) error {
	err := do(k.client)
	if !errdefs.IsUnavailable(err) {
		return err
	}
	if err := k.recover(ctx); err != nil {
		return err
	}
	return do(k.client)
}

// recover connects again, to a new netd if there is none, and has it hold what
// we want held; k.mu is held. A port that somebody took meanwhile is still led
// to its container by the firewall.
func (k *Keeper) recover(ctx context.Context) error {
	k.client.Close()
	client, err := netd.Dial(ctx, k.o.Socket)
	switch {
	case err == nil:
		k.client = client // another netd took over by itself
	case errdefs.IsUnavailable(err):
		k.o.Log.Warn("berth-netd has ended; starting another")
		k.reap()
		if err := k.start(ctx); err != nil {
			return err
		}
	default:
		return err
	}
	all, _, err := k.client.List()
	if err != nil {
		return err
	}
	k.lost = nil
	if err := k.restoreNames(); err != nil {
		k.lost = append(k.lost, fmt.Sprintf("Some containers cannot resolve names: %v", err))
		k.o.Log.Error("resolve names again", "error", err)
	}
	for _, owner := range slices.Sorted(maps.Keys(k.held)) {
		if all[owner] != nil {
			continue
		}
		for _, b := range k.held[owner] {
			k.o.Log.Debug("hold again", "owner", owner, "address", b.HostIP, "port", b.HostPort, "protocol", b.Proto)
		}
		if err := k.holdAgain(owner); err != nil {
			k.lost = append(k.lost, fmt.Sprintf("The published ports of container %s are no longer reserved: %v", owner, err))
			k.o.Log.Error("hold ports again", "container", owner, "error", err)
		}
	}
	return nil
}

// Run watches netd until ctx ends.
func (k *Keeper) Run(ctx context.Context) {
	for ctx.Err() == nil {
		watch, err := netd.Dial(ctx, k.o.Socket)
		if err == nil {
			watch.Watch(ctx)
			watch.Close()
		}
		if ctx.Err() != nil {
			return
		}
		if err := k.check(ctx); err != nil && ctx.Err() == nil {
			k.o.Log.Error("berth-netd", "error", err)
			pause(ctx)
		}
	}
}

func (k *Keeper) check(ctx context.Context) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.call(ctx, func(c *netd.Client) error {
		_, _, err := c.List()
		return err
	})
}

// Close leaves netd running.
func (k *Keeper) Close() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.forget()
	return k.client.Close()
}

// forget closes our copies of sockets; k.mu is held.
func (k *Keeper) forget() {
	for owner := range k.kept {
		k.letGo(owner)
	}
	for _, r := range k.resolvers {
		r.close()
	}
}

// End ends netd, which must hold nothing, and the connection.
func (k *Keeper) End() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.forget()
	process, err := ns.PidfdOpen(k.client.Pid())
	if err != nil {
		return errors.Join(err, k.client.Close())
	}
	defer process.Close()
	if err = k.client.Quit(); err == nil {
		k.awaitEnd(process)
	}
	return errors.Join(err, k.client.Close())
}
