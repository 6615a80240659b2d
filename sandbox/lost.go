package sandbox

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/berth-engine/berth/kernel/cgroup"
	"github.com/berth-engine/berth/kernel/ns"
	"github.com/berth-engine/berth/sandbox/monitor"
)

// reasonLost is the reason in the record of a container whose monitor died.
const reasonLost = "the container's monitor died"

// exited takes the monitor's word that the container has ended.
func (s *Sandbox) exited(m *monitor.Message) {
	var e monitor.Exited
	if err := decode(m, &e); err != nil {
		s.r.log.Error("wait", "container", s.id, "err", err)
		_ = s.conn.Close() // and by that: broken
		return
	}
	if e.Unrecorded != "" {
		s.r.log.Warn("the monitor could not write the exit record", "container", s.id, "err", e.Unrecorded)
		if err := monitor.WriteExit(s.stateDir, &e.Exit, s.durable); err != nil {
			s.r.log.Error("exit record", "container", s.id, "err", err)
		}
	}
	s.settle(e.Exit)
}

// broken follows the end of the connection. It is the Runtime's doing, or the
// monitor has ended: after remove, or killed by somebody.
func (s *Sandbox) broken() {
	defer close(s.gone)
	s.r.mu.Lock()
	cut := s.r.cut
	s.r.mu.Unlock()
	_ = s.conn.Close() // it is of no more use
	if cut {
		_ = s.process.pidfd.Close() // only watched
		return
	}
	var err error
	if s.over() {
		ctx, cancel := s.r.patience()
		err = s.process.waitFor(ctx)
		cancel()
	} else {
		// One that lives and does not talk is no better than a dead one.
		err = ns.PidfdSignal(s.process.pidfd, syscall.SIGKILL)
		if errors.Is(err, syscall.ESRCH) {
			err = nil
		}
		err = errors.Join(err, s.process.wait())
	}
	if err != nil {
		s.r.log.Error("monitor", "container", s.id, "err", err)
	}
	if !s.over() {
		s.r.log.Error(reasonLost, "container", s.id)
		e, err := s.finish()
		if err != nil {
			s.r.log.Error("end of a container without its monitor", "container", s.id, "err", err)
		}
		s.settle(e)
	}
}

// finish kills what is left of a container whose monitor is dead, and returns
// its exit.
func (s *Sandbox) finish() (Exit, error) {
	err := errors.Join(s.group.Kill(), waitGone(s.pid, s.startTime))
	e, rerr := record(s.group, s.stateDir, s.instance, s.StartedAt(), s.durable)
	return e, errors.Join(err, rerr)
}

// record returns the monitor's record of an instance if it got that far, else
// it makes one. The group may be nil.
func record(g *cgroup.Group, stateDir, instance string, startedAt time.Time, durable bool) (Exit, error) {
	if e, err := monitor.ReadExit(stateDir); err == nil && e.Instance == instance {
		return *e, nil
	}
	e := Exit{
		Code: 128 + int(syscall.SIGKILL), Signal: int(syscall.SIGKILL), Reason: reasonLost,
		StartedAt: startedAt, FinishedAt: time.Now(), Instance: instance,
	}
	if g != nil {
		kills, err := g.OOMKills()
		e.OOMKilled = err == nil && kills > 0
	}
	return e, monitor.WriteExit(stateDir, &e, durable)
}

// open opens the pidfd of the process that had this number and start time; nil
// if it is gone.
func open(pid int, start uint64) (*os.File, error) {
	if pid == 0 {
		return nil, nil // the instance file was not written yet
	}
	blocking, err := ns.PidfdOpen(pid)
	if errors.Is(err, syscall.ESRCH) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer blocking.Close()
	if now, err := ns.ProcessStartTime(pid); err != nil || now != start {
		return nil, nil // another one
	}
	return monitor.Pollable(blocking)
}

// waitGone waits for the end of a killed process.
func waitGone(pid int, start uint64) error {
	f, err := open(pid, start)
	if f == nil {
		return err
	}
	defer f.Close()
	if err := monitor.EndedWithin(f, answerWithin); err != nil {
		return fmt.Errorf("process %d does not end: %w", pid, err)
	}
	return nil
}
