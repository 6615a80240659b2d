package hook

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/kernel/task"
	"github.com/berth-engine/berth/kernel/timerslack"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// maxOutput is how much of what a hook writes becomes part of an error.
const maxOutput = 4096

// A process is a hook that runs.
type process struct {
	pid     int
	pidfd   int
	in, out int // our ends of its streams; -1 when closed
	output  []byte

	deadline time.Time // zero: none
	late     bool      // it was not kept
}

// one runs a hook to its end, all on the calling thread: in a stage, no other
// is where the hook is to run.
func (r *Runner) one(ctx context.Context, h *specs.Hook, input []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	p, err := r.fork(h)
	if err != nil {
		return fmt.Errorf("%s: %w", h.Path, err)
	}
	defer p.close()
	if h.Timeout != nil {
		p.deadline = time.Now().Add(time.Duration(*h.Timeout) * time.Second)
	}
	status, err := p.wait(ctx, input)
	switch {
	case err != nil:
		return err
	case status.Signaled() && ctx.Err() != nil:
		return ctx.Err()
	case status.Signaled() && p.late:
		return fmt.Errorf("%s did not end within %d s and was killed%s", h.Path, *h.Timeout, p.said())
	case status.Signaled():
		return fmt.Errorf("%s: signal: %s%s", h.Path, status.Signal(), p.said())
	case status.ExitStatus() != 0:
		return fmt.Errorf("%s: exit status %d%s", h.Path, status.ExitStatus(), p.said())
	}
	return nil
}

// fork starts the hook in a process group of its own.
func (r *Runner) fork(h *specs.Hook) (_ *process, err error) {
	// What the caller itself was given open is nothing for a hook. A filter may
	// refuse this; a stage has done it before.
	err = task.CloseOnExec(3)
	if err != nil && !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.ENOSYS) {
		return nil, err
	}
	p := &process{pidfd: -1, in: -1, out: -1}
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	var stdin, stdout [2]int
	if err := unix.Pipe2(stdin[:], unix.O_CLOEXEC); err != nil {
		return nil, os.NewSyscallError("pipe2", err)
	}
	p.in = stdin[1]
	defer unix.Close(stdin[0])
	if err := unix.Pipe2(stdout[:], unix.O_CLOEXEC); err != nil {
		return nil, os.NewSyscallError("pipe2", err)
	}
	p.out = stdout[0]
	defer unix.Close(stdout[1])
	for _, fd := range []int{p.in, p.out} {
		if err := unix.SetNonblock(fd, true); err != nil {
			return nil, os.NewSyscallError("set non-blocking", err)
		}
	}
	program, args := h.Path, h.Args
	if len(args) == 0 {
		args = []string{h.Path}
	}
	if r.Exe != nil {
		program, args = "/proc/self/fd/"+strconv.Itoa(int(r.Exe.Fd())), append([]string{Name, h.Path}, args...)
		defer runtime.KeepAlive(r.Exe)
	}
	err = timerslack.Fork(func() (err error) {
		p.pid, err = syscall.ForkExec(program, args, &syscall.ProcAttr{
			Env:   environment(h),
			Files: []uintptr{uintptr(stdin[0]), uintptr(stdout[1]), uintptr(stdout[1])},
			Sys:   &syscall.SysProcAttr{Setpgid: true, PidFD: &p.pidfd},
		})
		return err
	})
	return p, err
}

// kill ends the hook's process group. It was not reaped yet, so the number is
// still its own.
func (p *process) kill() {
	_ = syscall.Kill(-p.pid, syscall.SIGKILL)
	_ = syscall.Kill(p.pid, syscall.SIGKILL) // should it have left its group
}

// wait feeds the hook and hears it until it ends.
func (p *process) wait(ctx context.Context, input []byte) (status syscall.WaitStatus, err error) {
	for ended := false; !ended; {
		fds := []unix.PollFd{
			{Fd: int32(p.pidfd), Events: unix.POLLIN},
			{Fd: int32(p.out), Events: unix.POLLIN},
			{Fd: int32(p.in), Events: unix.POLLOUT},
		}
		if _, err := unix.Poll(fds, p.patience(ctx)); err != nil && !errors.Is(err, unix.EINTR) {
			p.kill()
			return status, errors.Join(os.NewSyscallError("poll", err), p.reap(&status))
		}
		if p.late = !p.deadline.IsZero() && !time.Now().Before(p.deadline); p.late || ctx.Err() != nil {
			p.kill()
		}
		if fds[2].Revents != 0 {
			input = p.feed(input)
		}
		ended = fds[0].Revents != 0
		if fds[1].Revents != 0 || ended { // what it wrote last is there by now
			p.hear()
		}
	}
	return status, p.reap(&status)
}

// patience returns for how many milliseconds there is nothing to look at but
// descriptors: up to the deadline; a context has none that poll knows.
func (p *process) patience(ctx context.Context) int {
	const tick = 50 * time.Millisecond
	left := time.Duration(-1)
	if !p.deadline.IsZero() {
		left = max(time.Until(p.deadline), tick) // also when it was killed already
	}
	if ctx.Done() != nil && (left < 0 || left > tick) {
		left = tick
	}
	if left < 0 {
		return -1
	}
	return int((left + time.Millisecond - 1) / time.Millisecond)
}

func (p *process) reap(status *syscall.WaitStatus) error {
	for {
		_, err := syscall.Wait4(p.pid, status, 0, nil)
		if err != syscall.EINTR {
			return os.NewSyscallError("wait4", err)
		}
	}
}

// feed writes what the pipe takes and closes it behind the last byte. A hook
// that does not read is no error.
func (p *process) feed(input []byte) (rest []byte) {
	n, err := unix.Write(p.in, input)
	if err == nil && n < len(input) {
		return input[n:]
	}
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
		return input
	}
	unix.Close(p.in)
	p.in = -1
	return nil
}

// hear reads all that is there. The first maxOutput bytes are kept.
func (p *process) hear() {
	buf := make([]byte, maxOutput)
	for p.out >= 0 {
		n, err := unix.Read(p.out, buf)
		switch {
		case err == nil && n > 0:
			p.output = append(p.output, buf[:min(n, maxOutput-len(p.output))]...)
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EAGAIN):
			return
		default:
			unix.Close(p.out)
			p.out = -1
		}
	}
}

func (p *process) said() string {
	if text := strings.TrimSpace(string(p.output)); text != "" {
		return ": " + text
	}
	return ""
}

func (p *process) close() {
	for _, fd := range []int{p.pidfd, p.in, p.out} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}
