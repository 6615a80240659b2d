package store

import (
	"context"

	"github.com/containerd/containerd/v2/core/content"
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

// underlying is the content store below the metadata.
type underlying struct{ content.Store }

func (u underlying) Writer(ctx context.Context, opts ...content.WriterOpt) (content.Writer, error) {
	w, err := u.Store.Writer(ctx, opts...)
	if opened, ok := ctx.Value(guardKey{}).(*guard); ok && err == nil {
		var o content.WriterOpts
		for _, opt := range opts {
			if optErr := opt(&o); optErr != nil {
				return w, nil //nolint:nilerr // the store below has accepted the options
			}
		}
		opened.ref, opened.writer = o.Ref, w
	}
	return w, err
}
