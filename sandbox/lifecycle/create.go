package lifecycle

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/berth-engine/berth/kernel/cgroup"
	"github.com/berth-engine/berth/kernel/mount"
	"github.com/berth-engine/berth/kernel/ns"
	"github.com/berth-engine/berth/kernel/task"
	"github.com/berth-engine/berth/sandbox/checkpoint"
	"github.com/berth-engine/berth/sandbox/seccomp"
	"github.com/berth-engine/berth/sandbox/stage"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// CreateOptions say how a container is made. What is empty is not wanted.
type CreateOptions struct {
	// Bundle is the bundle's directory. Default: the working directory.
	Bundle string
	// ConsoleSocket is a unix socket that the terminal's master is sent to;
	// with process.terminal only.
	ConsoleSocket string
	// PidfdSocket is a unix socket that a pidfd of process 1 is sent to.
	PidfdSocket string
	// PidFile is a file that process 1's number is written to.
	PidFile string
	// Preserve is passed on to process 1, from descriptor 3 on.
	Preserve []*os.File
	// Env is added to process 1's environment.
	Env []string
	// NoPivot and KeepKeyring are as in stage.Config.
	NoPivot, KeepKeyring bool
	// Program is the path of berth-sandbox, of which process 1 is made. It is
	// executed from a sealed copy in memory.
	Program string
}

// Create makes a container, up to the point where process 1 is about to
// execute its program. The streams 0, 1 and 2 of the caller become its own.
// Errors: errdefs.AlreadyExists, InvalidArgument, NotFound (the bundle),
// NotImplemented, and what the kernel refuses.
func (r *Root) Create(ctx context.Context, id string, o *CreateOptions) error {
	m := &making{o: *o, detached: true, listen: true}
	defer m.close()
	return m.make(ctx, r, id)
}

// making is a container being made.
type making struct {
	o CreateOptions
	b *bundle
	c *Container
	// detached: whoever makes it goes away; listen: before it starts.
	detached, listen bool
	process          *stage.Process
	group            *cgroup.Group
	limit            func() error // the group, after makeGroup
	last             *specs.LinuxResources
	plan             *stage.Plan
	order            []byte
	exe, rootfs      *os.File
	undo             []func() error
	// revive makes the processes instead of a stage.
	revive func() error
}

// close gives back what the making process needed, and not the container.
func (m *making) close() {
	if m.process != nil {
		_ = m.process.Close() // descriptors alone
	}
	for _, f := range []*os.File{m.exe, m.rootfs} {
		if f != nil {
			f.Close()
		}
	}
	if m.c != nil {
		_ = m.c.Close()
	}
}

func (m *making) onUndo(fn func() error) { m.undo = append(m.undo, fn) }

