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
	go task.PassOn(signals, pid)
	os.Exit(task.ReapUntil(pid))
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
