package container

import (
	"context"
	"fmt"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"

	"github.com/berth-engine/berth/fault"
	"github.com/berth-engine/berth/trace"
)

// Remove deletes a container with its file system and log. One that runs is a
// conflict, unless Force kills it first.
func (s *Service) Remove(ctx context.Context, ref string, o RemoveOptions) error {
	if o.Link {
		return s.removeLink(context.WithoutCancel(ctx), ref)
	}
	if e, err := s.find(ref); err == nil && o.Force {
		// A start that waits for them has the lock.
		e.copies.send(errRemoved, time.Time{})
	}
	e, err := s.findLocked(ctx, ref)
	if err != nil {
		return err
	}
	r := e.record()
	if r.State.live() || r.State == Restarting {
		if err := mayRemove(r, o.Force); err != nil {
			e.release()
			return err
		}
		if e, err = s.killFirst(context.WithoutCancel(ctx), e); err != nil || e == nil {
			return err
		}
	}
	defer e.release()
	return s.remove(context.WithoutCancel(ctx), e, o.Volumes)
}

// mayRemove refuses, without force, what runs.
func mayRemove(r *Record, force bool) error {
	switch {
	case force || !r.State.live() && r.State != Restarting:
		return nil
	case r.State == Paused:
		return conflict("cannot remove container %q: container is paused and must be unpaused first", "/"+r.Name)
	}
	return conflict("cannot remove container %q: container is %s: stop the container before removing or force remove", "/"+r.Name, r.shown())
}

// killFirst ends the container that the caller has locked, and locks it again.
// It returns nil if the container went with its end (--rm).
func (s *Service) killFirst(ctx context.Context, e *entry) (*entry, error) {
	name := e.record().Name
	box, settled, err := s.endRestarts(e)
	if err != nil {
		return nil, err
	}
	if box != nil {
		s.leave(ctx, e, settled, 0)
		if err := s.awaitExit(ctx, e, box, settled, 0); err != nil {
			return nil, fmt.Errorf("cannot remove container %q: could not kill container: %w", "/"+name, err)
		}
	}
	again, err := s.findLocked(ctx, e.id)
	if errdefs.IsNotFound(err) {
		return nil, nil
	}
	return again, err
}

// remove deletes a container that does not run. The caller holds the lock.
// A removal that fails half way leaves it dead, and may be repeated.
func (s *Service) remove(ctx context.Context, e *entry, volumes bool) error {
	r := e.record()
	if r.State == Removing {
		return conflict("removal of container %s is already in progress", e.id)
	}
	_, err := s.step(e, Removing, nil, func(r *Record) {
		if volumes {
			r.Desired = WantPurged
		}
	})
	if err != nil {
		return err
	}
	if err := fault.Point("container.remove.saved"); err != nil {
		return s.dead(e, err)
	}
	return s.delete(ctx, e, volumes)
}

// delete takes away a container whose record says that it is being removed.
func (s *Service) delete(ctx context.Context, e *entry, volumes bool) error {
	r := e.record()
	at := trace.From(ctx)
	at.Mark("record")
	e.copies.dismiss()
	e.endShipping()
	limited := r.Project != 0 // the next one to have the number must not have these files
	if err := s.records.remove(e.id, limited, func() { s.awaitGone(e.id) }, func(err error) { s.report(e.id, err) }); err != nil {
		return s.dead(e, err)
	}
	at.Mark("files")
	s.records.states.drop(e.id)
	s.dropLimit(r)
	e.gone = true
	s.names.release(r.Name, r.ID)
	s.index.remove(e.id)
	e.dropHeld()
	if volumes {
		s.removeVolumes(ctx, r)
	}
	e.streams.close()
	s.announce(r, events.ActionDestroy)
	at.Mark("name, image, volumes")
	e.waits.wake(exitResponse(r), append(endOfRun, container.WaitConditionRemoved)...)
	return nil
}

// awaitGone waits until nothing uses the files of a container's last run, but not
// when the daemon ends.
func (s *Service) awaitGone(id string) {
	ctx, cancel := context.WithTimeout(s.records.gone.until, undoTime)
	defer cancel()
	_ = s.sandboxes.Gone(ctx, id) // it is logged; the files go nevertheless
}

// dead records that a removal failed.
func (s *Service) dead(e *entry, cause error) error {
	cause = fmt.Errorf("cannot remove container %q: %w", "/"+e.record().Name, cause)
	r, err := s.step(e, Dead, &Outcome{Error: cause.Error()}, nil)
	if err != nil {
		s.log.Error("cannot record a failed removal", "container", e.id, "err", err)
		r = e.record()
	}
	resp := exitResponse(r)
	resp.Error = &container.WaitExitError{Message: cause.Error()}
	e.waits.wake(resp, container.WaitConditionRemoved)
	return cause
}
