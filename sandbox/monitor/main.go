package monitor

import (
	"errors"
	"fmt"
	"math"
	"os"
	"os/signal"
	"runtime"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/kernel/task"
)

const (
	// ControlFD is inherited: the connection to the daemon.
	ControlFD = 3
	// ExeFD is inherited, too: the sealed memfd of this program.
	ExeFD = 4
	// Name is the monitor's os.Args[0].
	Name = "berth-monitor"
)

// Main is the monitor, called on the locked first thread of the process. It returns when it is to end.
func Main() error {
	// Whatever else the daemon was given open when it was started. Nothing here
	// has opened a file yet.
	if err := unix.CloseRange(ExeFD+1, math.MaxUint32, 0); err != nil {
		return os.NewSyscallError("close_range", err)
	}
	// Executed by descriptor, the kernel names us by its number.
	if err := task.SetName(Name); err != nil {
		return err
	}
	runtime.UnlockOSThread() // the name is what the program held it for
	// Catching them would take a thread. The stage ignores nothing.
	signal.Ignore(syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM, syscall.SIGQUIT,
		syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGPIPE)
	unix.Umask(0o022)
	for _, fd := range []int{ControlFD, ExeFD} {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, unix.FD_CLOEXEC); err != nil {
			return fmt.Errorf("%s is started by berthd, with its control connection as descriptor %d: %w", Name, ControlFD, err)
		}
	}
	conn, err := NewConn(ControlFD)
	if err != nil {
		return err
	}
	c := newContainer(os.NewFile(ExeFD, "berth-sandbox"))
	s := &server{c: c, removed: make(chan struct{}), prepare: sync.OnceValue(c.prepare)}
	defer c.abandon()
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		s.serve(conn)
	}()
	select {
	case <-s.removed:
		return nil
	case <-gone:
	}
	if s.c.status().State == StateIdle {
		return errIdle // nobody can reach us any more
	}
	<-s.removed
	return nil
}

var errIdle = errors.New("the daemon ended before a launch")
