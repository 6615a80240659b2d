package sandbox

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/containerd/errdefs"

	"github.com/berth-engine/berth/kernel/ns"
	"github.com/berth-engine/berth/sandbox/monitor"
	"github.com/berth-engine/berth/sandbox/seccomp"
	"github.com/berth-engine/berth/sandbox/stage"
	"github.com/berth-engine/berth/trace"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// ExecExit says how a further process ended.
type ExecExit = monitor.ExecExit

// An ExecSpec says what to run in a container.
type ExecSpec struct {
	// ID names the process among those of the container.
	ID string
	// Process is complete: nothing is taken over from process 1.
	Process *specs.Process
	// Linux is the container's: its Seccomp, Personality and MemoryPolicy hold
	// for all processes.
	Linux *specs.Linux
	// Stdin, Stdout, Stderr are the streams that Process.Stream connects; the
	// others are /dev/null. With a terminal, all output is Stdout.
	Stdin, Stdout, Stderr bool
	// Note is kept with the process, for the daemon that adopts it.
	Note string
}

// A Process is a further process of a container. It ends with the container.
// All methods may be used at any time by anybody.
type Process struct {
	ID        string
	Pid       int // as the host sees it
	StartedAt time.Time
	Note      string
	// Warnings are deviations from the ExecSpec, such as a limit that could be
	// raised only in part.
	Warnings []string

	s      *Sandbox
	stream *Stream
}

// Exec runs a program in the container, by the side of process 1: in all its
// namespaces and its group, and as restricted as ExecSpec says. It returns when
// the program runs. Errors: *StartError if it could not be executed;
// errdefs.FailedPrecondition if process 1 does not run; errdefs.NotImplemented
// if the container's monitor is of a version that cannot do it;
// errdefs.Conflict if there is a process of that ID. If ctx ends before, the
// program may run nevertheless.
func (s *Sandbox) Exec(ctx context.Context, spec *ExecSpec) (_ *Process, err error) {
	defer s.r.pool.work()()
	names, files, err := s.execFiles(spec)
	if err != nil {
		return nil, fmt.Errorf("exec in %s: %w", s.id, err)
	}
	defer files[0].Close()
	at := trace.From(ctx)
	at.Mark("sandbox: order")
	m := &monitor.Exec{
		ID: spec.ID, Files: names, Terminal: spec.Process.Terminal,
		Stdin: spec.Stdin, Stdout: spec.Stdout, Stderr: spec.Stderr, Note: spec.Note,
	}
	if a := spec.Process.ExecCPUAffinity; a != nil {
		m.CPUs = a.Initial
	}
	p := &Process{ID: spec.ID, Note: spec.Note, s: s}
	if spec.Stdin || spec.Stdout || spec.Stderr {
		conn, theirs, err := monitor.Pair()
		if err != nil {
			return nil, fmt.Errorf("exec in %s: %w", s.id, err)
		}
		defer theirs.Close()
		p.stream = &Stream{conn: conn, r: bufio.NewReader(conn.File())}
		m.Files, files = append(m.Files, monitor.FileStream), append(files, theirs)
	}
	var done monitor.Executed
	if err := s.call(ctx, monitor.OpExec, m, &done, files...); err != nil {
		return nil, errors.Join(execError(err), p.closeStream())
	}
	at.Mark("sandbox: the monitor forks, the program is executed")
	p.Pid, p.StartedAt, p.Warnings = done.Pid, done.StartedAt, done.Warnings
	return p, nil
}

// execFiles returns what the monitor needs to make the process; the first file
// is the caller's to close.
func (s *Sandbox) execFiles(spec *ExecSpec) (names []string, files []*os.File, err error) {
	if s.foreign {
		text, err := json.Marshal(spec.Process)
		if err != nil {
			return nil, nil, err
		}
		f, err := ns.DataMemfd("process", bytes.NewReader(text))
		return []string{monitor.FileProcess}, []*os.File{f}, err
	}
	order, err := s.execOrder(spec)
	// The monitor may be of another build.
	return []string{monitor.FileOrder, monitor.FileExe}, []*os.File{order, s.r.exe}, err
}

