// Package timerslack has the kernel wake threads of Go's runtime less often
// (PR_SET_TIMERSLACK(2const)).
//
// The runtime's monitor thread wakes every 70 microseconds while anything
// happens, and takes the processor away from whoever is in a system call just
// then. A program that lives for ten milliseconds, most of them in system calls,
// is an eighth faster without, and so is a daemon that starts a container.
package timerslack

import (
	"runtime"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// given is the slack that this process was started with, in nanoseconds; zero
// before Widen.
var given atomic.Int64

// Widen lets the kernel wake this process's threads, but its first, later than
// they ask for, by up to so much (proc_pid_timerslack_ns(5)). It is a favour:
// without CAP_SYS_NICE, or without procfs, nothing changes. It is called at the
// start of main, before the first goroutine.
func Widen(by time.Duration) {
	was, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	if err != nil {
		return
	}
	dir, err := unix.Open("/proc/self/task", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	defer unix.Close(dir)
	buf := make([]byte, 2048)
	n, err := unix.ReadDirent(dir, buf)
	if err != nil {
		return
	}
	_, _, threads := unix.ParseDirent(buf[:n], -1, nil)
	given.Store(int64(was))
	value := strconv.AppendInt(nil, by.Nanoseconds(), 10)
	for _, thread := range threads[min(1, len(threads)):] { // in the order in which they were made
		f, err := unix.Open("/proc/"+thread+"/timerslack_ns", unix.O_WRONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return
		}
		_, _ = unix.Write(f, value)
		unix.Close(f)
	}
}

// Fork calls a function that makes a process, which inherits the slack of the
// thread that makes it: that with which this process was started.
func Fork(fork func() error) error {
	if was := given.Load(); was != 0 {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		_ = unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(was), 0, 0, 0)
	}
	return fork()
}