func (m *making) make(ctx context.Context, r *Root, id string) (err error) {
	if err := ctx.Err(); err != nil {
		return err
	}
	defer func() {
		if err == nil {
			return
		}
		for _, fn := range slices.Backward(m.undo) {
			err = errors.Join(err, fn())
		}
		m.undo = nil
	}()
	if m.b, err = load(m.o.Bundle); err != nil {
		return err
	}
	if err := checkTerminal(m.b.spec.Process.Terminal, m.detached, m.o.ConsoleSocket); err != nil {
		return err
	}
	if m.c, err = r.claim(id); err != nil {
		return err
	}
	m.onUndo(m.c.remove)
	// The stage starts, which takes it a while, and the rest is done meanwhile.
	steps := []func() error{m.describe, m.makeGroup, m.forkAhead, m.prepare, m.fork, m.setLimits, m.begin, m.created, m.limitLast}
	if r.Systemd {
		steps = []func() error{m.describe, m.forkAhead, m.prepare, m.fork, m.makeUnit, m.begin, m.created, m.limitLast}
	}
	if m.revive != nil {
		steps = []func() error{m.describe, m.prepare, m.makeGroup, m.setLimits, m.revive, m.limitLast}
		if r.Systemd {
			steps = []func() error{m.describe, m.prepare, m.revive, m.limitLast}
		}
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// checkTerminal speaks runc's words.
func checkTerminal(terminal, detached bool, socket string) error {
	if detached && terminal && socket == "" {
		return errors.New("cannot allocate tty if runtime will detach without setting console socket")
	}
	if (!detached || !terminal) && socket != "" {
		return errors.New("cannot use console socket if runtime will not detach or allocate tty")
	}
	return nil
}

// describe writes down what is going to be there, for whoever comes after a
// crash.
func (m *making) describe() error {
	spec, err := m.b.spec, error(nil)
	m.c.OCI, m.c.Bundle, m.c.Rootfs = spec.Version, m.b.dir, m.b.rootfs
	m.c.Annotations, m.c.Hooks, m.c.Created = spec.Annotations, later(spec.Hooks), time.Now().UTC()
	if m.c.Streams, err = checkpoint.Streams(); err != nil {
		return err
	}
	if m.c.root.Systemd {
		if m.c.Unit, err = cgroup.ParseUnit(spec.Linux.CgroupsPath, m.c.ID); err == nil {
			m.c.CgroupParent, m.c.CgroupName, err = m.c.Unit.Place()
		}
	} else {
		m.c.CgroupParent, m.c.CgroupName, err = groupPath(m.c.ID, spec.Linux.CgroupsPath)
	}
	if err != nil {
		return err
	}
	// Nobody looks for it before there is a record.
	if err := os.WriteFile(m.c.path(configFile), m.b.text, 0o600); err != nil {
		return err
	}
	return m.c.write()
}

func (m *making) prepare() error {
	spec := m.b.spec
	var err error
	if m.rootfs, err = openRootfs(m.b.rootfs); err != nil {
		return err
	}
	spec.Process.Env = environment(append(spec.Process.Env, m.o.Env...), m.rootfs, spec.Process.User.UID)
	if spec.Root != nil {
		spec.Root.Path = m.b.rootfs
	}
	cfg := &stage.Config{
		Spec: spec, Listen: m.listen, Preserve: len(m.o.Preserve), MakeCwd: true,
		State: m.c.oci(specs.StateCreating, 0), NoPivot: m.o.NoPivot, KeepKeyring: m.o.KeepKeyring,
		HostMounts: m.revive == nil, // criu cannot make such a container
	}
	if cfg.Seccomp, err = seccomp.Compile(spec.Linux.Seccomp); err != nil {
		return err
	}
	cfg.CgroupDirs, err = cgroup.Dirs(m.c.CgroupParent, m.c.CgroupName)
	if err != nil {
		return err
	}
	if m.plan, m.order, err = stage.Prepare(cfg, false); err != nil {
		return err
	}
	m.c.OwnPids = m.plan.OwnPids()
	if m.plan.HostMounts {
		return m.announceMount()
	}
	return nil
}

// announceMount writes down what the stage will mount, while it is still
// nowhere.
func (m *making) announceMount() error {
	id, err := mount.IDOf(m.rootfs)
	if err != nil {
		return err
	}
	m.c.Mount = &id
	m.onUndo(m.c.unmount)
	return m.c.write()
}

func (m *making) makeGroup() (err error) {
	m.group, m.limit, err = cgroup.Make(m.c.CgroupParent, m.c.CgroupName, m.limits())
	if err != nil {
		return err
	}
	m.onUndo(func() error { return errors.Join(m.group.Kill(), m.group.Destroy()) })
	return nil
}

func (m *making) setLimits() error { return m.limit() }

// makeUnit has systemd make the group, with the stage in it.
func (m *making) makeUnit() error {
	return m.unitWith(m.process.Pid)
}

func (m *making) unitWith(pid int) (err error) {
	m.group, err = cgroup.CreateUnit(m.c.Unit, m.limits(), pid)
	if err != nil {
		return err
	}
	m.onUndo(func() error {
		if m.process != nil {
			m.process.Abandon() // reaped, or the group would not be empty
		}
		return errors.Join(m.group.Kill(), cgroup.DestroyUnit(m.c.Unit))
	})
	return nil
}

// limits are those of the config, with what may be done with devices in any
// case, but without those that are set last.
func (m *making) limits() *specs.LinuxResources {
	r := m.b.spec.Linux.Resources
	if r != nil && len(r.Devices) > 0 {
		r.Devices = append(r.Devices, usual()...)
	}
	m.c.root.warnVoid(r)
	r, m.last = stage.SplitLimits(r)
	return r
}

// limitLast sets the limits under which no stage could work.
func (m *making) limitLast() error {
	if m.last == nil {
		return nil
	}
	return cgroup.UpdateBy(m.c.Unit, m.group, m.last)
}

// forkAhead forks a stage of the usual kind before it is known which kind is
// needed, unless the config plainly says another.
func (m *making) forkAhead() error {
	if !stage.MayFit(m.b.spec) {
		return nil
	}
	return m.forkAs(&stage.Usual)
}

// fork makes process 1, if the one that was forked ahead does not serve.
func (m *making) fork() error {
	if m.process != nil {
		if m.process.Fits(m.plan) {
			return nil
		}
		m.process.Abandon()
	}
	return m.forkAs(m.plan)
}

func (m *making) forkAs(plan *stage.Plan) error {
	var err error
	if m.exe == nil {
		if m.exe, err = m.c.root.sealed(m.o.Program); err != nil {
			return fmt.Errorf("the program of process 1: %w", err)
		}
	}
	var dir *os.File
	if m.group != nil {
		if dir, err = m.group.FD(); err == nil {
			defer dir.Close()
		}
	}
	if m.process, err = stage.Fork(m.exe, plan, dir, m.o.Preserve...); err != nil {
		return err
	}
	m.onUndo(func() error { m.process.Abandon(); return nil })
	m.c.Pid, m.c.StartTime = m.process.Pid, m.process.StartTime
	m.c.root.debug("nsexec container setup: process 1 is %d", m.c.Pid)
	return nil
}

func (m *making) begin() error {
	f := stage.Files{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Rootfs: m.rootfs}
	var err error
	if f.Order, err = ns.DataMemfd("order", bytes.NewReader(m.order)); err != nil {
		return err
	}
	defer f.Order.Close()
	if m.listen {
		if f.Listen, err = task.Listen(m.c.path(startFile)); err != nil {
			return err
		}
		defer f.Listen.Close()
	}
	if err := m.process.Begin(m.plan, f); err != nil {
		return err
	}
	return m.c.write() // with the number of process 1, while it works
}

// openRootfs takes the bundle's root file system, with what is mounted below
// it. The stage cuts it off from the host's mounts as the config says
// (rootfsPropagation).
func openRootfs(path string) (*os.File, error) {
	root, err := mount.Clone(path, true)
	if err != nil {
		return nil, fmt.Errorf("root file system: %w", err)
	}
	return root, nil
}

func (m *making) created() error {
	m.c.root.debugFilter(m.b.spec)
	if err := m.process.Created(); err != nil {
		return err
	}
	m.c.root.debug("child process in init(): it is set up")
	m.c.root.debug("init: closing the pipe to signal completion: it waits for its start")
	for _, w := range m.process.Warnings {
		m.c.root.warn("%s", w)
	}
	if err := giveAll(m.process, m.o.ConsoleSocket, m.o.PidfdSocket); err != nil {
		return err
	}
	m.c.Ready = true
	if m.listen { // Run writes when the program runs
		if err := m.c.write(); err != nil {
			return err
		}
	}
	return writePidFile(m.o.PidFile, m.c.Pid)
}
