package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/metadata"
	"github.com/containerd/containerd/v2/pkg/gc"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"

	"github.com/berth-engine/berth/fault"
)

const (
	// writtenUnder is the one lease in the database for what is made under temporary
	// ones. It ends with the process, by its label.
	writtenUnder = "builds"
	snapshotType = "snapshots/" + Snapshotter
	expireLabel  = "containerd.io/gc.expire"

	// noResource is a type that nothing is of: a collector has to have one.
	noResource = metadata.ResourceMount + 1
)

func blob(d digest.Digest) leases.Resource { return leases.Resource{ID: d.String(), Type: "content"} }

// lease is one that the database does not know.
type lease struct {
	leases.Lease
	keeps map[leases.Resource]bool // nil: it is to be written when it keeps something
	soon  []leases.Resource        // what such a one is to keep once it is made
}

// temporary are the leases of a builder; Builder says how they are kept.
//
// Two orders make it safe: what a lease is to keep is in keeps before it is
// written, so that trim leaves it; and gate is held by a collection from its first
// look to its last removal, so that what was found there stays.
type temporary struct {
	leases.Manager
	db   *DB
	gate sync.RWMutex

	mu     sync.Mutex
	list   map[string]*lease
	shared bool // the lease writtenUnder is written

	writing sync.Mutex // held while a lease is written
}

func newTemporary(db *DB) *temporary {
	return &temporary{Manager: db.Leases, db: db, list: map[string]*lease{}}
}

