package store

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"

	"github.com/berth-engine/berth/fault"
)

// removing is the snapshotter below the metadata. The collection of garbage only
// logs that it cannot remove something, as on a full disk, and thinks it done:
// here it is remembered. It keeps what a blob is to be made from again.
type removing struct {
	snapshots.Snapshotter
	failed  atomic.Bool
	refused atomic.Bool // to remove something that may go later

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
			r.refused.Store(true)
			return fmt.Errorf("snapshot %s: a layer's content is made from it: %w", key, errdefs.ErrFailedPrecondition)
		}
	}
	if err := fault.Point("image.collect.snapshot"); err != nil {
		return err
	}
	err := r.Snapshotter.Remove(ctx, key)
	if errdefs.IsFailedPrecondition(err) { // one above it was not removed
		r.refused.Store(true)
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
