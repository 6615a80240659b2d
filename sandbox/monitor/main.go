package monitor

import (
	"errors"
	"fmt"
	"math"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/kernel/ns"
	"github.com/berth-engine/berth/kernel/task"
)

const (
	// ControlFD is inherited: the connection to the daemon.
	ControlFD = 3
	// ExeFD is inherited, too: the sealed memfd of this program.
	ExeFD = ns.RestExe
	// RestFD is inherited if RestArg is the argument: what ns.RestProgram made.
	RestFD = 5
	// Name is the monitor's os.Args[0].
	Name = "berth-monitor"
	// RestArg is its os.Args[1] if it may rest.
	RestArg = "rest"
	// awakeArg is that of one that has rested.
	awakeArg = "awake"
)

// Main is the monitor, called on the locked first thread of the process. It returns when it is to end.
func Main() error {
	last, arg := uint(ExeFD), ""
	if len(os.Args) > 1 {
		last, arg = RestFD, os.Args[1]
	}
	if arg != awakeArg {
		// Whatever else the daemon was given open when it was started. Nothing here
		// has opened a file yet.
		if err := unix.CloseRange(last+1, math.MaxUint32, 0); err != nil {
			return os.NewSyscallError("close_range", err)
		}
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
	exe := os.NewFile(ExeFD, "berth-sandbox")
	if arg == awakeArg {
		s := &server{c: newContainer(exe), removed: make(chan struct{}), rests: true}
		if err := s.awake(); err != nil {
			return err
		}
		s.outlast()
		return nil
	}
	for fd := ControlFD; fd <= int(last); fd++ {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, unix.FD_CLOEXEC); err != nil {
			return fmt.Errorf("%s is started by berthd, with its control connection as descriptor %d: %w", Name, ControlFD, err)
		}
	}
	conn, err := NewConn(ControlFD)
	if err != nil {
		return err
	}
	return live(exe, conn, arg != "")
}

// outlast returns when the monitor is to end, and its clients have what was output.
func (s *server) outlast() {
	<-s.removed
	s.c.fan.flush(clientStalls, clientMost)
}

var errIdle = errors.New("the daemon ended before a launch")
