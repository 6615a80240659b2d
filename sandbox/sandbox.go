package sandbox

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/berth-engine/berth/kernel/cgroup"
	"github.com/berth-engine/berth/sandbox/monitor"
)

// A Sandbox is one container's processes, as this daemon holds them. All
// methods may be used at any time by anybody.
type Sandbox struct {
	r        *Runtime
	id       string
	instance string
	stateDir string
	durable  bool
	foreign  bool     // another OCI runtime made the container
	process  *process // the monitor
	ours     bool     // this Runtime has started it
	kept     bool     // valid when gone is closed: it serves another container
	conn     *monitor.Conn
	group    *cgroup.Group

	pid       int    // process 1
	startTime uint64 // its start time
	oomSeen   uint64 // the group's count of kills when the sandbox was adopted

	mu        sync.Mutex
	seq       uint64
	calls     map[uint64]chan *monitor.Message
	startedAt time.Time
	exit      Exit // valid when done is closed

	done chan struct{} // the container has ended and its record is written
	cut  chan struct{} // the connection to the monitor ended
	gone chan struct{} // and what follows from that is done

	removal *removal     // under mu; nil until Remove
	forkers map[int]bool // under mu, by number
}

func (r *Runtime) newSandbox(i *instance, stateDir string, p *process, g *cgroup.Group) *Sandbox {
	return &Sandbox{
		r: r, id: i.ID, instance: i.Instance, stateDir: stateDir, durable: i.Durable, foreign: i.Foreign,
		process: p, conn: p.conn, group: g, seq: seqRemove, calls: map[uint64]chan *monitor.Message{}, forkers: map[int]bool{},
		done: make(chan struct{}), cut: make(chan struct{}), gone: make(chan struct{}),
	}
}

// ID names the container.
func (s *Sandbox) ID() string { return s.id }

// Instance names this launch among all of the same ID; its exit record
// carries it.
func (s *Sandbox) Instance() string { return s.instance }

// Pid is process 1 as the host sees it.
func (s *Sandbox) Pid() int { return s.pid }

// StartedAt is when process 1 executed its program; zero if it has not.
func (s *Sandbox) StartedAt() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.startedAt
}

// Running tells whether the program was started and has not ended.
func (s *Sandbox) Running() bool { return !s.StartedAt().IsZero() && !s.over() }

func (s *Sandbox) over() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

// Start lets process 1 execute its program. A *StartError says that it could
// not: then nothing runs, the exit record is written and Remove is all that is
// left to do.
func (s *Sandbox) Start(ctx context.Context) error {
	defer s.r.pool.work()()
	var started monitor.Started
	err := s.call(ctx, monitor.OpStart, nil, &started)
	if e := (*monitor.Error)(nil); errors.As(err, &e) && e.Exec() {
		if _, werr := s.Wait(ctx); werr != nil {
			return werr
		}
		return &StartError{ExitCode: e.ExitCode, Text: e.Text}
	}
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.startedAt = started.At
	s.mu.Unlock()
	return nil
}

// Signal sends sig to process 1; errdefs.NotFound when it has ended.
func (s *Sandbox) Signal(ctx context.Context, sig syscall.Signal) error {
	return s.call(ctx, monitor.OpSignal, &monitor.Signal{Signal: int(sig)}, nil)
}

// Kill kills all processes of the container. It does not wait for their end.
func (s *Sandbox) Kill(ctx context.Context) error {
	if s.over() {
		return nil
	}
	if err := s.group.Kill(); err != nil {
		return fmt.Errorf("kill %s: %w", s.id, err)
	}
	return ctx.Err()
}

// Resize sets the terminal's size; errdefs.FailedPrecondition without one.
func (s *Sandbox) Resize(ctx context.Context, rows, cols uint16) error {
	return s.call(ctx, monitor.OpResize, &monitor.Resize{Rows: rows, Cols: cols}, nil)
}

// Pids lists the container's processes as the host numbers them.
func (s *Sandbox) Pids() ([]int, error) {
	pids, err := s.group.Pids()
	if err != nil {
		return nil, fmt.Errorf("processes of %s: %w", s.id, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	// What stands ready for checks is the engine's.
	return slices.DeleteFunc(pids, func(pid int) bool { return s.forkers[pid] }), nil
}

// Group is the container's cgroup, for statistics and updates.
func (s *Sandbox) Group() *cgroup.Group { return s.group }

// Wait returns how the container ended, when it has; the record is in place
// by then. The error is that of ctx, or errdefs.Unavailable if the Runtime
// ends first.
func (s *Sandbox) Wait(ctx context.Context) (Exit, error) {
	select {
	case <-s.done:
		return s.exit, nil
	default:
	}
	select {
	case <-s.done:
		return s.exit, nil
	case <-ctx.Done():
		return Exit{}, ctx.Err()
	case <-s.gone:
		if s.over() {
			return s.exit, nil
		}
		return Exit{}, fmt.Errorf("wait for %s: %w", s.id, errClosed)
	}
}

// settle makes the end known, once.
func (s *Sandbox) settle(e Exit) {
	if s.over() {
		return
	}
	s.mu.Lock()
	s.exit = e
	if s.startedAt.IsZero() {
		s.startedAt = e.StartedAt
	}
	s.mu.Unlock()
	close(s.done)
}
