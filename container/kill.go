package container

import (
	"context"
	"slices"
	"syscall"

	"github.com/moby/sys/signal"

	"github.com/berth-engine/berth/sandbox"
)

// harmless signals do not end a program that a user speaks to: after one of
// them the restart policy stays in force.
var harmless = []syscall.Signal{
	syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGWINCH, syscall.SIGURG, syscall.SIGIO,
	syscall.SIGCONT, syscall.SIGSTOP, syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGTTOU, syscall.SIGCHLD,
}

// Kill sends a signal ("": SIGKILL) to the container's first process. After
// SIGKILL it returns when the container has ended.
func (s *Service) Kill(ctx context.Context, ref, sig string) error {
	number := syscall.SIGKILL
	if sig != "" {
		n, err := signal.ParseSignal(sig)
		if err != nil {
			return invalid("%v", err)
		}
		if n != 0 {
			number = n
		}
	}
	e, err := s.findLocked(ctx, ref)
	if err != nil {
		return err
	}
	box, settled, err := s.prepareKill(e, number)
	if err != nil {
		return err
	}
	if number == syscall.SIGKILL {
		s.leave(ctx, e, settled, 0)
		return s.awaitExit(ctx, e, box, settled, 0)
	}
	if err := s.signal(ctx, e, box, number); err != nil && !s.endsNow(settled) {
		return err
	}
	if own := e.record().Config.StopSignal; own != "" {
		// A paused container gets another signal when it is unpaused.
		if n, err := signal.ParseSignal(own); n != number || err != nil {
			return nil //nolint:nilerr // a signal without a name here is another one
		}
	}
	return s.wake(context.WithoutCancel(ctx), e)
}

// prepareKill notes what the signal means for the restart policy. It gives the
// lock back.
func (s *Service) prepareKill(e *entry, sig syscall.Signal) (*sandbox.Sandbox, <-chan struct{}, error) {
	defer e.release()
	r := e.record()
	if e.live == nil {
		return nil, nil, conflict("container %s is not running", e.id)
	}
	own, err := stopSignal(r, "")
	if err != nil {
		return nil, nil, err
	}
	if (sig == own || !slices.Contains(harmless, sig)) && r.Desired != WantStopped {
		next := *r
		next.Desired = WantStopped
		if err := s.save(e, &next); err != nil {
			return nil, nil, err
		}
	}
	return e.live.box, e.settled, nil
}
