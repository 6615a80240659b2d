package container

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"syscall"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/sys/signal"

	"github.com/berth-engine/berth/fault"
	"github.com/berth-engine/berth/sandbox"
)

// defaultStopTimeout is how long a container may take to end by itself.
const defaultStopTimeout = 10 * time.Second

// killWait bounds the wait for the end of what was killed: processes in
// uninterruptible sleep may never end.
const killWait = 10 * time.Second

// Stop asks the container to end, and kills it after timeout seconds (nil: the
// container's own, then the daemon's; negative: never). signal "" means the
// container's stop signal. ErrAlreadyStopped: it does not run.
func (s *Service) Stop(ctx context.Context, ref, sig string, timeout *int) error {
	e, err := s.findLocked(ctx, ref)
	if err != nil {
		return err
	}
	first, err := stopSignal(e.record(), sig)
	if err != nil {
		e.release()
		return err
	}
	// A client that goes away does not take its wish back.
	return s.stop(context.WithoutCancel(ctx), e, first, timeout, WantStopped)
}

func stopSignal(r *Record, asked string) (syscall.Signal, error) {
	if asked == "" {
		asked = r.Config.StopSignal
	}
	if asked == "" {
		return syscall.SIGTERM, nil
	}
	sig, err := signal.ParseSignal(asked)
	if err != nil {
		return 0, invalid("%v", err)
	}
	return sig, nil
}

// stop takes the lock over, and gives it back.
func (s *Service) stop(ctx context.Context, e *entry, sig syscall.Signal, timeout *int, want Desired) error {
	r := e.record()
	if r.State == Restarting {
		defer e.release()
		e.stopRestart()
		r, err := s.step(e, Exited, nil, func(r *Record) { r.Desired = want })
		if err == nil {
			s.announce(r, events.ActionStop)
		}
		return err
	}
	if e.live == nil {
		e.release()
		return ErrAlreadyStopped
	}
	box, settled := e.live.box, e.settled
	var err error
	if r.State == Stopping {
		next := *r
		next.Desired = want
		err = s.save(e, &next)
	} else {
		_, err = s.step(e, Stopping, nil, func(r *Record) { r.Desired = want })
	}
	e.release()
	if err != nil {
		return err
	}
	if err := fault.Point("container.stop.saved"); err != nil {
		return err
	}
	patience := s.patience(r, timeout)
	s.leave(ctx, e, settled, leaveFor(patience))
	if err := s.signal(ctx, e, box, sig); err != nil && !s.endsNow(settled) {
		return err
	}
	if r.State == Paused {
		// It cannot do what the signal asks for while it is paused.
		if err := box.Resume(ctx); err != nil && !s.endsNow(settled) {
			return err
		}
		s.announce(e.record(), events.ActionUnPause)
	}
	if err := s.awaitExit(ctx, e, box, settled, patience); err != nil {
		return err
	}
	s.announce(e.record(), events.ActionStop)
	return nil
}

// patience is how long a stop waits; 0 or less than 0 mean what they say.
func (s *Service) patience(r *Record, timeout *int) time.Duration {
	if timeout == nil {
		timeout = r.Config.StopTimeout
	}
	switch {
	case timeout != nil && *timeout < 0:
		return -1
	case timeout != nil:
		return time.Duration(*timeout) * time.Second
	case s.defaults.StopTimeout > 0:
		return s.defaults.StopTimeout
	}
	return defaultStopTimeout
}

// signal sends sig to the container's first process and says so. One that has
// just ended is not an error.
func (s *Service) signal(ctx context.Context, e *entry, box *sandbox.Sandbox, sig syscall.Signal) error {
	e.telling.Lock()
	defer e.telling.Unlock()
	err := box.Signal(ctx, sig)
	if err != nil && !errdefs.IsNotFound(err) && !errdefs.IsUnavailable(err) {
		return fmt.Errorf("signal container %s: %w", short(e.id), err)
	}
	s.announce(e.record(), events.ActionKill, "signal", strconv.Itoa(int(sig)))
	return nil
}

// awaitExit waits until the run is settled. After patience (negative: for
// ever) it kills.
func (s *Service) awaitExit(ctx context.Context, e *entry, box *sandbox.Sandbox, settled <-chan struct{}, patience time.Duration) error {
	var late <-chan time.Time
	if patience >= 0 {
		late = s.clock.after(patience)
	}
	select {
	case <-settled:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-late:
	}
	if err := s.signal(ctx, e, box, syscall.SIGKILL); err != nil {
		s.log.Debug("cannot kill process 1", "container", e.id, "err", err)
	}
	// All of it: process 1 may share its PID namespace, and then the others
	// would stay.
	if err := box.Kill(ctx); err != nil {
		return err
	}
	select {
	case <-settled:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-s.clock.after(killWait):
		return fmt.Errorf("container %s: tried to kill container, but did not receive an exit event", e.id)
	}
}

// endsNow tells whether a run whose process could not be signalled is at its
// end: between the death of a process and the news of it, the kernel has more
// than one way to refuse.
func (s *Service) endsNow(settled <-chan struct{}) bool {
	select {
	case <-settled:
		return true
	case <-s.clock.after(time.Second):
		return false
	}
}

// Restart stops the container if it runs, and starts it.
func (s *Service) Restart(ctx context.Context, ref, sig string, timeout *int) error {
	e, err := s.findLocked(ctx, ref)
	if err != nil {
		return err
	}
	first, err := stopSignal(e.record(), sig)
	if err != nil {
		e.release()
		return err
	}
	ctx = context.WithoutCancel(ctx)
	// It is to run again, but not by its policy.
	err = s.stop(ctx, e, first, timeout, WantStopped)
	if err != nil && !errors.Is(err, ErrAlreadyStopped) {
		return fmt.Errorf("Cannot restart container %s: %w", ref, err)
	}
	if err := s.Start(ctx, e.id); err != nil && !errors.Is(err, ErrAlreadyStarted) {
		return fmt.Errorf("Cannot restart container %s: %w", ref, err)
	}
	s.announce(e.record(), events.ActionRestart)
	return nil
}