// execOrder makes the order for the stage.
func (s *Sandbox) execOrder(spec *ExecSpec) (*os.File, error) {
	cfg, err := s.execConfig(spec)
	if err != nil {
		return nil, err
	}
	text, err := stage.PrepareEntry(cfg)
	if err != nil {
		return nil, err
	}
	return ns.DataMemfd("order", bytes.NewReader(text))
}

// execConfig says what a further process is to be.
func (s *Sandbox) execConfig(spec *ExecSpec) (*stage.Config, error) {
	cfg := &stage.Config{
		Spec:  &specs.Spec{Process: spec.Process, Linux: spec.Linux},
		State: &specs.State{Version: specs.Version, ID: s.id, Bundle: s.r.dir(s.id)},
	}
	if spec.Linux != nil {
		var err error
		if cfg.Seccomp, err = seccomp.Compile(spec.Linux.Seccomp); err != nil {
			return nil, err
		}
	}
	if stage.NeedsState(cfg.Spec) { // for the agent of Linux.Seccomp
		cfg.State = &specs.State{Version: specs.Version, ID: s.id, Status: specs.StateRunning, Pid: s.pid, Bundle: s.r.dir(s.id)}
	}
	return cfg, nil
}

// execError gives an error of exec the form that callers expect.
func execError(err error) error {
	e := (*monitor.Error)(nil)
	switch {
	case !errors.As(err, &e):
	case e.Exec():
		return &StartError{ExitCode: e.ExitCode, Text: e.Text}
	case errdefs.IsNotImplemented(e):
		return fmt.Errorf("the container was started by an earlier version of the engine, which could not do this; restart the container: %w", err)
	}
	return err
}

// Execs lists the further processes that run or were not removed, for a daemon
// that has adopted the sandbox. They have no Stream.
func (s *Sandbox) Execs(ctx context.Context) ([]*Process, error) {
	var l monitor.ExecList
	err := s.call(ctx, monitor.OpExecList, nil, &l)
	if errdefs.IsNotImplemented(err) {
		return nil, nil // a monitor without exec has none
	}
	if err != nil {
		return nil, err
	}
	out := make([]*Process, len(l.Execs))
	for i, e := range l.Execs {
		out[i] = &Process{ID: e.ID, Pid: e.Pid, StartedAt: e.StartedAt, Note: e.Note, s: s}
	}
	return out, nil
}

// Stream is the process's standard streams, nil if none was asked for. It sees
// every byte.
func (p *Process) Stream() *Stream { return p.stream }

func (p *Process) closeStream() error {
	if p.stream == nil {
		return nil
	}
	return p.stream.Close()
}

// Wait returns how the process ended, when it has, and all its output was
// handed out. The error is that of ctx, or errdefs.Unavailable if the Runtime
// ends first; errdefs.NotFound after Remove.
func (p *Process) Wait(ctx context.Context) (ExecExit, error) {
	var e ExecExit
	err := p.s.call(ctx, monitor.OpExecWait, &monitor.ExecRef{ID: p.ID}, &e)
	if errdefs.IsUnavailable(err) {
		<-p.s.gone // what the end of the connection means is known
		if p.s.over() {
			// The monitor died, and with it the container.
			return ExecExit{Code: 128 + int(syscall.SIGKILL), Signal: int(syscall.SIGKILL), FinishedAt: p.s.exit.FinishedAt}, nil
		}
	}
	return e, err
}

// Signal sends sig to the process; errdefs.NotFound when it has ended.
func (p *Process) Signal(ctx context.Context, sig syscall.Signal) error {
	return p.s.call(ctx, monitor.OpExecSignal, &monitor.ExecSignal{ID: p.ID, Signal: int(sig)}, nil)
}

// Resize sets the size of the process's terminal; errdefs.FailedPrecondition
// without one, errdefs.NotFound when the process has ended.
func (p *Process) Resize(ctx context.Context, rows, cols uint16) error {
	return p.s.call(ctx, monitor.OpExecResize, &monitor.ExecResize{ID: p.ID, Rows: rows, Cols: cols}, nil)
}

// Remove forgets a process that has ended. Until then its exit is kept.
func (p *Process) Remove(ctx context.Context) error {
	return p.s.call(ctx, monitor.OpExecRemove, &monitor.ExecRef{ID: p.ID}, nil)
}
