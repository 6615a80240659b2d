package build

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/errdefs"
	"github.com/docker/go-units"
	"github.com/moby/buildkit/cache"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/snapshot"
	"github.com/moby/buildkit/solver"
	"github.com/moby/buildkit/source"
	"github.com/moby/buildkit/source/git"
	"github.com/moby/buildkit/util/bklog"
	"github.com/moby/buildkit/util/urlutil"

	"github.com/berth-engine/berth/kernel/file"
)

// cloning is how a build gets Git repositories (contexts, ADD), with the bounds that
// downloads have. git itself knows none: what it writes is looked at while it runs,
// and before anything of it is used.
type cloning struct {
	*git.Source
	bound
	memory int64         // bytes that git may take; 0: no bound
	look   time.Duration // from one look to the next
}

// clones is BuildKit's source of repositories with bounds. The source must have been
// made with growing{…} as its cache.
func clones(s *git.Source, b bound) cloning { return cloning{s, b, memoryBound(), time.Second} }

// Resolve makes an instance whose work is watched.
func (c cloning) Resolve(ctx context.Context, id source.Identifier, sm *session.Manager, vtx solver.Vertex) (source.SourceInstance, error) {
	instance, err := c.Source.Resolve(ctx, id, sm, vtx)
	if err != nil {
		return nil, err
	}
	repository, ok := id.(*git.GitIdentifier)
	if !ok {
		return nil, fmt.Errorf("source %T is no repository", id)
	}
	return &clone{instance, c, repository.Remote}, nil
}

type clone struct {
	source.SourceInstance
	of     cloning
	remote string
}

// CacheKey asks the repository's server for a commit.
func (c *clone) CacheKey(ctx context.Context, job solver.JobContext, index int) (key, pin string, opts solver.CacheOpts, done bool, err error) {
	err = c.of.watched(ctx, c.remote, func(ctx context.Context) error {
		key, pin, opts, done, err = c.SourceInstance.CacheKey(ctx, job, index)
		return err
	})
	return key, pin, opts, done, err
}

// Snapshot is InvalidArgument if the repository has more than may come.
func (c *clone) Snapshot(ctx context.Context, job solver.JobContext) (ref cache.ImmutableRef, err error) {
	err = c.of.watched(ctx, c.remote, func(ctx context.Context) error {
		ref, err = c.SourceInstance.Snapshot(ctx, job)
		return err
	})
	return ref, err
}

// watched runs work with a context that ends when what it writes is too much, or
// what git keeps in memory, or when it has written nothing for too long.
func (c cloning) watched(ctx context.Context, remote string, work func(context.Context) error) error {
	ctx, end := context.WithCancelCause(ctx)
	remote, _, _ = strings.Cut(remote, "#")
	w := &growth{bound: c.bound, remote: remote, memory: c.memory, end: end, began: map[string]int64{}}
	w.name = "clone " + urlutil.RedactCredentials(remote)
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.follow(ctx, c.look)
	}()
	err := work(context.WithValue(ctx, growthKey{}, w))
	over := w.over() // before the end of all work is one
	end(nil)
	<-done
	if err != nil && over != nil {
		return over
	}
	return err
}

type growthKey struct{}

// growth is what one piece of work has written into snapshots.
type growth struct {
	bound
	name   string // for errors
	remote string
	memory int64
	end    context.CancelCauseFunc

	mu    sync.Mutex
	began map[string]int64 // directory: the bytes it had before
	last  int64
	cause error
}

func (w *growth) over() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.cause
}

// fail ends the work; the first reason counts.
func (w *growth) fail(err error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cause == nil {
		w.cause = err
		w.end(err)
	}
	return w.cause
}

// follow looks at the growth until ctx ends.
func (w *growth) follow(ctx context.Context, every time.Duration) {
	for since := time.Now(); ; {
		began := time.Now()
		grown, err := w.check(ctx)
		switch {
		case ctx.Err() != nil || err != nil:
			return
		case grown:
			since = time.Now()
		case time.Since(since) > w.patience:
			_ = w.fail(w.silent(w.name))
			return
		}
		// A look at many files takes long: most of the time is the work's.
		t := time.NewTimer(max(every, 10*time.Since(began)))
		select {
		case <-ctx.Done():
		case <-t.C:
		}
		t.Stop()
	}
}

