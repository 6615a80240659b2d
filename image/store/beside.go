package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/containerd/containerd/v2/core/diff"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	kmount "github.com/berth-engine/berth/kernel/mount"
)

// Beside unpacks layers of one image beside each other. A layer that is unpacked
// before those below it may have to make directories that only these know: they are
// made as there when it is committed, which is when it gets its parent.
//
// It is the snapshotter and the applier for one unpacker of containerd's, which has
// to be told of the capability snapshots.RebaseCap.
type Beside struct {
	snapshots.Snapshotter
	db *DB

	mu      sync.Mutex
	implied map[string][]string // by the directory of the snapshot
}

// Beside makes one.
func (db *DB) Beside() *Beside {
	return &Beside{Snapshotter: db.Snapshots, db: db, implied: map[string][]string{}}
}

// implyKey is in a context with who is told of directories without an entry.
type implyKey struct{}

// Apply unpacks a layer as Applier does.
func (b *Beside) Apply(ctx context.Context, desc ocispec.Descriptor, mounts []mount.Mount, opts ...diff.ApplyOpt) (ocispec.Descriptor, error) {
	ctx = context.WithValue(ctx, implyKey{}, func(dir string, implied []string) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.implied[dir] = implied
	})
	return b.db.Applier.Apply(ctx, desc, mounts, opts...)
}

// Commit makes a layer complete. Its directories are made as its parents' before.
func (b *Beside) Commit(ctx context.Context, name, key string, opts ...snapshots.Opt) error {
	var info snapshots.Info
	for _, o := range opts {
		if err := o(&info); err != nil {
			return err
		}
	}
	if err := b.imitate(ctx, key, info.Parent); err != nil {
		return fmt.Errorf("directories of layer %s: %w", name, err)
	}
	return b.Snapshotter.Commit(ctx, name, key, opts...)
}

func (b *Beside) imitate(ctx context.Context, key, parent string) error {
	mounts, err := b.Mounts(ctx, key)
	if err != nil {
		return err
	}
	dir, _, err := directories(mounts)
	if err != nil {
		return err
	}
	b.mu.Lock()
	implied := b.implied[dir]
	delete(b.implied, dir)
	b.mu.Unlock()
	if len(implied) == 0 || parent == "" {
		return nil
	}
	var parents []string
	for parent != "" {
		var below string
		if below, parent, err = b.db.SnapshotDir(ctx, parent); err != nil {
			return err
		}
		parents = append(parents, below)
	}
	for _, path := range implied {
		if err := imitateOne(dir, path, parents); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	return nil
}

func imitateOne(dir, path string, parents []string) (err error) {
	root, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	f, err := kmount.OpenInRoot(root, path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return nil // a later entry was in its place
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return likeParents(f, path, parents)
}
