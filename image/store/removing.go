package store

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"

	"github.com/berth-engine/berth/fault"
)

// removing is the snapshotter below the metadata. The collection of garbage only
// logs that it cannot remove something, as on a full disk, and thinks it done:
// here it is remembered. It keeps what a blob is to be made from again.
type removing struct {
	snapshots.Snapshotter
	failed atomic.Bool
	look   atomic.Bool // the next collection has to look for what may go

	// needed tells whether a directory of a snapshot is; nil: none is.
	needed func(ctx context.Context, dir string) (bool, error)
}

func (r *removing) Remove(ctx context.Context, key string) error {
	if r.needed != nil {
		info, err := r.Stat(ctx, key)
		if err != nil {
			return err
		}
		needed, err := r.needed(ctx, info.Labels[UpperLabel])
		if err != nil {
			return err
		}
		if needed {
			r.look.Store(true)
			return fmt.Errorf("snapshot %s: a layer's content is made from it: %w", key, errdefs.ErrFailedPrecondition)
		}
	}
	if err := fault.Point("image.collect.snapshot"); err != nil {
		return err
	}
	err := r.Snapshotter.Remove(ctx, key)
	if errdefs.IsFailedPrecondition(err) { // one above it was not removed
		r.look.Store(true)
		return err
	}
	r.note(err)
	return err
}

// Cleanup removes the directories of removed snapshots.
func (r *removing) Cleanup(ctx context.Context) error {
	c, ok := r.Snapshotter.(snapshots.Cleaner)
	if !ok {
		return fmt.Errorf("snapshotter without clean-up: %w", errdefs.ErrNotImplemented)
	}
	if err := fault.Point("image.collect.directory"); err != nil {
		return err
	}
	err := c.Cleanup(ctx)
	r.note(err)
	return err
}

func (r *removing) note(err error) {
	if err != nil && !errdefs.IsNotFound(err) {
		r.failed.Store(true)
	}
}

// making is the snapshotter above the metadata. A snapshot that the metadata cannot
// record, as on a full disk, is removed at once, but only from the snapshotter's
// database: its directory waits for a collection, which would not know of it.
type making struct {
	snapshots.Snapshotter
	below *removing
}

func (m making) Prepare(ctx context.Context, key, parent string, opts ...snapshots.Opt) ([]mount.Mount, error) {
	mounts, err := m.Snapshotter.Prepare(ctx, key, parent, opts...)
	m.note(err)
	return mounts, err
}

func (m making) View(ctx context.Context, key, parent string, opts ...snapshots.Opt) ([]mount.Mount, error) {
	mounts, err := m.Snapshotter.View(ctx, key, parent, opts...)
	m.note(err)
	return mounts, err
}

func (m making) note(err error) {
	if err != nil && !errdefs.IsAlreadyExists(err) {
		m.below.look.Store(true)
	}
}
