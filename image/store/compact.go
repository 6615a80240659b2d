package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/berth-engine/berth/fault"
	"github.com/berth-engine/berth/image/remake"
)

// keepLabel is on a blob that cannot be remade, with the version of the code that
// found it so.
const keepLabel = "berth.whole"

// Stored is how many bytes a blob of that size takes here.
func (db *DB) Stored(d digest.Digest, size int64) int64 {
	if one, ok := db.remade.get(d); ok {
		return one.takes
	}
	return size
}

// Compact removes the blob of a layer that is unpacked in the snapshot, if the
// blob can be made from it again, which is tried first; it goes on to be in
// Content. What cannot be remade stays, and is not tried twice. It tells how many
// bytes less are used.
//
// The blob must be the layer of that snapshot; the context is one of Context.
func (db *DB) Compact(ctx context.Context, layer digest.Digest, snapshot string) (freed int64, err error) {
	if _, ok := db.remade.get(layer); ok {
		if _, err := db.blobs.Info(ctx, layer); errdefs.IsNotFound(err) {
			return 0, nil // done already
		}
		// A kill left both. What of them is right is not known: begin again.
		if err := db.remade.remove(layer); err != nil && !errdefs.IsNotFound(err) {
			return 0, err
		}
	}
	end, err := db.holdBoth(ctx, layer, snapshot)
	if err != nil {
		return 0, fmt.Errorf("compact %s: %w", layer, err)
	}
	defer func() { err = errors.Join(err, end()) }()
	info, err := db.Content.Info(ctx, layer)
	if errdefs.IsNotFound(err) || err == nil && info.Labels[keepLabel] == remake.Version {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	dir, _, err := db.SnapshotDir(ctx, snapshot)
	if err != nil {
		return 0, err
	}
	name, err := filepath.Rel(db.root, dir)
	if err != nil {
		return 0, err
	}
	record, err := db.record(ctx, layer, dir, name)
	if errors.Is(err, remake.ErrNot) || err == nil && record.Len() >= info.Size {
		return 0, db.keepWhole(ctx, info, err)
	}
	if err != nil {
		return 0, fmt.Errorf("compact %s: %w", layer, err)
	}
	if err := db.remade.write(record); err != nil {
		return 0, fmt.Errorf("compact %s: %w", layer, err)
	}
	if err := fault.Point("image.compact.recorded"); err != nil {
		return 0, err
	}
	if err := db.blobs.Delete(ctx, layer); err != nil && !errdefs.IsNotFound(err) {
		return 0, fmt.Errorf("compact %s: %w", layer, err)
	}
	return info.Size - record.Len(), nil
}

func (db *DB) record(ctx context.Context, layer digest.Digest, dir, name string) (*remake.Record, error) {
	blob, err := db.blobs.ReaderAt(ctx, ocispec.Descriptor{Digest: layer})
	if err != nil {
		return nil, err
	}
	defer blob.Close()
	return remake.Make(ctx, remake.Source{Digest: layer, Blob: blob, Unpack: func(r io.Reader) (io.ReadCloser, error) {
		return decompress(r)
	}, Dir: dir, Name: name})
}

func (db *DB) keepWhole(ctx context.Context, info content.Info, why error) error {
	db.log.Debug("a layer stays compressed as well", "layer", info.Digest, "why", why)
	info.Labels = map[string]string{keepLabel: remake.Version}
	_, err := db.Content.Update(ctx, info, "labels."+keepLabel)
	return err
}

// holdBoth keeps a blob and a snapshot until the returned function is called.
func (db *DB) holdBoth(ctx context.Context, layer digest.Digest, snapshot string) (func() error, error) {
	var lease leases.Lease
	err := db.Update(ctx, func(ctx context.Context) (err error) {
		if lease, err = db.WorkLease(ctx, "compact"); err != nil {
			return err
		}
		for _, r := range []leases.Resource{{ID: layer.String(), Type: "content"}, {ID: snapshot, Type: "snapshots/" + Snapshotter}} {
			if err := db.Leases.AddResource(ctx, lease, r); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return func() error {
		err := db.Leases.Delete(context.WithoutCancel(ctx), lease)
		if errdefs.IsNotFound(err) {
			return nil
		}
		return err
	}, nil
}

// Restore brings back the blobs whose snapshot nobody has any more but they: a
// build's cache, or an image with other layers below, may have a layer alone.
func (db *DB) Restore(ctx context.Context) error {
	used := map[string]bool{}
	if len(db.remade.all()) == 0 {
		return nil
	}
	err := db.Snapshots.Walk(ctx, func(_ context.Context, info snapshots.Info) error {
		if dir, err := filepath.Rel(db.root, info.Labels[UpperLabel]); err == nil {
			used[dir] = true
		}
		return nil
	})
	if err != nil {
		return err
	}
	for d, one := range db.remade.all() {
		if used[one.dir] {
			continue
		}
		if _, err := db.Content.Info(ctx, d); errdefs.IsNotFound(err) {
			continue // the collection of garbage removes it
		}
		if err := db.restore(ctx, d, one.size); err != nil {
			return fmt.Errorf("restore %s: %w", d, err)
		}
		db.overlay.look.Store(true) // its snapshot can go now
		db.Collect()
	}
	return nil
}

func (db *DB) restore(ctx context.Context, d digest.Digest, size int64) error {
	r, err := db.remade.open(d)
	if err != nil {
		return err
	}
	defer r.Close()
	ref := "restore-" + d.String()
	w, err := content.OpenWriter(ctx, db.blobs, content.WithRef(ref))
	if err != nil {
		return err
	}
	defer w.Close()
	err = w.Truncate(0)
	if err == nil {
		err = copyAll(w, r)
	}
	if err == nil {
		err = w.Commit(ctx, size, d)
	}
	if err != nil && !errdefs.IsAlreadyExists(err) {
		return errors.Join(err, db.blobs.Abort(context.WithoutCancel(ctx), ref))
	}
	if err := db.remade.remove(d); !errdefs.IsNotFound(err) {
		return err
	}
	return nil
}
