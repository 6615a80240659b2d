package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/kernel/file"
)

// spooling is a content store that keeps small blobs in memory until they are
// committed. The local store makes a directory and five files for each blob that is
// begun, by which a later process finds it and goes on: for a config or a manifest
// that takes longer than to write it.
//
// A blob is committed as a file that has no name until it is whole, so that a killed
// process leaves nothing.
type spooling struct {
	content.Store
	root   string // of the store
	synced bool   // blobs are on the disk when they are committed

	mu   sync.Mutex
	busy map[string]*spool // writers in memory, by reference
}

// NewSpooling makes the store of blobs below root. Without synced, small blobs may be
// missing or empty after a power failure.
func NewSpooling(below content.Store, root string, synced bool) content.Store {
	return &spooling{Store: below, root: root, synced: synced, busy: map[string]*spool{}}
}

const (
	// small is a blob that takes no time to write: a manifest, a config.
	small = 64 << 10
	// spooled is how much is kept in memory of a blob whose size is not known.
	spooled = 1 << 20
)

// Writer begins a blob. One that is large, or was begun by an earlier process, is
// the local store's.
func (s *spooling) Writer(ctx context.Context, opts ...content.WriterOpt) (content.Writer, error) {
	var o content.WriterOpts
	for _, opt := range opts {
		if err := opt(&o); err != nil {
			return nil, err
		}
	}
	if o.Ref == "" || o.Desc.Size > small || o.Desc.Digest != "" && o.Desc.Digest.Algorithm() != digest.Canonical {
		return s.Store.Writer(ctx, opts...)
	}
	w := &spool{s: s, opts: o, began: time.Now(), digester: digest.Canonical.Digester()}
	if err := s.lock(w); err != nil {
		return nil, err
	}
	if _, err := os.Lstat(filepath.Join(s.root, "ingest", digest.FromString(o.Ref).Encoded())); err == nil {
		s.unlock(o.Ref)
		return s.Store.Writer(ctx, opts...)
	}
	if d := o.Desc.Digest; d != "" {
		if _, err := os.Stat(s.path(d)); err == nil {
			s.unlock(o.Ref)
			return nil, fmt.Errorf("content %v: %w", d, errdefs.ErrAlreadyExists)
		}
	}
	return w, nil
}

func (s *spooling) path(d digest.Digest) string {
	return filepath.Join(s.root, "blobs", d.Algorithm().String(), d.Encoded())
}

// lock makes a writer the only one of its reference, as the local store does.
func (s *spooling) lock(w *spool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.busy[w.opts.Ref] != nil {
		return fmt.Errorf("ref %s is being written: %w", w.opts.Ref, errdefs.ErrUnavailable)
	}
	s.busy[w.opts.Ref] = w
	return nil
}

func (s *spooling) unlock(ref string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.busy, ref)
}

// Status tells of a blob that is being written.
func (s *spooling) Status(ctx context.Context, ref string) (content.Status, error) {
	s.mu.Lock()
	w := s.busy[ref]
	s.mu.Unlock()
	if w != nil {
		return w.status(), nil
	}
	return s.Store.Status(ctx, ref)
}

// Abort removes what there is of a blob; of one in memory there is nothing.
func (s *spooling) Abort(ctx context.Context, ref string) error {
	err := s.Store.Abort(ctx, ref)
	if errdefs.IsNotFound(err) {
		return nil
	}
	return err
}

// WalkStatusRefs is the local store's.
func (s *spooling) WalkStatusRefs(ctx context.Context, fn func(string) error) error {
	if w, ok := s.Store.(interface {
		WalkStatusRefs(context.Context, func(string) error) error
	}); ok {
		return w.WalkStatusRefs(ctx, fn)
	}
	return fmt.Errorf("content store without references: %w", errdefs.ErrNotImplemented)
}

// spool is a writer. It has the lock on its reference until it is closed, committed
// or replaced by one of the local store.
type spool struct {
	s        *spooling
	opts     content.WriterOpts
	began    time.Time
	digester digest.Digester
	data     []byte
	n        atomic.Int64 // bytes of it
	staged   *os.File     // data is in it, and on the disk; nil: it is not
	ended    bool
	large    content.Writer // has taken over
}

func (w *spool) Write(p []byte) (int, error) {
	if w.large != nil {
		return w.large.Write(p)
	}
	if w.ended {
		return 0, fmt.Errorf("write to a closed blob: %w", errdefs.ErrFailedPrecondition)
	}
	if len(w.data)+len(p) > spooled {
		if err := w.spill(); err != nil {
			return 0, err
		}
		return w.large.Write(p)
	}
	w.unstage()
	w.data = append(w.data, p...)
	w.n.Store(int64(len(w.data)))
	w.digester.Hash().Write(p)
	return len(p), nil
}

