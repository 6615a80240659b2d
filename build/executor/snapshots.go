package executor

import (
	"context"
	"slices"

	ctdmount "github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/moby/buildkit/snapshot"

	"github.com/berth-engine/berth/sandbox"
)

// mappedOverlay is the type of mount that stands for an overlay which a step in
// a user namespace writes to. BuildKit would mount that itself, once for all who
// share it, and hand out bind mounts: but owners in an overlay cannot be mapped,
// only those in its layers.
const mappedOverlay = "mapped-overlay"

type mappedKey struct{}

// asMapped marks what a step is going to write to. Nobody else ever mounts that.
func asMapped(ctx context.Context) context.Context {
	return context.WithValue(ctx, mappedKey{}, true)
}

// Snapshots is a snapshotter for a cache whose steps run in user namespaces.
type Snapshots struct{ snapshot.Snapshotter }

// Mounts describes a snapshot.
func (s Snapshots) Mounts(ctx context.Context, key string) (snapshot.Mountable, error) {
	m, err := s.Snapshotter.Mounts(ctx, key)
	if err != nil || ctx.Value(mappedKey{}) == nil {
		return m, err
	}
	return mappedMountable{m}, nil
}

type mappedMountable struct{ snapshot.Mountable }

// Mount implements snapshot.Mountable.
func (m mappedMountable) Mount() ([]ctdmount.Mount, func() error, error) {
	list, release, err := m.Mountable.Mount()
	list = slices.Clone(list)
	for i := range list {
		if list[i].Type == "overlay" {
			list[i].Type = mappedOverlay
		}
	}
	return list, release, err
}

// Expecting is a snapshotter for a cache whose steps run in Sandboxes, which hear of
// a step when its root is made: some ten milliseconds before they launch it.
type Expecting struct {
	snapshot.Snapshotter
	Sandboxes *sandbox.Runtime
}

// Prepare makes a snapshot that is written to.
func (s Expecting) Prepare(ctx context.Context, key, parent string, opts ...snapshots.Opt) error {
	s.Sandboxes.Expect()
	return s.Snapshotter.Prepare(ctx, key, parent, opts...)
}
