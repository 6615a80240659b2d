package stage

import (
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/berth-engine/berth/kernel/task"
)

// reap is process 1 with --init: it runs the command, passes signals on to it,
// and reaps orphans. It ends when the command ends, and with the same status
// (128+n after signal n). It runs under all restrictions of the container and
// holds no descriptor besides the standard streams.
func reap() {
	control := os.NewFile(fdControl, "control")
	if task.CloseOnExec(fdControl) != nil || task.SetName(ReaperName) != nil {
		os.Exit(1)
	}
	if os.Getpid() != 1 {
		_ = task.Subreaper() // refused by a filter: then orphans are somebody else's
	}
	var c command
	if err := readCommand(&c); err != nil {
		_ = send(control, frameFailed, (&failure{"start", err.Error()}).describe, nil)
		os.Exit(1)
	}
	signals := make(chan os.Signal, 64)
	signal.Notify(signals)
	pid, err := syscall.ForkExec(c.Path, c.Args, &syscall.ProcAttr{
		Env:   c.Env,
		Files: []uintptr{0, 1, 2},
		Sys:   &syscall.SysProcAttr{Setpgid: true, Foreground: c.Terminal, Ctty: 0},
	})
	if err != nil {
		e := execError(c.Path, err)
		_ = send(control, frameExecFail, e.describe, nil)
		os.Exit(e.ExitCode())
	}
	control.Close()
	go forward(signals, pid)
	for {
		var status syscall.WaitStatus
		switch n, err := syscall.Wait4(-1, &status, 0, nil); {
		case err == syscall.EINTR, n != pid && err == nil:
		case err != nil:
			os.Exit(1)
		case status.Signaled():
			os.Exit(128 + int(status.Signal()))
		case status.Exited():
			os.Exit(status.ExitStatus())
		}
	}
}

func readCommand(c *command) error {
	f := os.NewFile(fdCommand, "command")
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil {
		return err
	}
	return decode(b, c.describe)
}

func forward(signals <-chan os.Signal, pid int) {
	for s := range signals {
		switch s {
		case syscall.SIGCHLD, syscall.SIGTTIN, syscall.SIGTTOU:
		case syscall.SIGURG: // Go's scheduler sends it to itself
		default:
			_ = syscall.Kill(pid, s.(syscall.Signal)) // gone: Wait4 will tell
		}
	}
}
