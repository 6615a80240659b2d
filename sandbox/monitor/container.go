package monitor

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/kernel/ns"
	"github.com/berth-engine/berth/sandbox/foreign"
	"github.com/berth-engine/berth/sandbox/hook"
	"github.com/berth-engine/berth/sandbox/stage"
)

// A container is what the monitor is the monitor of.
type container struct {
	exe  program
	gate gate

	mu        sync.Mutex
	state     State
	poststop  sync.Once
	cfg       *Launch
	ahead     *stage.Process // before a launch, if there is one
	proc      *process
	other     *foreign.Runtime // has the container; nil: package stage has
	startedAt time.Time
	startErr  *stage.ExecError
	exited    Exited // valid in StateExited
	rootfs    *os.File

	starting sync.Mutex // held while process 1 executes its program
	done     chan struct{}
	free     chan struct{} // closed when the root file system was let go, too
	fan      *fan
	io       *stdio
	execs    execs
	nofile   *unix.Rlimit // of open files, as process 1 began with
}

func newContainer(exe *os.File) *container {
	c := &container{exe: program{file: exe}, state: StateIdle, done: make(chan struct{}), free: make(chan struct{}), fan: newFan()}
	c.execs.gate = &c.gate
	return c
}

// prepare forks the stage of process 1 before there is an order for it, which
// is most of the work of a launch. Without one, launch forks its own.
func (c *container) prepare() (err error) {
	c.ahead, err = stage.Fork(c.exe.file, &stage.Usual, nil)
	return err
}

// abandon ends the stage that nobody needed.
func (c *container) abandon() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ahead != nil {
		c.ahead.Abandon()
		c.ahead = nil
	}
}

// launch makes process 1 and all around it. While the stage works, meanwhile
// is called. On error nothing is left.
func (c *container) launch(l *Launch, files []*os.File, meanwhile func() error) (*Created, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var rootfs *os.File // its life is the container's
	defer func() {
		closeAll(slices.DeleteFunc(files, func(f *os.File) bool { return f == rootfs }))
	}()
	if c.state != StateIdle {
		return nil, fmt.Errorf("launch %s: this is the monitor of %s: %w", l.ID, c.cfg.ID, errdefs.ErrFailedPrecondition)
	}
	f, group, err := named(l.Files, files)
	if err != nil {
		return nil, err
	}
	spawn := c.spawn
	if len(l.Runtime) > 0 {
		spawn = c.spawnForeign
	}
	proc, io, err := spawn(l, f, group, meanwhile)
	if e := (*stage.ExecError)(nil); errors.As(err, &e) {
		return nil, &Error{Kind: kindExec, Text: e.Text, ExitCode: e.ExitCode()}
	}
	if err != nil {
		return nil, err
	}
	pidfd, err := Pollable(proc.PidFD)
	if err != nil {
		proc.Abandon()
		return nil, errors.Join(fmt.Errorf("process 1: %w", err), io.close(), proc.RunHooks(hook.Poststop))
	}
	rootfs = f.Rootfs
	c.cfg, c.proc, c.io, c.rootfs, c.state = l, proc, io, rootfs, StateCreated
	io.gate = &c.gate
	io.pump(c.output)
	go c.reap(pidfd)
	return &Created{Pid: proc.Pid, StartTime: proc.StartTime, Warnings: proc.Warnings}, nil
}

// named sorts the received descriptors.
func named(names []string, files []*os.File) (f stage.Files, group *os.File, err error) {
	if len(names) != len(files) {
		return f, nil, fmt.Errorf("launch: %d descriptors for %d names: %w", len(files), len(names), errdefs.ErrInvalidArgument)
	}
	for i, name := range names {
		switch name {
		case FileOrder:
			f.Order = files[i]
		case FileRootfs:
			f.Rootfs = files[i]
		case FileNetNS:
			f.NetNS = files[i]
		case FileCgroup:
			group = files[i]
		default:
			number, ok := strings.CutPrefix(name, FileMount)
			index, err := strconv.Atoi(number)
			if !ok || err != nil {
				return f, nil, fmt.Errorf("launch: descriptor %q: %w", name, errdefs.ErrInvalidArgument)
			}
			if f.Sources == nil {
				f.Sources = map[int]*os.File{}
			}
			f.Sources[index] = files[i]
		}
	}
	if f.Rootfs == nil {
		return f, nil, fmt.Errorf("launch: no root file system: %w", errdefs.ErrInvalidArgument)
	}
	return f, group, nil
}

// process takes the stage that was forked ahead if it can serve, or forks one.
func (c *container) process(plan *stage.Plan, group *os.File) (*stage.Process, error) {
	proc := c.ahead
	c.ahead = nil
	if proc != nil && proc.Fits(plan) && !HasEnded(proc.PidFD) {
		return proc, nil
	}
	if proc != nil {
		proc.Abandon()
	}
	return stage.Fork(c.exe.file, plan, group)
}

