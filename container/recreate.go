package container

import (
	"context"
	"errors"
	"fmt"

	"github.com/containerd/errdefs"

	"github.com/berth-engine/berth/fault"
)

// recreate runs a container that runs anew with other settings. Its directory
// stays, and so do ID, name, files and logs; its network namespace is kept open
// over the gap, so that addresses, ports and those who share it do not notice.
// The caller holds the lock; it is given back.
//
// Each step is one save of the record. Killed before the first, the old run goes
// on. After it, the next daemon ends the run and starts the container with the
// new settings, or with the old ones if that cannot be.
func (s *Service) recreate(ctx context.Context, e *entry, next settings) error {
	r, box, settled := e.record(), e.live.box, e.settled
	first, err := stopSignal(r, "")
	if err == nil {
		s.keepNetwork(e)
		_, err = s.step(e, Stopping, nil, func(r *Record) {
			r.Edit, r.Desired = &Edit{Phase: EditStop, settings: next}, WantRunning
		})
	}
	if err != nil {
		s.dropNetwork(ctx, e)
		e.release()
		return err
	}
	edited := make(chan error, 1)
	e.edited = edited
	e.release()
	if err := fault.Point("container.edit.stop"); err != nil {
		return err
	}
	if err := s.signal(ctx, e, box, first); err != nil && !s.endsNow(settled) {
		return err
	}
	if err := s.awaitExit(ctx, e, box, settled, s.patience(r, nil)); err != nil {
		return err
	}
	select {
	case err := <-edited:
		return err
	default: // somebody stopped or removed it meanwhile
		return nil
	}
}

// resumeRecreate goes on with what an earlier daemon began. The caller holds
// the lock.
func (s *Service) resumeRecreate(e *entry) {
	box, settled, r := e.live.box, e.settled, e.record()
	s.keepNetwork(e)
	s.log.Info("going on with an update that an engine before this one began", "container", e.id)
	s.tasks.do(func(ctx context.Context) {
		first, err := stopSignal(r, "")
		if err == nil {
			err = s.signal(ctx, e, box, first)
		}
		if err == nil {
			err = s.awaitExit(ctx, e, box, settled, s.patience(r, nil))
		}
		if err != nil && ctx.Err() == nil {
			s.log.Error("cannot end a container that is to be run anew", "container", e.id, "err", err)
		}
	})
}

// exchange makes the settings of a change the record's, and keeps those that
// were, at the end of the run that was in the way.
func (r *Record) exchange(to EditPhase) {
	before := r.settings()
	r.use(r.Edit.settings)
	r.Edit = &Edit{Phase: to, settings: before}
}

// recreates tells whether the end of a run is the middle of a change.
func (r *Record) recreates() bool { return r.Edit != nil && r.Edit.Phase == EditStop }

// unfinished tells whether a container that does not run is in the middle of a
// change, after which it is to run.
func (r *Record) unfinished() bool {
	return r.Edit != nil && (r.Edit.Phase == EditStart || r.Edit.Phase == EditBack)
}

// keepNetwork opens the network namespace of a run that is about to be replaced.
func (s *Service) keepNetwork(e *entry) {
	r := e.record()
	if r.Network == nil || e.live == nil {
		return
	}
	f, err := e.live.box.Namespace("net")
	if err != nil {
		if !errdefs.IsNotFound(err) {
			s.report(e.id, err)
		}
		return
	}
	e.network = f
}

// finishEdit starts a container in the middle of a change, and tells whoever
// asked for the change. The caller holds the lock; nothing runs.
func (s *Service) finishEdit(ctx context.Context, e *entry) {
	ctx = context.WithoutCancel(ctx)
	err := s.startAnew(ctx, e)
	s.dropNetwork(ctx, e)
	if err != nil {
		s.log.Warn("cannot run a container with its new settings", "container", e.id, "err", err)
	}
	if e.edited != nil {
		e.edited <- err
		e.edited = nil
	}
}

func (s *Service) startAnew(ctx context.Context, e *entry) error {
	if e.record().Edit.Phase == EditStart {
		err := s.startEdited(ctx, e)
		if err == nil {
			return nil
		}
		if stepErr := s.goBack(e, err); stepErr != nil {
			return s.failStart(ctx, e, errors.Join(err, stepErr))
		}
		if back := s.start(ctx, e, func(*Record) {}); back != nil {
			return fmt.Errorf("it cannot be run with the changes, and not as it was before either: %w", errors.Join(err, back))
		}
		return conflict("it cannot be run with the changes, and runs as it was before: %w", err)
	}
	return s.start(ctx, e, func(*Record) {})
}

func (s *Service) startEdited(ctx context.Context, e *entry) error {
	if err := fault.Point("container.edit.ended"); err != nil {
		return err
	}
	return s.tryStart(ctx, e, func(*Record) {})
}

// goBack gives a container that could not be started its old settings.
func (s *Service) goBack(e *entry, cause error) error {
	if err := fault.Point("container.edit.back"); err != nil {
		return err
	}
	revert := func(r *Record) { r.exchange(EditBack); r.Edit.settings = settings{} }
	if e.record().State == Starting {
		_, err := s.step(e, Exited, &Outcome{ExitCode: startFailed, Error: cause.Error()}, revert)
		return err
	}
	r := *e.record()
	revert(&r)
	return s.save(e, &r)
}

// dropNetwork lets go of a namespace that was kept. If nothing runs in it, the
// network gets back what belongs to it.
func (s *Service) dropNetwork(ctx context.Context, e *entry) {
	if e.network == nil {
		return
	}
	s.report(e.id, e.network.Close())
	e.network = nil
	if e.live == nil {
		s.report(e.id, s.networks.Detach(ctx, e.id))
	}
}
