package monitor

import (
	"errors"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Pollable duplicates f as a file whose reads wait in the poller instead of
// in a thread.
func Pollable(f *os.File) (*os.File, error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	fd := -1
	cerr := raw.Control(func(old uintptr) {
		fd, err = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0)
	})
	if err := errors.Join(err, cerr); err != nil {
		return nil, os.NewSyscallError("dup", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, errors.Join(os.NewSyscallError("set non-blocking", err), unix.Close(fd))
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}

// Ended waits until the process of a Pollable pidfd has ended, or the file's
// read deadline passes.
func Ended(pidfd *os.File) error {
	raw, err := pidfd.SyscallConn()
	if err != nil {
		return err
	}
	return raw.Read(ended)
}

func ended(fd uintptr) bool {
	p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	n, err := unix.Poll(p, 0)
	return err == nil && n > 0
}

// HasEnded tells whether the process of a pidfd has ended, without waiting.
func HasEnded(pidfd *os.File) bool {
	raw, err := pidfd.SyscallConn()
	if err != nil {
		return true
	}
	over := true
	if err := raw.Control(func(fd uintptr) { over = ended(fd) }); err != nil {
		return true
	}
	return over
}

// EndedWithin is Ended for at most d; os.ErrDeadlineExceeded after that.
func EndedWithin(pidfd *os.File, d time.Duration) error {
	if err := pidfd.SetReadDeadline(time.Now().Add(d)); err != nil {
		return err
	}
	return Ended(pidfd)
}

// Reap waits for the child of a Pollable pidfd to end and collects it.
func Reap(pidfd *os.File, pid int) (syscall.WaitStatus, error) {
	if err := Ended(pidfd); err != nil {
		return 0, err
	}
	var status syscall.WaitStatus
	for {
		_, err := syscall.Wait4(pid, &status, 0, nil)
		if !errors.Is(err, syscall.EINTR) {
			return status, os.NewSyscallError("wait4", err)
		}
	}
}
