package sandbox

import (
	"context"
	"fmt"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/berth-engine/berth/kernel/cgroup"
	"github.com/berth-engine/berth/sandbox/monitor"
)

// Pause stops all processes of the container until Resume. It returns when
// they have stopped; if they do not, they run on, and the error is
// errdefs.Unavailable. That a container is paused is known to the kernel alone
// and so outlives the daemon. A paused container can be killed.
func (s *Sandbox) Pause(ctx context.Context) error {
	if s.over() {
		return s.ended("pause")
	}
	if err := s.group.Freeze(ctx); err != nil {
		return fmt.Errorf("pause %s: %w", s.id, err)
	}
	return nil
}

// Resume lets a paused container run on; one that is not paused is no error.
func (s *Sandbox) Resume(ctx context.Context) error {
	if s.over() {
		return s.ended("resume")
	}
	if err := s.group.Thaw(); err != nil {
		return fmt.Errorf("resume %s: %w", s.id, err)
	}
	return ctx.Err()
}

// Paused asks the kernel whether the container is paused.
func (s *Sandbox) Paused() (bool, error) {
	frozen, err := s.group.Frozen()
	if err != nil {
		return false, fmt.Errorf("state of %s: %w", s.id, err)
	}
	return frozen, nil
}

// Update changes the container's limits, all of those in r or none. undo makes
// them what they were (cgroup.Group.Change).
func (s *Sandbox) Update(ctx context.Context, r *specs.LinuxResources) (undo func() error, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if s.over() {
		return nil, s.ended("update")
	}
	if undo, err = s.group.Change(r); err != nil {
		return nil, fmt.Errorf("update %s: %w", s.id, err)
	}
	return undo, nil
}

// LimitLog bounds the container's log anew, as Bundle.LogMaxSize and
// LogMaxFiles did. The error is errdefs.NotImplemented if its monitor is of an
// earlier program: then the old bounds hold until the container ends.
func (s *Sandbox) LimitLog(ctx context.Context, maxSize int64, maxFiles int) error {
	return s.call(ctx, monitor.OpLogLimits, &monitor.LogLimits{MaxSize: maxSize, MaxFiles: maxFiles}, nil)
}

// Stats reads what the kernel counts of the container; the error is
// errdefs.NotFound when nothing is left of it.
func (s *Sandbox) Stats(into *cgroup.Stats) error { return s.group.Stats(into) }

// OpenStats is for who reads them again and again.
func (s *Sandbox) OpenStats() *cgroup.StatsReader { return s.group.OpenStats() }

func (s *Sandbox) ended(verb string) error {
	return fmt.Errorf("%s %s: the container has ended: %w", verb, s.id, errdefs.ErrFailedPrecondition)
}
