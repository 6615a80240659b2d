package store

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/berth-engine/berth/fault"
	"github.com/berth-engine/berth/image/remake"
	"github.com/berth-engine/berth/kernel/file"
)

// remade is the blobs that are not kept but can be made again from a snapshot's
// files. It lies below the metadata, which goes on to know them as content; who
// reads one does not see the difference.
//
// A record is written before its blob is removed, and while the metadata has the
// blob the snapshot's directory stays (see removing).
type remade struct {
	root string // of the store
	log  *slog.Logger

	mu    sync.Mutex
	known map[digest.Digest]recorded
}

type recorded struct {
	dir   string // below the store's root
	size  int64  // of the blob
	takes int64  // bytes of the record
}

func (r *remade) folder() string { return filepath.Join(r.root, "remade") }

func (r *remade) path(d digest.Digest) string { return filepath.Join(r.folder(), d.Encoded()) }

// load reads which records there are, and removes what is no whole one.
func (r *remade) load() error {
	r.known = map[digest.Digest]recorded{}
	if err := os.MkdirAll(r.folder(), 0o700); err != nil {
		return err
	}
	list, err := os.ReadDir(r.folder())
	if err != nil {
		return err
	}
	for _, e := range list {
		path := filepath.Join(r.folder(), e.Name())
		if strings.HasSuffix(e.Name(), unfinished) {
			if err := os.Remove(path); err != nil {
				return err
			}
			continue
		}
		if err := r.add(digest.NewDigestFromEncoded(digest.SHA256, e.Name())); err != nil {
			r.log.Error("a layer that was not kept cannot be made again", "record", path, "error", err)
		}
	}
	return nil
}

// add reads the header of a record.
func (r *remade) add(d digest.Digest) error {
	f, err := os.Open(r.path(d))
	if err != nil {
		return err
	}
	defer f.Close()
	h, _, err := remake.ReadHeader(f)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.known[d] = recorded{h.Dir, h.Size, info.Size()}
	return nil
}

// unfinished ends the name of a record that is being written.
const unfinished = ".new"

// write writes a record so that it is there after a crash.
func (r *remade) write(record *remake.Record) (err error) {
	path := r.path(record.Digest)
	f, err := os.OpenFile(path+unfinished, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(path + unfinished)
		}
	}()
	_, err = record.WriteTo(f)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(path+unfinished, path); err != nil {
		return err
	}
	if err := file.Sync(r.folder()); err != nil {
		return err
	}
	return r.add(record.Digest)
}

// remove forgets a record; NotFound if there is none.
func (r *remade) remove(d digest.Digest) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.known, d)
	err := os.Remove(r.path(d))
	if errors.Is(err, os.ErrNotExist) {
		return errdefs.ErrNotFound
	}
	return err
}

func (r *remade) get(d digest.Digest) (recorded, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	one, ok := r.known[d]
	return one, ok
}

func (r *remade) all() map[digest.Digest]recorded {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := make(map[digest.Digest]recorded, len(r.known))
	for d, one := range r.known {
		list[d] = one
	}
	return list
}

// from lists the blobs that are made from a directory.
func (r *remade) from(dir string) (list []digest.Digest) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for d, one := range r.known {
		if one.dir == dir {
			list = append(list, d)
		}
	}
	return list
}

func (r *remade) open(d digest.Digest) (*remake.Reader, error) {
	return remake.Open(r.path(d), func(dir string) string { return filepath.Join(r.root, dir) })
}

// ReaderAt reads a blob, which is made again if it is not kept.
func (u underlying) ReaderAt(ctx context.Context, desc ocispec.Descriptor) (content.ReaderAt, error) {
	kept, err := u.Store.ReaderAt(ctx, desc)
	if !errdefs.IsNotFound(err) {
		return kept, err
	}
	if _, ok := u.remade.get(desc.Digest); !ok {
		return nil, err
	}
	return u.remade.open(desc.Digest)
}

// Walk is how the collection of garbage finds what the metadata does not have.
func (u underlying) Walk(ctx context.Context, fn content.WalkFunc, filters ...string) error {
	seen := map[digest.Digest]bool{}
	err := u.Store.Walk(ctx, func(info content.Info) error {
		seen[info.Digest] = true
		return fn(info)
	}, filters...)
	if err != nil || len(filters) > 0 {
		return err
	}
	for d, one := range u.remade.all() {
		if seen[d] {
			continue
		}
		if err := fn(content.Info{Digest: d, Size: one.size}); err != nil {
			return err
		}
	}
	return nil
}

// Delete removes a blob in whatever form it is here.
func (u underlying) Delete(ctx context.Context, d digest.Digest) error {
	if err := fault.Point("image.collect.blob"); err != nil {
		return err
	}
	err := u.Store.Delete(ctx, d)
	if err != nil && !errdefs.IsNotFound(err) {
		return err
	}
	if err := fault.Point("image.collect.record"); err != nil {
		return err
	}
	if removed := u.remade.remove(d); !errdefs.IsNotFound(removed) {
		return removed
	}
	return err
}

// copyAll reads a blob from its start to its end.
func copyAll(w io.Writer, r content.ReaderAt) error {
	_, err := io.Copy(w, io.NewSectionReader(r, 0, r.Size()))
	return err
}
