package store

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
)

// removing is the snapshotter below the metadata. The collection of garbage only
// logs that it cannot remove something, as on a full disk, and thinks it done:
// here it is remembered.
type removing struct {
	snapshots.Snapshotter
	failed atomic.Bool
}

func (r *removing) Remove(ctx context.Context, key string) error {
	err := r.Snapshotter.Remove(ctx, key)
	r.note(err)
	return err
}

// Cleanup removes the directories of removed snapshots.
func (r *removing) Cleanup(ctx context.Context) error {
	c, ok := r.Snapshotter.(snapshots.Cleaner)
	if !ok {
		return fmt.Errorf("snapshotter without clean-up: %w", errdefs.ErrNotImplemented)
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
