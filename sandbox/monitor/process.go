package monitor

import (
	"errors"
	"strings"
	"syscall"

	"github.com/berth-engine/berth/kernel/ns"
	"github.com/berth-engine/berth/sandbox/foreign"
	"github.com/berth-engine/berth/sandbox/hook"
	"github.com/berth-engine/berth/sandbox/stage"
)

// A process is process 1 or a further one: of package stage, or made by another
// OCI runtime. A further process of the latter runs from the beginning.
type process struct {
	*stage.Process
	other   *foreign.Runtime // nil: package stage made it
	further bool
}

// foreignProcess is what another runtime made.
func foreignProcess(r *foreign.Runtime, p *foreign.Process, further bool) *process {
	return &process{&stage.Process{Pid: p.Pid, PidFD: p.PidFD, StartTime: p.StartTime, Console: p.Console}, r, further}
}

// Start lets the process execute its program.
func (p *process) Start() error {
	switch {
	case p.other == nil:
		return p.Process.Start()
	case p.further:
		return nil
	}
	return noProgram(p.other.Start())
}

// Abandon ends a process that was not started.
func (p *process) Abandon() {
	if p.other != nil {
		defer p.other.Forget(p.Pid)
	}
	p.Process.Abandon()
}

// RunHooks runs those of the runtime's side. Another runtime runs its own:
// poststop when what it keeps of the container is deleted.
func (p *process) RunHooks(kind hook.Kind) error {
	switch {
	case p.other == nil:
		return p.Process.RunHooks(kind)
	case kind == hook.Poststop:
		return p.other.Delete()
	}
	return nil
}

// reaped says that the end of the process was collected.
func (p *process) reaped() {
	if p.other != nil {
		p.other.Forget(p.Pid)
	}
}

// signal sends a signal to process 1 of another runtime's container. The error
// is ESRCH if it has ended.
func (p *process) signal(sig syscall.Signal) error {
	err := p.other.Kill(sig)
	if err == nil {
		return nil
	}
	if start, ended, serr := ns.ProcessState(p.Pid); serr != nil || ended || start != p.StartTime {
		return syscall.ESRCH
	}
	return err
}

// noProgram finds out whether another runtime's error is that there is no such
// program, or none that can be executed: it says so only in words.
func noProgram(err error) error {
	e := (*foreign.Error)(nil)
	if !errors.As(err, &e) {
		return err
	}
	says := func(words ...string) bool {
		for _, w := range words {
			if !strings.Contains(e.Text, w) {
				return false
			}
		}
		return true
	}
	var errno syscall.Errno
	known := "" // words by which clients know
	switch {
	case says("executable file", "not found"), says(`exec: "`, "no such file or directory"), says("open executable: No such file"):
		errno, known = syscall.ENOENT, "executable file not found"
	case says(`exec: "`, "permission denied"), says("open executable: Permission denied"), says(`exec: "`, "is a directory"):
		errno, known = syscall.EACCES, "permission denied"
	case says("exec format error"), says("Exec format error"):
		errno, known = syscall.ENOEXEC, "exec format error"
	default:
		return err
	}
	text := e.Text
	if !says(known) {
		text = known + ": " + text
	}
	return &stage.ExecError{Err: errno, Text: text}
}