func (c *container) spawn(l *Launch, f stage.Files, group *os.File, meanwhile func() error) (_ *process, _ *stdio, err error) {
	if f.Order == nil {
		return nil, nil, fmt.Errorf("launch: no order: %w", errdefs.ErrInvalidArgument)
	}
	l.Plan.NetNS = f.NetNS
	proc, err := c.process(&l.Plan, group)
	if err != nil {
		return nil, nil, err
	}
	io, theirs, err := newStdio(wiring{terminal: l.Plan.Terminal, stdin: l.OpenStdin, stdout: true, stderr: true, once: l.StdinOnce})
	if err != nil {
		proc.Abandon()
		return nil, nil, err
	}
	f.Stdin, f.Stdout, f.Stderr = theirs[0], theirs[1], theirs[2]
	err = proc.Begin(&l.Plan, f)
	closeAll(theirs[:]) // process 1 has its own
	if err != nil {
		return nil, nil, errors.Join(err, io.close())
	}
	if err = meanwhile(); err == nil {
		err = io.openLog(l)
	}
	if err != nil {
		proc.Abandon()
	} else {
		err = proc.Created()
	}
	if err == nil && proc.Console != nil {
		err = io.console(proc.Console)
		proc.Console = nil // not its any more
		if err != nil {
			proc.Abandon()
			err = errors.Join(err, proc.RunHooks(hook.Poststop))
		}
	}
	if err != nil {
		return nil, nil, errors.Join(err, io.close())
	}
	return &process{Process: proc}, io, nil
}

// start lets process 1 execute its program.
func (c *container) start() (*Started, error) {
	c.starting.Lock()
	defer c.starting.Unlock()
	c.mu.Lock()
	proc, state := c.proc, c.state
	c.mu.Unlock()
	if state != StateCreated {
		return nil, fmt.Errorf("start: the container is %s: %w", state, errdefs.ErrFailedPrecondition)
	}
	now := time.Now() // before, so that no output is older than the start
	err := proc.Start()
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := (*stage.ExecError)(nil); errors.As(err, &e) {
		c.startErr = e
		return nil, &Error{Kind: kindExec, Text: e.Text, ExitCode: e.ExitCode()}
	}
	if err != nil {
		return nil, fmt.Errorf("start: %w", err)
	}
	// What nobody set is the engine's own limit, not what Go made of it in this
	// process. Others of the container shall have the same.
	var limit unix.Rlimit
	if unix.Prlimit(proc.Pid, unix.RLIMIT_NOFILE, nil, &limit) == nil {
		c.nofile = &limit
	}
	c.state, c.startedAt = StateRunning, now
	return &Started{At: now}, nil
}

// poststart runs the hooks that follow a start. If one fails, the container is
// stopped: its end follows.
func (c *container) poststart() error {
	c.mu.Lock()
	proc := c.proc
	c.mu.Unlock()
	err := proc.RunHooks(hook.Poststart)
	if err == nil {
		return nil
	}
	err = fmt.Errorf("start: %w", err)
	if kerr := c.signal(int(syscall.SIGKILL)); kerr != nil && !errdefs.IsNotFound(kerr) {
		err = errors.Join(err, kerr)
	}
	return err
}

// stopped runs the hooks that follow the end of the container, once.
func (c *container) stopped() (warnings []string) {
	c.poststop.Do(func() {
		if err := c.proc.RunHooks(hook.Poststop); err != nil {
			warnings = strings.Split(err.Error(), "\n")
		}
	})
	return warnings
}

// output logs a chunk and hands it out; buf is as logblock's Append wants it.
func (c *container) output(stream byte, buf []byte, n int) {
	c.io.log(stream, buf, n)
	c.fan.output(stream, chunk(buf, n))
}

func (c *container) status() *Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := &Status{State: c.state, StartedAt: c.startedAt}
	if c.cfg != nil {
		s.ID, s.Instance = c.cfg.ID, c.cfg.Instance
	}
	if c.proc != nil {
		s.Pid, s.StartTime = c.proc.Pid, c.proc.StartTime
	}
	if c.state == StateExited {
		exit := c.exited.Exit
		s.Exit = &exit
	}
	return s
}

func (c *container) signal(sig int) error {
	err := c.trySignal(sig)
	if err == nil && c.proc.other != nil {
		err = c.proc.signal(syscall.Signal(sig)) // it takes a while
	}
	if errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("signal %d: %w: %w", sig, err, errdefs.ErrNotFound)
	}
	return err
}

func (c *container) trySignal(sig int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.state == StateIdle:
		return fmt.Errorf("signal: no container: %w", errdefs.ErrFailedPrecondition)
	case sig <= 0 || sig > 64:
		return fmt.Errorf("signal %d: %w", sig, errdefs.ErrInvalidArgument)
	case c.state == StateExited:
		return fmt.Errorf("signal %d: the container has exited: %w", sig, errdefs.ErrNotFound)
	}
	if c.proc.other != nil {
		sig = 0 // only whether it is there
	}
	return ns.PidfdSignal(c.proc.PidFD, syscall.Signal(sig))
}

func (c *container) limitLog(l LogLimits) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != StateCreated && c.state != StateRunning {
		return fmt.Errorf("limit the log: the container is %s: %w", c.state, errdefs.ErrFailedPrecondition)
	}
	c.cfg.LogMaxSize, c.cfg.LogMaxFiles = l.MaxSize, l.MaxFiles
	c.io.limitLog(l)
	return nil
}

func (c *container) resize(r Resize) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != StateCreated && c.state != StateRunning {
		return fmt.Errorf("resize: the container is %s: %w", c.state, errdefs.ErrFailedPrecondition)
	}
	return c.io.resize(unix.Winsize{Row: r.Rows, Col: r.Cols})
}
