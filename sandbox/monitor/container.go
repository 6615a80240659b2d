package monitor

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/kernel/ns"
	"github.com/berth-engine/berth/sandbox/stage"
)

// A container is what the monitor is the monitor of.
type container struct {
	exe *os.File // the sealed memfd of this program

	mu        sync.Mutex
	state     State
	cfg       *Launch // without Config once created
	proc      *stage.Process
	startTime uint64
	startedAt time.Time
	startErr  *stage.ExecError
	exited    Exited // valid in StateExited
	rootfs    *os.File

	starting sync.Mutex // held while process 1 executes its program
	done     chan struct{}
	fan      *fan
	io       *stdio
}

func newContainer(exe *os.File) *container {
	return &container{exe: exe, state: StateIdle, done: make(chan struct{}), fan: newFan()}
}

// launch makes process 1 and all around it. On error nothing is left.
func (c *container) launch(l *Launch, files []*os.File) (*Created, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != StateIdle || c.cfg != nil {
		closeAll(files)
		return nil, fmt.Errorf("launch %s: this is the monitor of %s: %w", l.ID, c.cfg.ID, errdefs.ErrFailedPrecondition)
	}
	f, err := named(l.Files, files)
	if err != nil {
		closeAll(files)
		return nil, err
	}
	f.Exe = c.exe
	proc, io, err := spawn(l, f)
	if f.NetNS != nil {
		_ = f.NetNS.Close() // process 1 is in it
	}
	if f.Cgroup != nil {
		_ = f.Cgroup.Close() // likewise
	}
	if err != nil {
		_ = f.Rootfs.Close() // nothing was written
		return nil, err
	}
	c.startTime, err = ns.ProcessStartTime(proc.Pid)
	if err != nil {
		// Our child, not reaped: it has an entry unless /proc is broken.
		return nil, errors.Join(fmt.Errorf("process %d: %w", proc.Pid, err), abandon(proc, io, f.Rootfs))
	}
	pidfd, err := Pollable(proc.PidFD)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("process %d: %w", proc.Pid, err), abandon(proc, io, f.Rootfs))
	}
	c.cfg, c.proc, c.io, c.rootfs, c.state = l, proc, io, f.Rootfs, StateCreated
	io.pump(c.output)
	own := ownPids(l)
	l.Config = nil
	go c.reap(pidfd, own)
	return &Created{Pid: proc.Pid, StartTime: c.startTime, Warnings: proc.Warnings}, nil
}

// named sorts the received descriptors.
func named(names []string, files []*os.File) (f stage.Files, err error) {
	if len(names) != len(files) {
		return f, fmt.Errorf("launch: %d descriptors for %d names: %w", len(files), len(names), errdefs.ErrInvalidArgument)
	}
	for i, name := range names {
		switch name {
		case FileRootfs:
			f.Rootfs = files[i]
		case FileNetNS:
			f.NetNS = files[i]
		case FileCgroup:
			f.Cgroup = files[i]
		default:
			return f, fmt.Errorf("launch: descriptor %q: %w", name, errdefs.ErrInvalidArgument)
		}
	}
	if f.Rootfs == nil {
		return f, fmt.Errorf("launch: no root file system: %w", errdefs.ErrInvalidArgument)
	}
	return f, nil
}

func spawn(l *Launch, f stage.Files) (*stage.Process, *stdio, error) {
	if l.Config == nil || l.Config.Spec == nil || l.Config.Spec.Process == nil {
		return nil, nil, fmt.Errorf("launch: no process: %w", errdefs.ErrInvalidArgument)
	}
	io, err := newStdio(l, &f)
	if err != nil {
		return nil, nil, err
	}
	proc, err := stage.Spawn(l.Config, f)
	for _, end := range []*os.File{f.Stdin, f.Stdout, f.Stderr} {
		if end != nil {
			_ = end.Close() // process 1 has its own
		}
	}
	if err != nil {
		return nil, nil, errors.Join(err, io.close())
	}
	if proc.Console != nil {
		if err := io.console(proc.Console, l.Config.Spec.Process.ConsoleSize); err != nil {
			return nil, nil, errors.Join(err, abandon(proc, io, nil))
		}
		proc.Console = nil // ours now
	}
	return proc, io, nil
}

// abandon undoes a spawn.
func abandon(proc *stage.Process, io *stdio, rootfs *os.File) error {
	err := errors.Join(ns.PidfdSignal(proc.PidFD, syscall.SIGKILL), io.close(), proc.Close())
	_, werr := syscall.Wait4(proc.Pid, nil, 0, nil)
	if rootfs != nil {
		err = errors.Join(err, rootfs.Close())
	}
	return errors.Join(err, werr)
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
	err := proc.Start()
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := (*stage.ExecError)(nil); errors.As(err, &e) {
		c.startErr = e
		return nil, &Error{Kind: kindExec, Text: e.Text, ExitCode: e.ExitCode()}
	}
	if err != nil {
		return nil, fmt.Errorf("start: %w", err)
	}
	c.state, c.startedAt = StateRunning, now
	return &Started{At: now}, nil
}

// output logs a chunk and hands it out; buf is as logblock's Append wants it.
func (c *container) output(stream byte, buf []byte, n int) {
	c.io.log(stream, buf, n)
	c.fan.output(stream, chunk(buf, n))
}

func (c *container) status() *Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := &Status{State: c.state, StartTime: c.startTime, StartedAt: c.startedAt}
	if c.cfg != nil {
		s.ID, s.Instance = c.cfg.ID, c.cfg.Instance
	}
	if c.proc != nil {
		s.Pid = c.proc.Pid
	}
	if c.state == StateExited {
		exit := c.exited.Exit
		s.Exit = &exit
	}
	return s
}

func (c *container) signal(sig int) error {
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
	err := ns.PidfdSignal(c.proc.PidFD, syscall.Signal(sig))
	if errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("signal %d: %w: %w", sig, err, errdefs.ErrNotFound)
	}
	return err
}

func (c *container) resize(r Resize) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != StateCreated && c.state != StateRunning {
		return fmt.Errorf("resize: the container is %s: %w", c.state, errdefs.ErrFailedPrecondition)
	}
	return c.io.resize(unix.Winsize{Row: r.Rows, Col: r.Cols})
}
