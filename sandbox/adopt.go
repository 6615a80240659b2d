package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/containerd/errdefs"

	"github.com/berth-engine/berth/kernel/cgroup"
	"github.com/berth-engine/berth/kernel/ns"
	"github.com/berth-engine/berth/sandbox/monitor"
)

// Adopt takes over the sandbox that an earlier daemon made. Its container may
// be created, running or ended. errdefs.NotFound: there is no live monitor;
// then nothing of the sandbox is left any more either, and ReadExit tells how
// it ended.
func (r *Runtime) Adopt(ctx context.Context, id, stateDir string) (*Sandbox, error) {
	if err := validID(id); err != nil {
		return nil, err
	}
	old, release, err := r.reserve(id)
	if err != nil {
		return nil, err
	}
	defer release()
	if old != nil {
		return nil, fmt.Errorf("adopt %s: %w", id, errdefs.ErrAlreadyExists)
	}
	i, err := r.readInstance(id)
	if err != nil {
		return nil, err
	}
	s, err := r.connect(i, stateDir)
	if err != nil {
		r.log.Info("sandbox has no live monitor", "container", id, "err", err)
		if err := r.bury(i, stateDir); err != nil {
			return nil, fmt.Errorf("adopt %s: %w", id, err)
		}
		return nil, fmt.Errorf("adopt %s: no live monitor: %w", id, errdefs.ErrNotFound)
	}
	if err := r.own(s); err != nil {
		return nil, errors.Join(err, s.conn.Close(), s.process.pidfd.Close())
	}
	return s, ctx.Err()
}

// Runs tells by a look at the kernel alone, in a tenth of the time that Adopt
// takes, whether the sandbox that an earlier daemon made still runs as it did: its
// monitor lives, and pid is process 1, which has not ended and is not paused.
// False says nothing: Adopt does.
func (r *Runtime) Runs(id string, pid int) bool {
	if validID(id) != nil || pid <= 0 {
		return false
	}
	i, err := r.readInstance(id)
	if err != nil || i.Foreign || i.MonitorPid == 0 {
		return false
	}
	start, ended, err := ns.ProcessState(i.MonitorPid)
	if err != nil || ended || start != i.MonitorStart {
		return false
	}
	// Of a monitor's children only process 1 can have its number.
	if parent, ended, err := ns.ProcessParent(pid); err != nil || ended || parent != i.MonitorPid {
		return false
	}
	g, err := i.group()
	if err != nil {
		return false
	}
	frozen, err := g.Frozen()
	return err == nil && !frozen
}

// connect dials the monitor of i and verifies whom it reaches.
func (r *Runtime) connect(i *instance, stateDir string) (_ *Sandbox, err error) {
	pidfd, err := open(i.MonitorPid, i.MonitorStart)
	if err != nil {
		return nil, err
	}
	if pidfd == nil {
		return nil, fmt.Errorf("monitor %d has ended", i.MonitorPid)
	}
	p := &process{pid: i.MonitorPid, start: i.MonitorStart, pidfd: pidfd}
	defer func() {
		if err != nil {
			err = errors.Join(err, pidfd.Close())
		}
	}()
	if p.conn, err = monitor.Dial(r.dir(i.ID)); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.conn.Close())
		}
	}()
	w, err := greet(p.conn, i.Instance)
	if err != nil {
		return nil, err
	}
	if w.ID != i.ID || w.Pid != i.MonitorPid {
		return nil, fmt.Errorf("socket of %s is answered by process %d of %q", i.ID, w.Pid, w.ID)
	}
	var st monitor.Status
	if err = p.conn.Send(request(2, monitor.OpStatus, nil)); err == nil {
		err = answer(p.conn, &st)
	}
	if err != nil {
		return nil, err
	}
	g, err := r.verify(i, &st)
	if err != nil {
		return nil, err
	}
	s := r.newSandbox(i, stateDir, p, g)
	s.pid, s.startTime, s.startedAt = st.Pid, st.StartTime, st.StartedAt
	if n, err := g.OOMKills(); err == nil { // without a memory controller there are none
		s.oomSeen = n
	}
	if st.Exit != nil {
		s.settle(*st.Exit)
	}
	return s, nil
}

// verify checks that process 1 is the one that the monitor made, and opens its
// group.
func (r *Runtime) verify(i *instance, st *monitor.Status) (*cgroup.Group, error) {
	if st.State == monitor.StateIdle {
		return nil, errors.New("the monitor has no container")
	}
	if st.State != monitor.StateExited {
		now, err := ns.ProcessStartTime(st.Pid)
		// One that has just ended, and was reaped, is for wait to tell.
		if err == nil && now != st.StartTime {
			return nil, fmt.Errorf("process %d is not the container's", st.Pid)
		}
	}
	return i.group()
}

// bury takes away what a sandbox without a working monitor left, and leaves
// an exit record of it.
func (r *Runtime) bury(i *instance, stateDir string) error {
	var errs []error
	if p, err := open(i.MonitorPid, i.MonitorStart); p != nil {
		stale := &process{pid: i.MonitorPid, pidfd: p}
		errs = append(errs, ns.PidfdSignal(p, syscall.SIGKILL), stale.wait())
	} else if err != nil {
		errs = append(errs, err)
	}
	g, err := i.group()
	switch {
	case err == nil:
		errs = append(errs, killAll(g))
	case !errdefs.IsNotFound(err):
		errs = append(errs, err)
	}
	if i.Instance != "" {
		_, err := record(g, stateDir, i.Instance, time.Time{}, i.Durable)
		errs = append(errs, err)
	}
	if g != nil {
		errs = append(errs, g.Destroy())
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return os.RemoveAll(r.dir(i.ID))
}

// killAll kills what is in a group and waits for its end: a group with processes
// cannot be removed, and on a busy machine the killed are a while on their way.
func killAll(g *cgroup.Group) error {
	pids, err := g.Pids()
	starts := make([]uint64, len(pids))
	for k, pid := range pids {
		starts[k], _ = ns.ProcessStartTime(pid) // 0: it has ended
	}
	err = errors.Join(err, g.Kill())
	for k, pid := range pids {
		err = errors.Join(err, waitGone(pid, starts[k]))
	}
	return err
}

// clear makes room for a new sandbox of id; errdefs.AlreadyExists if the old
// one lives.
func (r *Runtime) clear(id, stateDir string) error {
	i, err := r.readInstance(id)
	if errdefs.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	s, err := r.connect(i, stateDir)
	if err == nil {
		alive := !s.over()
		if err := errors.Join(s.conn.Close(), s.process.pidfd.Close()); err != nil {
			return err
		}
		if alive {
			return fmt.Errorf("sandbox %s: %w", id, errdefs.ErrAlreadyExists)
		}
	}
	return r.bury(i, stateDir)
}
