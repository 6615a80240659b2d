package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/containerd/errdefs"

	"github.com/berth-engine/berth/fault"
	"github.com/berth-engine/berth/sandbox/monitor"
)

// A removal takes away what is left of a container that has ended.
type removal struct {
	done chan struct{}
	err  error // valid when done is closed
}

func (r *removal) over() bool {
	select {
	case <-r.done:
		return true
	default:
		return false
	}
}

// Destroy ends the container by force, if it lives, and gives up its sandbox.
func (s *Sandbox) Destroy(ctx context.Context) error {
	if err := s.Kill(ctx); err != nil {
		return err
	}
	if _, err := s.Wait(ctx); err != nil {
		return err
	}
	return s.Remove(ctx)
}

// Remove gives up the sandbox of a container that has ended: its monitor, its
// group and its exec directory go away. Nobody has to wait for that: Remove
// returns when it is under way. IDs no longer lists the sandbox, a Launch of
// the same ID waits for the end of it, and so does the end of Run; should the
// daemon die before, the directory is there for the next one to find. What goes
// wrong is logged, and tried again by another Remove or Launch.
// errdefs.FailedPrecondition: the container lives.
func (s *Sandbox) Remove(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if !s.over() {
		return fmt.Errorf("remove sandbox %s: the container has not ended: %w", s.id, errdefs.ErrFailedPrecondition)
	}
	_, err := s.remove()
	return err
}

// remove begins the removal, unless it is under way or done.
func (s *Sandbox) remove() (*removal, error) {
	s.r.mu.Lock() // Run's end waits for what began before it
	defer s.r.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.removal; old != nil && (!old.over() || old.err == nil) {
		return old, nil
	}
	if s.r.closing {
		return nil, errClosed
	}
	now := &removal{done: make(chan struct{})}
	s.removal = now
	s.r.removals.Go(func() {
		now.err = s.takeAway()
		if now.err != nil {
			s.r.log.Error("remove sandbox", "container", s.id, "err", now.err)
		}
		close(now.done)
		if now.err == nil {
			s.r.disown(s)
		}
	})
	return now, nil
}

// removed removes and waits until nothing is left.
func (s *Sandbox) removed(ctx context.Context) error {
	r, err := s.remove()
	if err != nil {
		return err
	}
	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *Sandbox) takeAway() error {
	if err := s.part(); err != nil {
		return err
	}
	if err := fault.Point("sandbox.remove.ended"); err != nil {
		return err
	}
	if err := s.group.Destroy(); err != nil {
		// Somebody put a process there after the end.
		if err := errors.Join(s.group.Kill(), s.group.Destroy()); err != nil {
			return err
		}
	}
	if err := os.RemoveAll(s.r.dir(s.id)); err != nil { // last: it is by it that the rest is found
		return err
	}
	if s.kept {
		s.r.pool.giveBack(s.process)
	}
	return nil
}

// part has the monitor let go of the container, and waits for that, or for its end.
func (s *Sandbox) part() error {
	select {
	case <-s.gone: // when this was tried before
		return nil
	default:
	}
	ctx, cancel := s.r.patience()
	defer cancel()
	var removed monitor.Removed
	err := s.callAs(ctx, seqRemove, monitor.OpRemove, &monitor.Remove{Keep: s.ours && s.r.o.Warm > 0}, &removed)
	for _, w := range removed.Warnings {
		s.r.log.Warn(w, "container", s.id)
	}
	if err != nil && !errdefs.IsUnavailable(err) {
		return err
	}
	select {
	case <-s.gone:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("the monitor does not end: %w", ctx.Err())
	}
}

// removeWithin bounds how long a monitor may take to let go of a container. The
// kernel writes out the whole file system below an overlay that goes, with what
// others have written there, and nothing ends that.
const removeWithin = 10 * time.Minute

// patience lasts as long as a monitor may take to let go of a container, but not
// long when the daemon ends.
func (r *Runtime) patience() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(context.Background(), removeWithin)
	go func() {
		select {
		case <-ctx.Done():
			return
		case <-r.ending:
		}
		select {
		case <-ctx.Done():
		case <-time.After(answerWithin):
			cancel()
		}
	}()
	return ctx, cancel
}

// isRemoved tells whether nothing is left.
func (s *Sandbox) isRemoved() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.removal != nil && s.removal.over() && s.removal.err == nil
}

// leaving tells whether Remove was called.
func (s *Sandbox) leaving() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.removal != nil
}
