package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/kernel/ns"
	"github.com/berth-engine/berth/sandbox/monitor"
	"github.com/berth-engine/berth/sandbox/stage"
)

// A Forker runs one program in a container again and again, at a fraction of what
// Exec costs: a process stands ready that has joined the container and given up
// its rights, and only forks and executes (stage.EnterForker). What it runs ends
// with the container. Only one run at a time; Signal may be used by anybody.
type Forker struct {
	s       *Sandbox
	pid     int
	start   uint64
	control *os.File
	uid     int // of what it runs
	once    sync.Once
}

// drainAfter is when the output of a run is read while it still runs, so that it
// can say more than a pipe holds. Most have ended by then, and are not to wake us
// twice.
const drainAfter = 100 * time.Millisecond

// Forker makes one for what spec says; its ID, streams and Note do not count.
// errdefs.NotImplemented says that Exec has to be used, other errors that
// something went wrong. What is wrong with the program, Exec says better.
func (s *Sandbox) Forker(ctx context.Context, spec *ExecSpec) (*Forker, error) {
	defer s.r.pool.work()()
	if s.foreign {
		return nil, fmt.Errorf("another runtime made the container: %w", errdefs.ErrNotImplemented)
	}
	cfg, err := s.execConfig(spec)
	if err != nil {
		return nil, fmt.Errorf("fork in %s: %w", s.id, err)
	}
	prepared, err := stage.PrepareForker(cfg)
	if errors.Is(err, stage.ErrNoForker) {
		err = fmt.Errorf("%w: %w", err, errdefs.ErrNotImplemented)
	}
	if err != nil {
		return nil, fmt.Errorf("fork in %s: %w", s.id, err)
	}
	defer prepared.Program.Close()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socketpair", err)
	}
	theirs := os.NewFile(uintptr(fds[1]), "control")
	defer theirs.Close()
	if err := unix.SetNonblock(fds[0], true); err != nil {
		return nil, errors.Join(os.NewSyscallError("set non-blocking", err), unix.Close(fds[0]))
	}
	f := &Forker{s: s, control: os.NewFile(uintptr(fds[0]), "control"), uid: int(spec.Process.User.UID)}
	m := &monitor.Fork{
		Files: []string{monitor.FileProgram, monitor.FileControl}, OOMScoreAdj: prepared.OOMScoreAdj, AppArmor: prepared.AppArmor,
	}
	var made monitor.Forked
	if err := s.call(ctx, monitor.OpFork, m, &made, prepared.Program, theirs); err != nil {
		return nil, errors.Join(err, f.control.Close())
	}
	f.pid, f.start = made.Pid, made.StartTime
	s.mu.Lock()
	s.forkers[f.pid] = true
	s.mu.Unlock()
	return f, nil
}

// Run runs the program once and returns its exit code, or 128 and the number of
// the signal that ended it, and the first limit bytes of its output. The error is
// ctx's, or says that the program could not be run; after an error the Forker is
// of no more use, and what is still running was killed.
func (f *Forker) Run(ctx context.Context, limit int) (code int, output string, err error) {
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		return 0, "", os.NewSyscallError("pipe2", err)
	}
	out := &forkOutput{fd: p[0], limit: limit}
	defer func() { err = errors.Join(err, out.close()) }()
	if f.uid != 0 {
		err = unix.Fchown(p[1], f.uid, -1) // it may open /dev/stdout
	}
	if err == nil {
		err = f.send(p[1])
	}
	if err := errors.Join(err, unix.Close(p[1])); err != nil {
		return 0, "", fmt.Errorf("fork in %s: %w", f.s.id, err)
	}
	killed := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(killed)
		_ = f.Signal(ctx, syscall.SIGKILL)
		_ = f.control.SetReadDeadline(time.Unix(1, 0))
	})
	status, err := f.await(ctx, out)
	if !stop() {
		<-killed // while it is still the forker's
		err = ctx.Err()
	}
	if err != nil {
		return 0, out.rest(), fmt.Errorf("fork in %s: %w", f.s.id, err)
	}
	if status.Signaled() {
		return 128 + int(status.Signal()), out.rest(), nil
	}
	return status.ExitStatus(), out.rest(), nil
}

// send asks for a run with fd as its output.
func (f *Forker) send(fd int) error {
	raw, err := f.control.SyscallConn()
	if err != nil {
		return err
	}
	var serr error
	cerr := raw.Control(func(control uintptr) {
		// There is one message at a time: it never has to wait.
		_, serr = unix.SendmsgN(int(control), []byte{0}, unix.UnixRights(fd), nil, unix.MSG_NOSIGNAL)
	})
	return errors.Join(os.NewSyscallError("sendmsg", serr), cerr)
}

// await waits for the end of the run.
func (f *Forker) await(ctx context.Context, out *forkOutput) (syscall.WaitStatus, error) {
	var message [16]byte
	if err := f.control.SetReadDeadline(time.Now().Add(drainAfter)); err != nil {
		return 0, err
	}
	n, err := f.control.Read(message[:])
	if errors.Is(err, os.ErrDeadlineExceeded) && ctx.Err() == nil {
		if err := errors.Join(out.drain(), f.control.SetReadDeadline(time.Time{})); err != nil {
			return 0, err
		}
		if ctx.Err() != nil { // the deadline that it set may be lifted now
			return 0, ctx.Err()
		}
		n, err = f.control.Read(message[:])
	}
	if err != nil {
		return 0, err
	}
	_, status, err := ns.Served(message[:n])
	return status, err
}

// Pid is the number of what runs now, as the host sees it; 0: nothing does.
func (f *Forker) Pid() int {
	pid, pidfd := f.child()
	if pidfd != nil {
		_ = pidfd.Close() // only looked at
	}
	return pid
}

// child finds what runs now. The number is its own for as long as it is not the
// forker's reaped child.
func (f *Forker) child() (int, *os.File) {
	pids, err := f.s.group.Pids()
	if err != nil {
		return 0, nil
	}
	for _, pid := range pids {
		if !f.isParent(pid) {
			continue
		}
		pidfd, err := ns.PidfdOpen(pid)
		if err != nil {
			continue
		}
		if f.isParent(pid) { // it was it that was opened
			return pid, pidfd
		}
		_ = pidfd.Close()
	}
	return 0, nil
}

// isParent tells whether pid's parent is the forker.
func (f *Forker) isParent(pid int) bool {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	return len(fields) > 1 && fields[1] == strconv.Itoa(f.pid)
}

// Resize is an error: there is no terminal.
func (f *Forker) Resize(context.Context, uint16, uint16) error {
	return fmt.Errorf("resize: there is no terminal: %w", errdefs.ErrFailedPrecondition)
}

// Signal sends a signal to what runs now, if anything does.
func (f *Forker) Signal(_ context.Context, sig syscall.Signal) error {
	_, pidfd := f.child()
	if pidfd == nil {
		return nil
	}
	defer pidfd.Close()
	if err := ns.PidfdSignal(pidfd, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("signal %d: %w", sig, err)
	}
	return nil
}

// Close lets the process that forks end, as soon as what it runs has.
func (f *Forker) Close() {
	f.once.Do(func() {
		_ = f.control.Close() // nothing is on its way
		f.s.mu.Lock()
		defer f.s.mu.Unlock()
		delete(f.s.forkers, f.pid)
	})
}
