package sandbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sync"

	"github.com/berth-engine/berth/fault"
	"github.com/berth-engine/berth/kernel/cgroup"
	"github.com/berth-engine/berth/kernel/ns"
	"github.com/berth-engine/berth/sandbox/monitor"
	"github.com/berth-engine/berth/sandbox/seccomp"
	"github.com/berth-engine/berth/sandbox/stage"
	"github.com/berth-engine/berth/trace"
)

// undo collects how to take back what was done, last first.
type undo []func() error

func (u *undo) push(fn func() error) { *u = append(*u, fn) }

func (u undo) run() error {
	var errs []error
	for _, fn := range slices.Backward(u) {
		errs = append(errs, fn())
	}
	return errors.Join(errs...)
}

// Launch makes a sandbox: everything is set up, and process 1 waits just
// before it executes its program (the OCI state "created"). On error nothing
// is left. Errors: AlreadyExists if a sandbox of that ID lives; what
// kernel/cgroup, seccomp and stage refuse in the spec.
func (r *Runtime) Launch(ctx context.Context, b *Bundle) (_ *Sandbox, err error) {
	if err := b.validate(); err != nil {
		return nil, err
	}
	old, release, err := r.reserve(b.ID)
	if err != nil {
		return nil, err
	}
	defer release()
	if old != nil {
		if err := old.removed(ctx); err != nil {
			return nil, err
		}
	}
	defer r.pool.work()()
	at := trace.From(ctx)
	var u undo
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("launch %s: %w", b.ID, err), u.run())
		}
	}()
	i := &instance{Version: 1, ID: b.ID, Instance: nonce(), Durable: b.Durable, Foreign: b.Runtime != nil}
	own, err := r.place(b, i)
	if err != nil {
		return nil, err
	}
	if err := r.makeDir(b, &u); err != nil {
		return nil, err
	}
	at.Mark("sandbox: directory")
	p, err := r.monitor()
	if err != nil {
		return nil, err
	}
	at.Mark("sandbox: monitor")
	u.push(func() error { return p.end(false) })
	i.MonitorPid, i.MonitorStart = p.pid, p.start
	noted := r.note(i, &u)
	if !own {
		// Where nobody would look for the group without the note.
		if err := noted(); err != nil {
			return nil, err
		}
	}
	limits, last := stage.SplitLimits(b.Spec.Linux.Resources)
	group, made, err := r.makeGroup(i, limits, &u)
	if err != nil {
		return nil, err
	}
	at.Mark("sandbox: control group")
	message := r.message
	if b.Runtime != nil {
		message = r.foreignMessage
	}
	l, order, err := message(b, i, group)
	if err != nil {
		return nil, err
	}
	if err := noted(); err != nil {
		return nil, err
	}
	at.Mark("sandbox: order")
	if err := fault.Point("sandbox.launch.prepared"); err != nil {
		return nil, err
	}
	u.push(func() error { return p.end(!refused(err)) })
	created, err := launch(ctx, p.conn, l, order, b, group)
	if err != nil {
		return nil, noProgram(err)
	}
	if err := made(); err != nil {
		return nil, err
	}
	if last != nil {
		if err := cgroup.UpdateBy(i.Unit, group, last); err != nil {
			return nil, err
		}
	}
	if err := fault.Point("sandbox.launch.created"); err != nil {
		return nil, err
	}
	for _, w := range created.Warnings {
		r.log.Warn(w, "container", b.ID)
	}
	s := r.newSandbox(i, b.StateDir, p, group)
	s.ours = true
	s.pid, s.startTime = created.Pid, created.StartTime
	if err := r.own(s); err != nil {
		return nil, err
	}
	return s, nil
}

