package monitor

import (
	"fmt"
	"os"
	"syscall"

	"github.com/containerd/errdefs"

	"github.com/berth-engine/berth/kernel/ns"
	"github.com/berth-engine/berth/sandbox/stage"
)

// maxForkers bounds the forkers of a container: one that is used, and those that
// wait for the end of what they run, which nobody waits for any more.
const maxForkers = 8

// fork makes a forker in the container (stage.EnterForker). It ends by itself when
// the other end of its socket closes and what it runs has ended, and with the
// container.
func (c *container) fork(req *Fork, files []*os.File) (*Forked, error) {
	defer closeAll(files)
	f, err := execFiles(req.Files, files)
	if err != nil {
		return nil, err
	}
	if f.program == nil || f.control == nil {
		return nil, fmt.Errorf("fork: no program or no socket: %w", errdefs.ErrInvalidArgument)
	}
	entry, err := c.entry()
	if err != nil {
		return nil, err
	}
	defer entry.PidFD.Close()
	// In somebody else's pid namespace, what is forked might outlive the container.
	if c.other != nil || !c.cfg.Plan.OwnPids() {
		return nil, fmt.Errorf("%w: %w", stage.ErrNoForker, errdefs.ErrNotImplemented)
	}
	proc, err := stage.EnterForker(entry, &stage.Forker{Program: f.program, OOMScoreAdj: req.OOMScoreAdj, AppArmor: req.AppArmor}, f.control)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", err, errdefs.ErrNotImplemented) // what is wrong, Exec says
	}
	if err := c.execs.keep(proc); err != nil {
		proc.Abandon()
		return nil, err
	}
	return &Forked{Pid: proc.Pid, StartTime: proc.StartTime}, nil
}

// keep notes a forker until its end.
func (s *execs) keep(proc *stage.Process) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.ending:
		return notRunning(StateExited)
	case len(s.forkers) >= maxForkers:
		return fmt.Errorf("fork: %d forkers are there already: %w", maxForkers, errdefs.ErrUnavailable)
	}
	pidfd, err := Pollable(proc.PidFD)
	if err != nil {
		return err
	}
	_ = proc.Close() // its handle only
	s.keepForker(proc.Pid, pidfd)
	return nil
}

// keepForker is the part of keep with the lock held.
func (s *execs) keepForker(pid int, pidfd *os.File) {
	if s.forkers == nil {
		s.forkers = map[int]*os.File{}
	}
	s.forkers[pid], s.used = pidfd, true
	s.work.Add(1)
	go s.release(pid, pidfd)
}

// release waits for the end of a forker and forgets it.
func (s *execs) release(pid int, pidfd *os.File) {
	defer s.work.Done()
	_ = Ended(pidfd)
	s.gate.enter()
	defer s.gate.leave()
	_, _ = Reap(pidfd, pid) // how it ended says nothing
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.forkers, pid)
	_ = pidfd.Close()
}

// endForkers ends them, with the container: what they ran has ended with its pid
// namespace. The caller holds the lock.
func (s *execs) endForkers() {
	for _, pidfd := range s.forkers {
		_ = ns.PidfdSignal(pidfd, syscall.SIGKILL)
	}
}
