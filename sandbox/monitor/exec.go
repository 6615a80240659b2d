package monitor

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/kernel/ns"
	"github.com/berth-engine/berth/sandbox/stage"
)

// An execution is a further process of the container, with streams of its own.
type execution struct {
	Exec
	fan *fan

	// Set by the one who makes it; for all others when startedAt is.
	proc *process
	io   *stdio

	// Guarded by execs.
	pidfd     *os.File // nil: not there yet, or not any more
	startedAt time.Time

	done chan struct{}
	exit ExecExit // valid when done is closed
}

// exec makes a further process and lets it execute its program. On an error
// nothing is left.
func (c *container) exec(req *Exec, files []*os.File) (*Executed, error) {
	f, err := execFiles(req.Files, files)
	if err == nil {
		err = f.enough(req)
	}
	if err != nil {
		closeAll(files)
		return nil, err
	}
	defer closeAll([]*os.File{f.order, f.exe, f.process})
	x := &execution{Exec: *req, fan: newFan(), done: make(chan struct{})}
	if err := c.execs.enter(x); err != nil {
		closeAll([]*os.File{f.stream})
		return nil, err
	}
	warnings, err := c.begin(x, f)
	if err != nil {
		c.execs.leave(x)
		return nil, err
	}
	return &Executed{Pid: x.proc.Pid, StartTime: x.proc.StartTime, StartedAt: x.startedAt, Warnings: warnings}, nil
}

// execFD are the descriptors that come with Exec and Fork.
type execFD struct{ order, exe, stream, process, program, control *os.File }

// execFiles sorts the descriptors; those that did not come are nil.
func execFiles(names []string, files []*os.File) (f execFD, err error) {
	if len(names) != len(files) {
		return f, fmt.Errorf("exec: %d descriptors for %d names: %w", len(files), len(names), errdefs.ErrInvalidArgument)
	}
	for i, name := range names {
		switch name {
		case FileOrder:
			f.order = files[i]
		case FileExe:
			f.exe = files[i]
		case FileStream:
			f.stream = files[i]
		case FileProcess:
			f.process = files[i]
		case FileProgram:
			f.program = files[i]
		case FileControl:
			f.control = files[i]
		default:
			return f, fmt.Errorf("exec: descriptor %q: %w", name, errdefs.ErrInvalidArgument)
		}
	}
	return f, nil
}

// enough tells whether all is there that req needs.
func (f *execFD) enough(req *Exec) error {
	switch {
	case req.ID == "" || (f.order == nil || f.exe == nil) && f.process == nil:
		return fmt.Errorf("exec: no id, no order or no program: %w", errdefs.ErrInvalidArgument)
	case f.stream == nil && (req.Stdin || req.Stdout || req.Stderr):
		return fmt.Errorf("exec: streams without a descriptor for them: %w", errdefs.ErrInvalidArgument)
	}
	return nil
}

// begin makes the process, connects its streams and starts it. The stream is
// taken over.
func (c *container) begin(x *execution, f execFD) (warnings []string, err error) {
	var client *client
	if f.stream != nil {
		conn, err := takeConn(f.stream)
		if err != nil {
			return nil, err
		}
		client = x.fan.add(conn, Attach{Stdin: x.Stdin, Stdout: x.Stdout, Stderr: x.Stderr})
	}
	abandon := func() {
		if client != nil {
			client.leave()
			_ = client.conn.Close()
		}
	}
	enter := c.enter
	if c.other != nil {
		enter = c.enterForeign
	}
	now := time.Now() // before, so that no output is older than the start
	if err := enter(x, f); err != nil {
		abandon()
		return nil, err
	}
	x.io.pump(x.output)
	if err = x.proc.Start(); err != nil {
		x.proc.Abandon()
		x.io.drain()
		abandon()
		err = errors.Join(err, x.io.close())
		if e := (*stage.ExecError)(nil); errors.As(err, &e) {
			return nil, &Error{Kind: kindExec, Text: e.Text, ExitCode: e.ExitCode()}
		}
		return nil, c.explain(err)
	}
	if client != nil {
		c.gate.enter()
		go func() {
			defer c.gate.leave()
			client.serve(&x.io.in, x.Stdin)
			_ = client.conn.Close() // it has left
		}()
	}
	c.execs.started(x, now)
	c.gate.enter()
	go c.await(x)
	return x.proc.Warnings, nil
}

// takeConn makes a connection of a received socket.
func takeConn(f *os.File) (*Conn, error) {
	g, err := Pollable(f)
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	return NewConnOf(g)
}

