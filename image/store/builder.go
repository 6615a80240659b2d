package store

import (
	"context"
	"fmt"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"

	"github.com/berth-engine/berth/fault"
)

// Builder are the parts of the store for BuildKit, which makes many leases and ends
// most of them when its build ends, or before they have kept anything. Written to
// the database each would wait for the disk four times:
//
//   - Temporary leases, which no later process is to know, are only in memory. What
//     is made under one is written under one lease for all, and goes from there when
//     garbage is collected and no lease keeps it any more.
//   - Others are written with the first thing that they keep, in one transaction with
//     it if that is a snapshot. One that keeps nothing is in no list.
type Builder struct {
	Content   content.Store
	Snapshots snapshots.Snapshotter
	Leases    leases.Manager
}

// Builder gives these parts; all calls give the same.
func (db *DB) Builder() Builder {
	return Builder{Content: builderContent{db.Content, db.builds}, Snapshots: builderSnapshots{db.Snapshots, db.builds}, Leases: db.builds}
}

// builderContent is content that temporary leases may keep.
type builderContent struct {
	content.Store
	leases *temporary
}

func (c builderContent) Writer(ctx context.Context, opts ...content.WriterOpt) (content.Writer, error) {
	lease, err := c.leases.of(ctx)
	if err != nil {
		return nil, err
	}
	if lease == nil {
		return c.Store.Writer(ctx, opts...)
	}
	var o content.WriterOpts
	for _, opt := range opts {
		if err := opt(&o); err != nil {
			return nil, err
		}
	}
	if d := o.Desc.Digest; d != "" {
		// What is there need not be written, only kept.
		err := c.leases.ifThere(lease, blob(d), func() error { _, err := c.Info(ctx, d); return err })
		if err == nil {
			err = fmt.Errorf("content %v: %w", d, errdefs.ErrAlreadyExists)
		}
		if !errdefs.IsNotFound(err) {
			return nil, err
		}
	}
	ctx, err = c.leases.under(ctx, lease, leases.Resource{ID: o.Ref, Type: "ingests"})
	if err != nil {
		return nil, err
	}
	w, err := c.Store.Writer(ctx, opts...)
	if err != nil {
		return nil, err
	}
	return builderWriter{w, c.leases}, nil
}

type builderWriter struct {
	content.Writer
	leases *temporary
}

// Commit may have another lease than Writer had.
func (w builderWriter) Commit(ctx context.Context, size int64, expected digest.Digest, opts ...content.Opt) error {
	lease, err := w.leases.of(ctx)
	if err != nil {
		return err
	}
	if lease != nil {
		if expected == "" {
			expected = w.Digest()
		}
		if ctx, err = w.leases.under(ctx, lease, blob(expected)); err != nil {
			return err
		}
	}
	if err := w.Writer.Commit(ctx, size, expected, opts...); err != nil {
		return err
	}
	return fault.Point("build.blob.written")
}

// builderSnapshots are snapshots that temporary leases may keep.
type builderSnapshots struct {
	snapshots.Snapshotter
	leases *temporary
}

func (s builderSnapshots) Prepare(ctx context.Context, key, parent string, opts ...snapshots.Opt) ([]mount.Mount, error) {
	return s.make(ctx, key, func(ctx context.Context) ([]mount.Mount, error) {
		return s.Snapshotter.Prepare(ctx, key, parent, opts...)
	})
}

func (s builderSnapshots) View(ctx context.Context, key, parent string, opts ...snapshots.Opt) ([]mount.Mount, error) {
	return s.make(ctx, key, func(ctx context.Context) ([]mount.Mount, error) { return s.Snapshotter.View(ctx, key, parent, opts...) })
}

// make makes a snapshot with all that keeps it. One that is there is kept, too.
func (s builderSnapshots) make(ctx context.Context, name string, do func(context.Context) ([]mount.Mount, error)) (m []mount.Mount, err error) {
	if ctx, err = s.keep(ctx, name); err != nil {
		return nil, err
	}
	var exists error
	err = s.leases.made(ctx, name, func(ctx context.Context) (err error) {
		if m, err = do(ctx); errdefs.IsAlreadyExists(err) {
			exists, err = err, nil
		}
		return err
	})
	if err == nil {
		err = exists
	}
	return m, err
}

func (s builderSnapshots) Commit(ctx context.Context, name, key string, opts ...snapshots.Opt) error {
	ctx, err := s.keep(ctx, name)
	if err != nil {
		return err
	}
	return s.leases.made(ctx, name, func(ctx context.Context) error { return s.Snapshotter.Commit(ctx, name, key, opts...) })
}

// Stat has what is found be kept by who waits for it: somebody else has made it.
func (s builderSnapshots) Stat(ctx context.Context, name string) (snapshots.Info, error) {
	info, err := s.Snapshotter.Stat(ctx, name)
	if err == nil && len(s.leases.waiting(name)) > 0 {
		err = s.leases.made(ctx, name, func(context.Context) error { return nil })
	}
	return info, err
}

func (s builderSnapshots) keep(ctx context.Context, name string) (context.Context, error) {
	lease, err := s.leases.of(ctx)
	if err != nil || lease == nil {
		return ctx, err
	}
	return s.leases.under(ctx, lease, leases.Resource{ID: name, Type: snapshotType})
}