// spill has the local store go on.
func (w *spool) spill() error {
	large, err := w.s.Store.Writer(context.Background(), content.WithRef(w.opts.Ref), content.WithDescriptor(w.opts.Desc))
	if err != nil {
		return err
	}
	if _, err := large.Write(w.data); err != nil {
		return errors.Join(err, large.Close())
	}
	w.end()
	w.large = large
	return nil
}

// unstage forgets what Sync wrote.
func (w *spool) unstage() {
	if w.staged != nil {
		w.staged.Close() // it has no name
		w.staged = nil
	}
}

func (w *spool) end() {
	if !w.ended {
		w.unstage()
		w.ended, w.data = true, nil
		w.s.unlock(w.opts.Ref)
	}
}

func (w *spool) Close() error {
	w.end()
	if w.large != nil {
		return w.large.Close()
	}
	return nil
}

func (w *spool) Digest() digest.Digest {
	if w.large != nil {
		return w.large.Digest()
	}
	return w.digester.Digest()
}

func (w *spool) Status() (content.Status, error) {
	if w.large != nil {
		return w.large.Status()
	}
	return w.status(), nil
}

// status may be called by anybody.
func (w *spool) status() content.Status {
	return content.Status{Ref: w.opts.Ref, Offset: w.n.Load(), Total: w.opts.Desc.Size, StartedAt: w.began, UpdatedAt: w.began}
}

func (w *spool) Truncate(size int64) error {
	switch {
	case w.large != nil:
		return w.large.Truncate(size)
	case size != 0:
		return fmt.Errorf("truncate a blob to %d bytes: %w", size, errdefs.ErrNotImplemented)
	}
	w.unstage()
	w.data = w.data[:0]
	w.n.Store(0)
	w.digester.Hash().Reset()
	return nil
}

// Sync writes to the disk what is not small. The metadata store asks for it before its
// transaction, so that no other has to wait for a large blob.
func (w *spool) Sync() (err error) {
	if syncer, ok := w.large.(content.Syncer); ok {
		return syncer.Sync()
	}
	if len(w.data) > small && w.staged == nil && w.s.synced {
		w.staged, err = w.s.stage(w.data)
	}
	return err
}

// stage writes a file without a name.
func (s *spooling) stage(data []byte) (_ *os.File, err error) {
	dir := filepath.Dir(s.path(digest.FromBytes(nil)))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_WRONLY|unix.O_CLOEXEC, 0o444)
	if err != nil {
		return nil, &os.PathError{Op: "create a file in", Path: dir, Err: err}
	}
	f := os.NewFile(uintptr(fd), dir) //nolint:gosec // a descriptor
	if _, err = f.Write(data); err == nil && s.synced {
		err = f.Sync()
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func (w *spool) Commit(ctx context.Context, size int64, expected digest.Digest, opts ...content.Opt) (err error) {
	if w.large != nil {
		return w.large.Commit(ctx, size, expected, opts...)
	}
	if w.ended {
		return fmt.Errorf("cannot commit on closed writer: %w", errdefs.ErrFailedPrecondition)
	}
	defer w.end()
	if n := int64(len(w.data)); size > 0 && size != n {
		return fmt.Errorf("unexpected commit size %d, expected %d: %w", n, size, errdefs.ErrFailedPrecondition)
	}
	is := w.digester.Digest()
	if expected != "" && expected != is {
		return fmt.Errorf("unexpected commit digest %s, expected %s: %w", is, expected, errdefs.ErrFailedPrecondition)
	}
	path := w.s.path(is)
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("content %v: %w", is, errdefs.ErrAlreadyExists)
	}
	if w.staged == nil {
		if w.staged, err = w.s.stage(w.data); err != nil {
			return fmt.Errorf("write blob %s: %w", is, err)
		}
	}
	return w.s.name(w.staged, path)
}

// name gives a file that was staged its name.
func (s *spooling) name(f *os.File, path string) error {
	err := unix.Linkat(unix.AT_FDCWD, file.Path(f), unix.AT_FDCWD, path, unix.AT_SYMLINK_FOLLOW)
	if errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("blob %s: %w", filepath.Base(path), errdefs.ErrAlreadyExists)
	}
	if err != nil {
		return &os.LinkError{Op: "link", Old: "a new blob", New: path, Err: err}
	}
	if s.synced {
		return file.Sync(filepath.Dir(path))
	}
	return nil
}
