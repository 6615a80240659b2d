package container

import (
	"context"
	"errors"
	"fmt"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/events"

	"github.com/berth-engine/berth/fault"
	"github.com/berth-engine/berth/sandbox"
)

// Pause stops all processes of the container where they are, until Unpause or
// its end. The kernel is told first and is asked again by the next daemon, so
// that the record cannot be wrong for long.
func (s *Service) Pause(ctx context.Context, ref string) error {
	e, err := s.findLocked(ctx, ref)
	if err != nil {
		return err
	}
	defer e.release()
	switch r := e.record(); {
	case r.State == Paused:
		return conflict("Container %s is already paused", e.id)
	case r.State == Restarting:
		return conflict("Container %s is restarting, wait until the container is running", e.id)
	case e.live == nil:
		return conflict("container %s is not running", e.id)
	case r.State == Stopping:
		return conflict("container %s is being stopped", e.id)
	}
	ctx = context.WithoutCancel(ctx)
	box := e.live.box
	s.pauseTurn(ctx, e)
	if err := box.Pause(ctx); err != nil {
		s.resumeTurn(ctx, e)
		return s.cannot("pause", e, err)
	}
	if err := fault.Point("container.pause.frozen"); err != nil {
		return err
	}
	r, err := s.step(e, Paused, nil, nil)
	if err != nil {
		s.resumeTurn(ctx, e)
		return errors.Join(s.cannot("pause", e, err), box.Resume(ctx))
	}
	e.pauseHealth()
	s.announce(r, events.ActionPause)
	return nil
}

// Unpause lets a paused container run on.
func (s *Service) Unpause(ctx context.Context, ref string) error {
	e, err := s.findLocked(ctx, ref)
	if err != nil {
		return err
	}
	defer e.release()
	if e.record().State != Paused || e.live == nil {
		// Docker answers 500 here, so it has no kind.
		return fmt.Errorf("Container %s is not paused", e.id)
	}
	return s.unpause(context.WithoutCancel(ctx), e)
}

// unpause is Unpause for a container that the caller has locked.
func (s *Service) unpause(ctx context.Context, e *entry) error {
	box := e.live.box
	if err := box.Resume(ctx); err != nil {
		return s.cannot("unpause", e, err)
	}
	if err := fault.Point("container.unpause.thawed"); err != nil {
		return err
	}
	r, err := s.step(e, Running, nil, nil)
	if err != nil {
		return errors.Join(s.cannot("unpause", e, err), box.Pause(ctx))
	}
	s.announce(r, events.ActionUnPause)
	s.resumeHealth(e)
	s.resumeTurn(ctx, e)
	return nil
}

func (s *Service) cannot(verb string, e *entry, err error) error {
	if errdefs.IsFailedPrecondition(err) { // its end is about to be settled
		return conflict("container %s is not running", e.id)
	}
	return fmt.Errorf("cannot %s container %s: %w", verb, e.id, err)
}

// wake lets a paused container see a signal that was sent to it.
func (s *Service) wake(ctx context.Context, e *entry) error {
	if err := e.acquire(ctx); err != nil {
		return err
	}
	defer e.release()
	if e.record().State != Paused || e.live == nil {
		return nil
	}
	return s.unpause(ctx, e)
}

// settlePause makes the record of an adopted container agree with the kernel.
func (s *Service) settlePause(ctx context.Context, e *entry, box *sandbox.Sandbox) error {
	frozen, err := box.Paused()
	if err != nil {
		return err
	}
	switch state := e.record().State; {
	case frozen && state == Stopping:
		return box.Resume(ctx) // the signal was sent before
	case frozen && state == Running:
		_, err = s.step(e, Paused, nil, nil)
	case !frozen && state == Paused:
		_, err = s.step(e, Running, nil, nil)
	}
	return err
}
