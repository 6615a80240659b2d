package store

import (
	"context"
	"fmt"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"

	"github.com/berth-engine/berth/kernel/mount"
)

// The metadata store opens a blob's file inside a transaction. If the
// transaction then cannot be committed, for instance because the disk is full,
// it forgets the open writer, whose lock on the blob's name makes every later
// try wait for ever. guarded and underlying close that gap from both sides.

type guardKey struct{}

// guard is what one call of Writer has opened below the metadata store.
type guard struct {
	ref    string
	writer content.Writer
}

// guarded is the content store that this package hands out.
type guarded struct {
	content.Store
	below content.Store
}

func (g guarded) Writer(ctx context.Context, opts ...content.WriterOpt) (content.Writer, error) {
	opened := &guard{}
	w, err := g.Store.Writer(context.WithValue(ctx, guardKey{}, opened), opts...)
	if err != nil && opened.writer != nil {
		opened.writer.Close()
		// What is there belongs to nobody: the database does not know it.
		_ = g.below.Abort(ctx, opened.ref)
	}
	return w, err
}

// Update writes nothing if the labels that are to change are so already: builders
// note at each use of a blob where it came from.
func (g guarded) Update(ctx context.Context, info content.Info, fields ...string) (content.Info, error) {
	if old, err := g.Info(ctx, info.Digest); err == nil && sameLabels(old.Labels, info.Labels, fields) {
		return old, nil
	}
	return g.Store.Update(ctx, info, fields...)
}

// sameLabels tells whether fields are some labels, and have the same values in both.
func sameLabels(a, b map[string]string, fields []string) bool {
	for _, f := range fields {
		label, ok := strings.CutPrefix(f, "labels.")
		if !ok || a[label] != b[label] {
			return false
		}
	}
	return len(fields) > 0
}

// underlying is the content store below the metadata.
type underlying struct {
	content.Store
	remade *remade
}

func (u underlying) Writer(ctx context.Context, opts ...content.WriterOpt) (content.Writer, error) {
	var o content.WriterOpts
	for _, opt := range opts {
		if err := opt(&o); err != nil {
			return nil, err
		}
	}
	w, err := u.Store.Writer(ctx, opts...)
	if mount.Full(err) {
		// What is half made may lack the file by which garbage is found.
		_ = u.Abort(ctx, o.Ref) // it may not even have been begun
	}
	if opened, ok := ctx.Value(guardKey{}).(*guard); ok && err == nil {
		opened.ref, opened.writer = o.Ref, w
	}
	return w, err
}

// WalkStatusRefs is asked for by the collection of garbage. ListStatuses, which
// it would use instead, fails as long as one ingest lacks a file.
func (u underlying) WalkStatusRefs(ctx context.Context, fn func(string) error) error {
	if w, ok := u.Store.(interface {
		WalkStatusRefs(context.Context, func(string) error) error
	}); ok {
		return w.WalkStatusRefs(ctx, fn)
	}
	return fmt.Errorf("content store without references: %w", errdefs.ErrNotImplemented)
}