// enter makes the process, up to "created", and its streams.
func (c *container) enter(x *execution, f execFD) error {
	if f.order == nil {
		return fmt.Errorf("exec: no order: %w", errdefs.ErrInvalidArgument)
	}
	entry, err := c.entry()
	if err != nil {
		return err
	}
	defer entry.PidFD.Close()
	io, theirs, err := newStdio(wiring{terminal: x.Terminal, stdin: x.Stdin, stdout: x.Stdout, stderr: x.Stderr, once: true})
	if err != nil {
		return err
	}
	entry.Direct = c.exe.is(f.exe)
	entry.Order, entry.Terminal, entry.CPUs = f.order, x.Terminal, x.CPUs
	entry.Stdin, entry.Stdout, entry.Stderr = theirs[0], theirs[1], theirs[2]
	made, err := stage.Enter(f.exe, entry)
	closeAll(theirs[:]) // the process has its own
	proc := &process{Process: made}
	if err == nil {
		err = c.execs.made(x, proc)
	}
	if err == nil {
		err = proc.Created()
	}
	if err == nil && proc.Console != nil {
		err = io.console(proc.Console)
		proc.Console = nil // not its any more
		if err != nil {
			proc.Abandon()
		}
	}
	if err != nil {
		return c.explain(errors.Join(err, io.close()))
	}
	x.proc, x.io = proc, io
	return nil
}

// entry says where further processes are made, while process 1 runs.
func (c *container) entry() (*stage.Entry, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != StateRunning {
		return nil, notRunning(c.state)
	}
	pidfd, err := Pollable(c.proc.PidFD)
	if err != nil {
		return nil, err
	}
	return &stage.Entry{Pid: c.proc.Pid, PidFD: pidfd, Groups: c.groups(), Nofile: c.nofile}, nil
}

func (c *container) groups() []string {
	if len(c.cfg.Plan.Groups) > 0 {
		return c.cfg.Plan.Groups
	}
	return c.cfg.CgroupDirs
}

func notRunning(s State) error {
	return fmt.Errorf("exec: the container is %s: %w", s, errdefs.ErrFailedPrecondition)
}

// How long process 1 may take to end: once it has begun to, and once another
// process of its container was killed, maybe with it.
const (
	endWithin = 10 * time.Second
	lastGasp  = time.Second
)

// explain gives an error its reason if that is the container's end: whatever
// failed then, failed because of it.
func (c *container) explain(err error) error {
	if stage.Reported(err) {
		return err
	}
	c.mu.Lock()
	state, pid := c.state, c.proc.Pid
	var pidfd *os.File
	if state != StateExited && c.proc.PidFD != nil {
		pidfd, _ = Pollable(c.proc.PidFD)
	}
	c.mu.Unlock()
	if pidfd != nil {
		defer pidfd.Close()
		within := lastGasp
		if ns.Ending(pid) {
			within = endWithin
		}
		if EndedWithin(pidfd, within) != nil {
			return err
		}
	}
	return fmt.Errorf("%w (%v)", notRunning(StateExited), err) //nolint:errorlint // its kind does not count
}

// output hands a chunk out. It is not logged.
func (x *execution) output(stream byte, buf []byte, n int) { x.fan.output(stream, chunk(buf, n)) }

// await brings a process that was started to its end and makes that known.
func (c *container) await(x *execution) {
	defer c.gate.leave()
	status, err := Reap(x.pidfd, x.proc.Pid)
	x.proc.reaped()
	now := time.Now()
	x.fan.lift()
	x.io.drain()
	x.fan.end()
	e := exitOf(status, err)
	x.exit = ExecExit{Code: e.Code, Signal: e.Signal, FinishedAt: now}
	c.execs.ended(x)
}

// signal sends a signal to the process.
func (x *execution) signal(sig int) error {
	if sig <= 0 || sig > 64 {
		return fmt.Errorf("signal %d: %w", sig, errdefs.ErrInvalidArgument)
	}
	err := ns.PidfdSignal(x.pidfd, syscall.Signal(sig))
	if errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("signal %d: the process has ended: %w", sig, errdefs.ErrNotFound)
	}
	return err
}

func (x *execution) resize(r ExecResize) error {
	err := x.io.resize(unix.Winsize{Row: r.Rows, Col: r.Cols})
	if errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("resize: the process has ended: %w", errdefs.ErrNotFound)
	}
	return err
}
