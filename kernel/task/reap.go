package task

import (
	"os"
	"syscall"
)

// ReapUntil reaps children, of which process 1 and a subreaper have more than they
// made, until it comes to pid. It returns the exit status of that, 128+n after the
// signal n; -1: somebody else has reaped it.
func ReapUntil(pid int) int {
	for {
		var status syscall.WaitStatus
		n, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case err == syscall.EINTR: //nolint:errorlint // it is the number
		case err != nil:
			return -1
		case n == pid && status.Signaled():
			return 128 + int(status.Signal())
		case n == pid:
			return status.ExitStatus()
		}
	}
}

// PassOn sends a process the signals that come, except those that are about this
// process and its children. It returns when signals is closed.
func PassOn(signals <-chan os.Signal, pid int) {
	for s := range signals {
		switch s {
		case syscall.SIGCHLD, syscall.SIGTTIN, syscall.SIGTTOU:
		case syscall.SIGURG: // Go's scheduler sends it to itself
		default:
			_ = syscall.Kill(pid, s.(syscall.Signal)) // gone: ReapUntil will tell
		}
	}
}