// Create is AlreadyExists for a lease that is there, written or not.
func (t *temporary) Create(ctx context.Context, opts ...leases.Opt) (leases.Lease, error) {
	l := &lease{}
	for _, o := range opts {
		if err := o(&l.Lease); err != nil {
			return leases.Lease{}, err
		}
	}
	if l.ID == "" {
		return leases.Lease{}, errors.New("lease id must be provided")
	}
	if _, ok := l.Labels[builderLabel]; ok {
		l.keeps = map[leases.Resource]bool{}
	}
	_, err := t.Manager.ListResources(ctx, l.Lease)
	if err != nil && !errdefs.IsNotFound(err) {
		return leases.Lease{}, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.list[l.ID] != nil || err == nil {
		return leases.Lease{}, fmt.Errorf("lease %q: %w", l.ID, errdefs.ErrAlreadyExists)
	}
	t.list[l.ID] = l
	return l.Lease, nil
}

// Delete ends a lease.
func (t *temporary) Delete(ctx context.Context, l leases.Lease, opts ...leases.DeleteOpt) error {
	t.writing.Lock()
	t.mu.Lock()
	known := t.list[l.ID] != nil
	delete(t.list, l.ID)
	t.mu.Unlock()
	t.writing.Unlock()
	if known {
		return nil
	}
	return t.Manager.Delete(ctx, l, opts...)
}

// AddResource has a lease keep something.
func (t *temporary) AddResource(ctx context.Context, l leases.Lease, r leases.Resource) error {
	switch known := t.find(l.ID); {
	case known == nil:
		return t.Manager.AddResource(ctx, l, r)
	case known.keeps == nil && t.later(ctx, known, r):
		return nil
	case known.keeps == nil:
		return t.write(ctx, known, func(ctx context.Context) error { return t.Manager.AddResource(ctx, l, r) })
	default:
		return t.ifThere(known, r, func() error { return nil })
	}
}

// DeleteResource has it keep that no longer.
func (t *temporary) DeleteResource(ctx context.Context, l leases.Lease, r leases.Resource) error {
	known := t.find(l.ID)
	if known == nil {
		return t.Manager.DeleteResource(ctx, l, r)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(known.keeps, r)
	known.soon = slices.DeleteFunc(known.soon, func(s leases.Resource) bool { return s == r })
	return nil
}

// ListResources lists what a lease keeps.
func (t *temporary) ListResources(ctx context.Context, l leases.Lease) ([]leases.Resource, error) {
	known := t.find(l.ID)
	if known == nil {
		return t.Manager.ListResources(ctx, l)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.AppendSeq(slices.Clone(known.soon), maps.Keys(known.keeps)), nil
}

func (t *temporary) find(id string) *lease {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.list[id]
}

// of is the temporary lease of a context; nil if that has none, or one of the
// database, where it is then.
func (t *temporary) of(ctx context.Context) (*lease, error) {
	id, ok := leases.FromContext(ctx)
	if !ok {
		return nil, nil
	}
	l := t.find(id)
	if l == nil || l.keeps != nil {
		return l, nil
	}
	return nil, t.write(ctx, l, func(context.Context) error { return nil })
}

// later has a lease that is not written keep a snapshot which is not there yet: it is
// written with that, by make. It tells whether the snapshot is one of these.
func (t *temporary) later(ctx context.Context, l *lease, r leases.Resource) bool {
	if r.Type != snapshotType {
		return false
	}
	t.writing.Lock()
	defer t.writing.Unlock()
	if _, err := t.db.Snapshots.Stat(ctx, r.ID); !errdefs.IsNotFound(err) || t.find(l.ID) != l {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	l.soon = append(l.soon, r)
	return true
}

// made runs what makes a snapshot, in one transaction with the writing of the leases
// that wait for it.
func (t *temporary) made(ctx context.Context, name string, do func(context.Context) error) error {
	t.writing.Lock()
	defer t.writing.Unlock()
	waiting, done := t.waiting(name), false
	err := t.db.whole(ctx, func(ctx context.Context) error {
		for _, l := range waiting {
			if err := t.put(ctx, l); err != nil {
				return err
			}
		}
		err := do(ctx)
		done = err == nil
		return err
	})
	if err != nil {
		if done { // the snapshotter has what the metadata does not know
			t.db.overlay.look.Store(true)
		}
		return err
	}
	return t.written(waiting...)
}

// waiting are the leases that a snapshot is to be written with.
func (t *temporary) waiting(name string) (list []*lease) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, l := range t.list {
		if slices.Contains(l.soon, leases.Resource{ID: name, Type: snapshotType}) {
			list = append(list, l)
		}
	}
	return list
}

// put writes a lease and what it is to keep.
func (t *temporary) put(ctx context.Context, l *lease) error {
	if _, err := t.Manager.Create(ctx, func(as *leases.Lease) error { *as = l.Lease; return nil }); err != nil && !errdefs.IsAlreadyExists(err) {
		return err
	}
	t.mu.Lock()
	soon := slices.Clone(l.soon)
	t.mu.Unlock()
	for _, r := range soon {
		if err := t.Manager.AddResource(ctx, l.Lease, r); err != nil {
			return err
		}
	}
	return nil
}

// written takes leases off the list that the database has now.
func (t *temporary) written(list ...*lease) error {
	if len(list) == 0 {
		return nil
	}
	t.mu.Lock()
	for _, l := range list {
		delete(t.list, l.ID)
	}
	t.mu.Unlock()
	return fault.Point("build.lease.written")
}

// write writes a lease with the first thing that it keeps.
func (t *temporary) write(ctx context.Context, l *lease, first func(context.Context) error) error {
	t.writing.Lock()
	defer t.writing.Unlock()
	if t.find(l.ID) != l { // written by another caller, or ended
		return first(ctx)
	}
	err := t.db.Update(ctx, func(ctx context.Context) error {
		if err := t.put(ctx, l); err != nil {
			return err
		}
		return first(ctx)
	})
	if err != nil {
		return err
	}
	return t.written(l)
}

// ifThere has a temporary lease keep something if it is there. It is not collected
// between the question and the answer, nor later.
func (t *temporary) ifThere(l *lease, r leases.Resource, there func() error) error {
	t.gate.RLock()
	defer t.gate.RUnlock()
	if err := there(); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	l.keeps[r] = true
	return nil
}

// under has a temporary lease keep what is about to be made, and returns the context
// to make it with.
func (t *temporary) under(ctx context.Context, l *lease, r leases.Resource) (context.Context, error) {
	t.writing.Lock()
	defer t.writing.Unlock()
	if !t.shared {
		_, err := t.Manager.Create(ctx, leases.WithID(writtenUnder), leases.WithLabel(builderLabel, "all"))
		if err != nil && !errdefs.IsAlreadyExists(err) {
			return nil, err
		}
		t.shared = true
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	l.keeps[r] = true
	return leases.WithLease(ctx, writtenUnder), nil
}

// kept is all that temporary leases keep which have not expired.
func (t *temporary) kept() map[leases.Resource]bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := map[leases.Resource]bool{}
	for _, l := range t.list {
		if at, err := time.Parse(time.RFC3339, l.Labels[expireLabel]); err == nil && time.Now().After(at) {
			continue
		}
		maps.Copy(all, l.keeps)
		for _, r := range l.soon { // others may have made it
			all[r] = true
		}
	}
	return all
}

// trim takes from the lease in the database what no temporary one keeps any more.
func (t *temporary) trim(ctx context.Context) error {
	of := leases.Lease{ID: writtenUnder}
	list, err := t.Manager.ListResources(ctx, of)
	if errdefs.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	kept := t.kept()
	list = slices.DeleteFunc(list, func(r leases.Resource) bool { return kept[r] })
	if len(list) == 0 {
		return nil
	}
	return t.db.Update(ctx, func(ctx context.Context) error {
		for _, r := range list {
			if err := t.Manager.DeleteResource(ctx, of, r); err != nil {
				return err
			}
		}
		return nil
	})
}

// StartCollection makes the collection of garbage know temporary leases. It is not
// for resources of their own; containerd has no other place where one can say what
// is in use.
func (t *temporary) StartCollection(context.Context) (metadata.CollectionContext, error) {
	t.gate.Lock()
	return &collection{t}, nil
}

// ReferenceLabel is that of no label.
func (*temporary) ReferenceLabel() string { return "berth.temporary" }

type collection struct{ t *temporary }

// Active sends what temporary leases keep.
func (c *collection) Active(ns string, fn func(gc.Node)) {
	if ns != Namespace {
		return
	}
	for r := range c.t.kept() {
		node := gc.Node{Namespace: ns, Key: r.ID}
		switch {
		case r.Type == "content":
			node.Type = metadata.ResourceContent
		case r.Type == "ingests":
			node.Type = metadata.ResourceIngest
		case r.Type == "images":
			node.Type = metadata.ResourceImage
		case strings.HasPrefix(r.Type, "snapshots/"):
			node.Type, node.Key = metadata.ResourceSnapshot, strings.TrimPrefix(r.Type, "snapshots/")+"/"+r.ID
		default:
			continue
		}
		fn(node)
	}
}

func (*collection) All(func(gc.Node))                    {}
func (*collection) Leased(string, string, func(gc.Node)) {}
func (*collection) Remove(gc.Node)                       {}
func (c *collection) Cancel() error                      { c.t.gate.Unlock(); return nil }
func (c *collection) Finish() error                      { c.t.gate.Unlock(); return nil }