// check ends the work with InvalidArgument if it has written more than it may.
// grown tells whether it has written something since the last look.
func (w *growth) check(ctx context.Context) (grown bool, err error) {
	w.mu.Lock()
	var total int64
	dirs := maps.Clone(w.began)
	w.mu.Unlock()
	if w.memory > 0 {
		if n := gitMemory(append(slices.Collect(maps.Keys(dirs)), w.remote)); n > w.memory {
			return true, w.fail(fmt.Errorf("%s: git takes more than %s of memory: %w", w.name, units.BytesSize(float64(w.memory)), errdefs.ErrInvalidArgument))
		}
	}
	for dir, before := range dirs {
		n, err := used(ctx, dir)
		if errors.Is(err, os.ErrNotExist) {
			continue // it was taken away again
		}
		if err != nil {
			return false, err
		}
		total += n - before
	}
	if total > w.most {
		return true, w.fail(w.tooMuch(w.name))
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	grown, w.last = total != w.last, total
	return grown, nil
}

func used(ctx context.Context, dir string) (int64, error) {
	f, err := os.Open(dir)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	return file.Usage(ctx, f)
}

// growing is a build cache that tells the growth of a context what is written to.
type growing struct{ cache.Accessor }

func (g growing) New(ctx context.Context, parent cache.ImmutableRef, s session.Group, opts ...cache.RefOption) (cache.MutableRef, error) {
	// What was fetched before this is complete.
	if w, ok := ctx.Value(growthKey{}).(*growth); ok {
		if _, err := w.check(ctx); err != nil {
			return nil, err
		}
	}
	ref, err := g.Accessor.New(ctx, parent, s, opts...)
	return told(ctx, ref), err
}

func (g growing) GetMutable(ctx context.Context, id string, opts ...cache.RefOption) (cache.MutableRef, error) {
	ref, err := g.Accessor.GetMutable(ctx, id, opts...)
	return told(ctx, ref), err
}

func told(ctx context.Context, ref cache.MutableRef) cache.MutableRef {
	if w, ok := ctx.Value(growthKey{}).(*growth); ok && ref != nil {
		return &growingRef{MutableRef: ref, w: w}
	}
	return ref
}

// growingRef is a snapshot whose growth is looked at.
type growingRef struct {
	cache.MutableRef
	w   *growth
	dir string // "" until it is mounted
}

func (r *growingRef) Mount(ctx context.Context, readonly bool, s session.Group) (snapshot.Mountable, error) {
	m, err := r.MutableRef.Mount(ctx, readonly, s)
	if err != nil {
		return nil, err
	}
	return growingMount{m, ctx, r}, nil
}

type growingMount struct {
	snapshot.Mountable
	ctx context.Context //nolint:containedctx // of the one mount that it is for
	r   *growingRef
}

// Mount notes what the snapshot's directory has now.
func (m growingMount) Mount() ([]mount.Mount, func() error, error) {
	mounts, release, err := m.Mountable.Mount()
	if err != nil {
		return nil, nil, err
	}
	if len(mounts) != 1 || mounts[0].Source == "" || mounts[0].Type != "bind" {
		return nil, nil, errors.Join(fmt.Errorf("a snapshot of a repository is %v: %w", mounts, errdefs.ErrInternal), release())
	}
	m.r.dir = mounts[0].Source
	before, err := used(m.ctx, m.r.dir)
	if err != nil {
		return nil, nil, errors.Join(err, release())
	}
	m.r.w.mu.Lock()
	defer m.r.w.mu.Unlock()
	if _, ok := m.r.w.began[m.r.dir]; !ok {
		m.r.w.began[m.r.dir] = before
	}
	return mounts, release, nil
}

// Commit makes a checkout of what is no more than it may be.
func (r *growingRef) Commit(ctx context.Context) (cache.ImmutableRef, error) {
	if _, err := r.w.check(ctx); err != nil {
		return nil, err
	}
	return r.MutableRef.Commit(ctx)
}

// Release ends the use of a repository, which is otherwise kept for the next clone.
// One that has become too large is not, nor what a git that was ended has not
// finished.
func (r *growingRef) Release(ctx context.Context) error {
	if r.w.over() != nil {
		if err := r.SetCachePolicyDefault(); err != nil {
			bklog.G(ctx).Warnf("a repository that is too large stays: %v", err)
		}
	}
	if r.dir != "" {
		rest, _ := filepath.Glob(filepath.Join(r.dir, "objects", "pack", "tmp_*")) // the pattern is good
		for _, path := range rest {
			if err := os.Remove(path); err != nil {
				bklog.G(ctx).Warnf("what git has left: %v", err)
			}
		}
	}
	return r.MutableRef.Release(ctx)
}
