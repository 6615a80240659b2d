package image

import (
	"context"
	"errors"
	"runtime"
	"time"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"

	"github.com/berth-engine/berth/kernel/task"
)

// compactor is told of changes, after which there may be layers to compact.
type compactor struct{ changes chan struct{} }

func newCompactor() compactor { return compactor{make(chan struct{}, 1)} }

func (c compactor) wake() {
	select {
	case c.changes <- struct{}{}:
	default: // it is awake
	}
}

// How often images are collected that nothing but time makes collectable, and how
// long after a change if layers are not compacted.
const (
	collectEvery = time.Hour
	collectAfter = 10 * time.Second
)

// tend collects and compacts after each change, once nothing has changed for a
// while: what a build or a pull has just brought may be pushed or removed next.
// It does so on a thread that runs when no other wants to.
func (s *Store) tend(compactAfter time.Duration) {
	runtime.LockOSThread() // and never unlocked: the thread ends with its priority
	awake, err := task.Idle()
	if err != nil {
		s.log.Debug("images are tended at normal priority", "error", err)
	} else {
		s.awake.Store(&awake)
	}
	quiet := compactAfter
	if quiet == 0 {
		quiet = collectAfter
	}
	timer, ticker := time.NewTimer(quiet), time.NewTicker(collectEvery)
	defer timer.Stop()
	defer ticker.Stop()
	for {
		select {
		case <-s.closing.Done():
			return
		case <-s.compactor.changes:
			timer.Reset(quiet)
			continue
		case <-timer.C:
		case <-ticker.C:
		}
		s.saveUses()
		var err error
		if limits := s.limited(); !limits.none() {
			_, err = s.collectUnused(s.closing, limits, false)
		}
		if err == nil && compactAfter > 0 {
			_, err = s.Compact(s.closing)
		}
		if err != nil && s.closing.Err() == nil {
			s.log.Warn("images were not tended", "error", err)
		}
	}
}

// Compact removes the compressed blobs of layers that are unpacked and can be
// compressed again to the very same bytes. To whoever uses the store they are
// there as before. It tells how many bytes less are used.
func (s *Store) Compact(ctx context.Context) (freed int64, err error) {
	ctx = s.db.Context(ctx)
	if err := s.db.Restore(ctx); err != nil {
		return 0, err
	}
	v, err := s.view(ctx)
	if err != nil {
		return 0, err
	}
	done := map[digest.Digest]bool{}
	for m := range s.allVariants(ctx, v) {
		n, err := s.compactLayers(ctx, m, done)
		if freed += n; err != nil {
			return freed, err
		}
	}
	if freed != 0 {
		s.viewMu.Lock()
		s.cached = nil // its sizes are others now
		s.viewMu.Unlock()
	}
	return freed, nil
}

// compactLayers compacts what an image has unpacked.
func (s *Store) compactLayers(ctx context.Context, m *variant, done map[digest.Digest]bool) (freed int64, err error) {
	if !m.isImage || !m.available || len(m.chains) != len(m.manifest.Layers) {
		return 0, nil
	}
	for i, l := range m.manifest.Layers {
		if ctx.Err() != nil {
			return freed, context.Cause(ctx)
		}
		if done[l.Digest] {
			continue
		}
		if _, _, err := s.db.SnapshotDir(ctx, m.chains[i].String()); err != nil {
			if errdefs.IsNotFound(err) {
				return freed, nil // nor are those above it unpacked
			}
			return freed, err
		}
		done[l.Digest] = true
		n, err := s.db.Compact(ctx, l.Digest, m.chains[i].String())
		freed += n
		if err != nil && !errdefs.IsNotFound(err) { // else it was removed meanwhile
			return freed, errors.Join(err, ctx.Err())
		}
	}
	return freed, nil
}
