package container

import (
	"context"
	"errors"

	"github.com/containerd/errdefs"

	"github.com/berth-engine/berth/fault"
	"github.com/berth-engine/berth/sandbox"
	"github.com/berth-engine/berth/trace"
)

// watch waits for the end of one run and settles it. At the end of the daemon
// it leaves; Restore of the next one takes the container up again.
func (s *Service) watch(ctx context.Context, e *entry, box *sandbox.Sandbox) {
	exit, err := box.Watch(ctx, func(k sandbox.OOMKill) { s.outOfMemory(ctx, e, box, k) })
	if err != nil {
		if ctx.Err() == nil && !errdefs.IsUnavailable(err) {
			s.log.Error("cannot learn how a container ends", "container", e.id, "err", err)
		}
		return
	}
	ctx, at := s.traces.Begin(ctx, "container exit")
	defer s.traces.End(at)
	if err := e.acquire(ctx); err != nil {
		return
	}
	defer e.release()
	at.Mark("wait for the container")
	if e.live == nil || e.live.box != box {
		return
	}
	if err := s.settleExit(ctx, e, box, exit); err != nil {
		at.Fail(err)
		s.log.Error("cannot settle the end of a container", "container", e.id, "err", err)
	}
}

// settleExit brings the end of a run into the record, tells everybody, gives
// back what the run had, and decides what comes next. The caller holds the
// lock.
func (s *Service) settleExit(ctx context.Context, e *entry, box *sandbox.Sandbox, exit sandbox.Exit) error {
	if err := fault.Point("container.exit.learned"); err != nil {
		return err
	}
	defer close(e.settled)
	e.endHealth()
	if exit.OOMKilled && !e.record().OOMKilled { // nobody watched
		s.announceOOM(e.record(), sandbox.OOMKill{})
	}
	ran := e.record()
	again := ran.recreates() && ran.Desired == WantRunning
	if !again && e.network != nil {
		s.report(e.id, e.network.Close())
		e.network = nil
	}
	r, err := s.step(e, Exited, outcome(exit), func(r *Record) {
		if r.recreates() {
			r.exchange(EditStart)
		}
		if !again {
			r.Network, r.Edit = nil, nil
		}
	})
	if err != nil {
		return err
	}
	at := trace.From(ctx)
	at.Mark("record")
	e.execs.await(s.clock.after)
	e.telling.Lock()
	s.announceDie(r)
	e.telling.Unlock()
	s.execs.Drop(e.id)
	if err := fault.Point("container.exit.saved"); err != nil {
		return err
	}
	at.Mark("events")
	s.letGo(ctx, e, ran, box)
	at.Mark("network and sandbox given back")
	e.streams.close()
	if again && s.restored.Load() {
		e.waits.wake(exitResponse(r), endOfRun...)
		s.finishEdit(ctx, e)
		return nil
	}
	defer at.Mark("restart or removal")
	return s.afterRun(ctx, e)
}

// outcome is the exit as the record has it.
func outcome(x sandbox.Exit) *Outcome {
	return &Outcome{ExitCode: x.Code, OOMKilled: x.OOMKilled, At: x.FinishedAt.UTC(), Error: x.Reason}
}

// letGo gives back the network, the image's directories and the sandbox.
func (s *Service) letGo(ctx context.Context, e *entry, r *Record, box *sandbox.Sandbox) {
	var errs []error
	if m := r.HostConfig.NetworkMode; !m.IsHost() && !m.IsContainer() && e.network == nil {
		errs = append(errs, s.networks.Detach(ctx, e.id))
	}
	if box != nil {
		errs = append(errs, box.Remove(ctx))
	}
	s.unmountVolumes(r)
	if e.live != nil {
		for _, f := range e.live.release {
			f()
		}
		e.live = nil
	}
	s.report(e.id, errors.Join(errs...))
}

// afterRun wakes who waited for the end, and restarts or removes. The caller
// holds the lock; the state is Exited.
func (s *Service) afterRun(ctx context.Context, e *entry) error {
	r := e.record()
	if r.unfinished() {
		return nil // Restore starts it
	}
	again := s.wantsRestart(r)
	if again {
		next, err := s.step(e, Restarting, nil, func(r *Record) { r.RestartCount++ })
		if err != nil {
			return err
		}
		r = next
	}
	e.waits.wake(exitResponse(r), endOfRun...)
	switch {
	case again && !s.restored.Load():
		// Restore starts it, in its turn.
	case again:
		s.restartLater(e, r.FinishedAt.Sub(r.StartedAt))
	case r.autoRemove():
		return s.remove(ctx, e, true)
	}
	return nil
}
