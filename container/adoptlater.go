package container

import (
	"context"
	"sync"

	"github.com/containerd/errdefs"
	"golang.org/x/sync/errgroup"

	"github.com/berth-engine/berth/container/health"
)

// adopters is how many containers are adopted at a time while requests are
// served already, which go before.
const adopters = 4

// adoptLater leaves the talk with the monitor of a container to adoptRest, or to
// the first who asks for the container: with hundreds that run, it would be most
// of an engine's start. Before it returns true, which needs a container that runs
// as its record says, and nothing that only the monitor knows, everybody else has
// been told what the run uses. The lock, which the caller holds, is then held
// until the container is adopted.
func (s *Service) adoptLater(ctx context.Context, e *entry) bool {
	r := e.record()
	if r.State != Running || r.Edit != nil || health.Wanted(r.Config.Healthcheck) || shares(r) || !s.sandboxes.Runs(e.id, r.Pid) {
		return false
	}
	s.holdAgain(ctx, e)
	s.useVolumes(ctx, r)
	held, err := s.holdRun(ctx, e, r.Pid)
	adopt := sync.OnceFunc(func() {
		defer e.release()
		defer e.coming.Store(nil)
		if err == nil {
			err = s.adoptNow(ctx, e, held)
		}
		if err != nil && ctx.Err() == nil {
			s.log.Error("cannot restore a container", "container", e.id, "err", err)
		}
	})
	e.coming.Store(&adopt)
	return true
}

// adoptNow is the rest of adoptLater. The lock is held.
func (s *Service) adoptNow(ctx context.Context, e *entry, held []func()) error {
	box, err := s.sandboxes.Adopt(ctx, e.id, s.records.dir(e.id))
	if err == nil {
		return s.takeOver(ctx, e, box, held)
	}
	if ctx.Err() != nil {
		return err // the next daemon finds it
	}
	if !errdefs.IsNotFound(err) { // else it has ended since it was looked at
		s.log.Error("ending a container whose monitor cannot be talked to", "container", e.id, "err", err)
		s.report(e.id, s.sweepSandbox(ctx, e.id)) // the next start tries it again
	}
	e.live = &live{release: held} // to be let go
	return s.settleLost(ctx, e)
}

// await returns when the container is adopted, and tells whether it was not before.
func (e *entry) await() bool {
	adopt := e.coming.Load()
	if adopt != nil {
		(*adopt)()
	}
	return adopt != nil
}

// awaitAll is await for all containers.
func (s *Service) awaitAll() {
	for _, e := range s.index.all() {
		e.await()
	}
}

// adoptRest adopts what nobody has asked for yet.
func adoptRest(ctx context.Context, list []*entry) {
	var work errgroup.Group
	work.SetLimit(adopters)
	for _, e := range list {
		if ctx.Err() != nil {
			break // the next daemon finds it
		}
		work.Go(func() error { e.await(); return nil })
	}
	_ = work.Wait() // never fails
}