// makeDir makes the sandbox's directory, taking away what a dead one of the
// same ID left.
func (r *Runtime) makeDir(b *Bundle, u *undo) error {
	dir := r.dir(b.ID)
	err := os.Mkdir(dir, 0o700)
	if errors.Is(err, fs.ErrExist) {
		if err := r.clear(b.ID, b.StateDir); err != nil {
			return err
		}
		err = os.Mkdir(dir, 0o700)
	}
	if err != nil {
		return err
	}
	u.push(func() error { return os.RemoveAll(dir) })
	return monitor.RemoveExit(b.StateDir)
}

// note begins to write the instance file, by which whoever comes after a crash
// finds what there is. It must be there (noted) before anything is launched.
func (r *Runtime) note(i *instance, u *undo) (noted func() error) {
	done := make(chan error, 1)
	go func() { done <- i.write(r.dir(i.ID)) }()
	noted = sync.OnceValue(func() error { return <-done })
	u.push(func() error { _ = noted(); return nil }) // before the directory is removed
	return noted
}

// message makes the launch message, and the order that goes with it.
func (r *Runtime) message(b *Bundle, i *instance, group *cgroup.Group) (*monitor.Launch, []byte, error) {
	cfg := &stage.Config{Spec: b.Spec, Reaper: b.Reaper, CgroupDirs: group.JoinDirs(), LastingRoot: true}
	var err error
	if cfg.Seccomp, err = seccomp.Compile(b.Spec.Linux.Seccomp); err != nil {
		return nil, nil, err
	}
	if cfg.State, err = hookState(b.ID, r.dir(b.ID), b.Spec); err != nil {
		return nil, nil, err
	}
	plan, order, err := stage.Prepare(cfg, b.NetNS != nil)
	if err != nil {
		return nil, nil, err
	}
	l := r.frame(b, i, group)
	l.Plan = *plan
	return l, order, nil
}

// frame is what a launch message says whoever makes the container.
func (r *Runtime) frame(b *Bundle, i *instance, group *cgroup.Group) *monitor.Launch {
	dirs := group.JoinDirs()
	return &monitor.Launch{
		ID: b.ID, Instance: i.Instance, Dir: r.dir(b.ID), StateDir: b.StateDir, Durable: b.Durable,
		LogDir: b.LogDir, LogMaxSize: b.LogMaxSize, LogMaxFiles: b.LogMaxFiles,
		OpenStdin: b.OpenStdin, StdinOnce: b.StdinOnce, Runtime: b.Runtime,
		OOMFile: oomFile(group), KillFile: killFile(dirs), CgroupDirs: dirs, Calm: max(0, r.o.Calm.Milliseconds()),
	}
}

// refused: the monitor took the launch back itself, and is about to end.
func refused(err error) bool {
	e := (*monitor.Error)(nil)
	return errors.As(err, &e)
}

// launch sends the message with its descriptors and waits for "created". The
// connection is of no use if ctx ends before.
func launch(ctx context.Context, conn *monitor.Conn, l *monitor.Launch, order []byte, b *Bundle, group *cgroup.Group) (*monitor.Created, error) {
	files := []*os.File{b.Rootfs}
	l.Files = []string{monitor.FileRootfs}
	if order != nil {
		text, err := ns.DataMemfd("order", bytes.NewReader(order))
		if err != nil {
			return nil, err
		}
		defer text.Close()
		l.Files, files = append(l.Files, monitor.FileOrder), append(files, text)
	}
	if b.NetNS != nil {
		l.Files, files = append(l.Files, monitor.FileNetNS), append(files, b.NetNS)
	}
	if dir, err := group.FD(); err == nil {
		defer dir.Close()
		l.Files, files = append(l.Files, monitor.FileCgroup), append(files, dir)
	}
	names, sources, err := b.mountSources()
	if err != nil {
		return nil, err
	}
	l.Files, files = append(l.Files, names...), append(files, sources...)
	m := request(2, monitor.OpLaunch, l)
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() }) // ends Send and Receive
	created := new(monitor.Created)
	if err = conn.Send(m, files...); err == nil {
		err = answer(conn, created)
	}
	if !stop() {
		return nil, ctx.Err()
	}
	return created, err
}
