package foreign

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"github.com/berth-engine/berth/kernel/ns"
)

// environment of the runtime; what starts it has none that is of use.
var environment = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}

// request is one command of the runtime.
type request struct {
	args     []string // the command and its options
	more     []string // what follows the container's ID
	file     string   // names the files that belong to it
	streams  [3]*os.File
	terminal bool
	mounts   []Mount
}

// An Error is what a runtime says of a command that failed.
type Error struct {
	Command string
	Text    string
}

func (e *Error) Error() string { return e.Command + ": " + e.Text }

// run executes a command to its end.
func (r *Runtime) run(q *request) error {
	log := filepath.Join(r.Dir, q.file+".log")
	defer os.Remove(log)
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	files := make([]uintptr, 0, fdMounts+len(q.mounts))
	for _, f := range q.streams {
		if f == nil {
			f = null
		}
		files = append(files, f.Fd())
	}
	files = append(files, r.Exe.Fd())
	args := []string{Name, strconv.Itoa(len(q.mounts))}
	for _, m := range q.mounts {
		args, files = append(args, m.At), append(files, m.File.Fd())
	}
	args = append(args, r.Command...)
	args = append(args, "--root", filepath.Join(r.Dir, stateDir), "--log", log, "--log-format", "json")
	args = append(args, q.args...)
	args = append(append(args, r.ID), q.more...)
	status, err := execute(args, r.Dir, files)
	runtime.KeepAlive(q)
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", r.Command[0], err)
	case status.Exited() && status.ExitStatus() == 0:
		return nil
	}
	text := lastError(log)
	switch {
	case text != "":
	case status.ExitStatus() == noRuntime:
		text = "the runtime cannot be executed"
		if _, err := os.Stat(r.Command[0]); err != nil {
			return err
		}
	case status.Signaled():
		text = "signal: " + status.Signal().String()
	default:
		text = "exit status " + strconv.Itoa(status.ExitStatus())
	}
	return &Error{r.Command[0] + " " + q.args[0], text}
}

// execute runs this program as helper, which becomes the runtime.
func execute(args []string, dir string, files []uintptr) (status syscall.WaitStatus, err error) {
	pidfd := -1
	pid, err := syscall.ForkExec("/proc/self/fd/"+strconv.Itoa(fdExe), args, &syscall.ProcAttr{
		Dir: dir, Env: environment, Files: files, Sys: &syscall.SysProcAttr{Setsid: true, PidFD: &pidfd},
	})
	if err != nil {
		return 0, err
	}
	handle := os.NewFile(uintptr(pidfd), "pidfd")
	late := time.AfterFunc(patience, func() { _ = ns.PidfdSignal(handle, syscall.SIGKILL) })
	status = reap(pid)
	late.Stop()
	return status, handle.Close()
}

func reap(pid int) (status syscall.WaitStatus) {
	for {
		if _, err := syscall.Wait4(pid, &status, 0, nil); err != syscall.EINTR {
			return status
		}
	}
}
