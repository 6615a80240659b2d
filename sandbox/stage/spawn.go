package stage

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/kernel/ns"
	"github.com/berth-engine/berth/kernel/task"
)

// Names by which the berth-sandbox binary is called as init stage and as
// reaper (os.Args[0]).
const (
	InitName   = "berth-init"
	ReaperName = "berth-reap"
)

// Descriptors that the init stage finds.
const (
	fdControl = 3 + iota
	fdExe
	fdRoot
	fdNetNS
)

// Spawn returns when process 1 is set up and waits just before executing its
// program (the OCI state "created"). On an error nothing is left.
func Spawn(c *Config, f Files) (_ *Process, err error) {
	plan, err := validate(c, f)
	if err != nil {
		return nil, err
	}
	ours, theirs, err := task.SocketPair()
	if err != nil {
		return nil, err
	}
	p := &Process{control: ours}
	defer func() {
		if err != nil {
			p.abandon()
		}
	}()
	err = p.clone(c, f, plan, theirs)
	theirs.Close()
	if err != nil {
		return nil, fmt.Errorf("clone process 1: %w", err)
	}
	// The stage's own start takes longer than this.
	for _, dir := range c.CgroupDirs {
		if err := join(dir, p.Pid); err != nil {
			return nil, err
		}
	}
	o := order{
		Config: *c, NetNS: f.NetNS != nil, Join: plan.join, CgroupNS: plan.cgroup,
		NewNet: plan.clone&unix.CLONE_NEWNET != 0,
	}
	if err := sendFrame(ours, frameConfig, encode(o.describe), nil); err != nil && !errors.Is(err, syscall.EPIPE) {
		return nil, err
	}
	return p, p.created()
}

func (p *Process) clone(c *Config, f Files, plan namespaces, theirs *os.File) error {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	files := []*os.File{f.Stdin, f.Stdout, f.Stderr, theirs, f.Exe, f.Rootfs}
	if f.NetNS != nil {
		files = append(files, f.NetNS)
	}
	fds := make([]uintptr, len(files))
	for i, file := range files {
		if file == nil || i < 3 && c.Spec.Process.Terminal {
			file = null
		}
		fds[i] = file.Fd()
	}
	pidfd := -1
	sys := &syscall.SysProcAttr{Cloneflags: plan.clone, Setsid: true, PidFD: &pidfd}
	if f.Cgroup != nil {
		sys.UseCgroupFD, sys.CgroupFD = true, int(f.Cgroup.Fd())
	}
	attr := &syscall.ProcAttr{
		Dir: "/",
		// One thread does all the work and the heap is never collected: the
		// stage lives for milliseconds.
		Env:   []string{"GOMAXPROCS=1", "GOGC=off"},
		Files: fds,
		Sys:   sys,
	}
	fork := func() error {
		p.Pid, err = syscall.ForkExec("/proc/self/fd/"+strconv.Itoa(fdExe), []string{InitName}, attr)
		return err
	}
	if plan.pid != "" {
		err = inPidNS(plan.pid, fork)
	} else {
		err = fork()
	}
	if err != nil {
		return err
	}
	if pidfd >= 0 {
		p.PidFD = os.NewFile(uintptr(pidfd), "pidfd")
		return nil
	}
	p.PidFD, err = ns.PidfdOpen(p.Pid)
	return err
}

// inPidNS runs fork so that the child is in the pid namespace at path.
func inPidNS(path string, fork func() error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return ns.OnThread(func() error {
		if err := ns.Enter(f, unix.CLONE_NEWPID); err != nil {
			return fmt.Errorf("join pid namespace %s: %w", path, err)
		}
		return fork()
	})
}

func join(dir string, pid int) error {
	f, err := os.OpenFile(filepath.Join(dir, "cgroup.procs"), os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("join cgroup: %w", err)
	}
	defer f.Close()
	if _, err := f.WriteString(strconv.Itoa(pid)); err != nil {
		return fmt.Errorf("join cgroup: %w", err)
	}
	return nil
}

// created waits for the end of the set-up.
func (p *Process) created() error {
	for {
		kind, body, file, err := receive(p.control)
		if err != nil {
			return p.vanished(err)
		}
		switch kind {
		case frameConsole:
			p.Console = file
		case frameReady:
			var r ready
			if err := json.Unmarshal(body, &r); err != nil {
				return err
			}
			p.Warnings = r.Warnings
			return nil
		case frameFailed:
			var f failure
			if err := json.Unmarshal(body, &f); err != nil {
				return err
			}
			return fmt.Errorf("container init: %w", &f)
		default:
			return fmt.Errorf("container init: unexpected message %q", kind)
		}
	}
}

// vanished explains an end without a word.
func (p *Process) vanished(err error) error {
	if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("container init: %w", err)
	}
	var status syscall.WaitStatus
	pid := p.Pid
	p.Pid = 0
	if _, err := wait(pid, &status); err != nil {
		return errors.New("container init ended during set-up")
	}
	switch {
	case status.Signal() == syscall.SIGKILL:
		return errors.New("container init was killed during set-up (memory limit too low?)")
	case status.Signaled():
		return fmt.Errorf("container init ended during set-up: %s", status.Signal())
	default:
		return fmt.Errorf("container init ended during set-up with status %d", status.ExitStatus())
	}
}

func wait(pid int, status *syscall.WaitStatus) (int, error) {
	for {
		n, err := syscall.Wait4(pid, status, 0, nil)
		if err != syscall.EINTR {
			return n, err
		}
	}
}

// abandon undoes everything of a process that never got ready.
func (p *Process) abandon() {
	if p.Pid > 0 {
		syscall.Kill(p.Pid, syscall.SIGKILL) // our unreaped child: the number is still its own
		wait(p.Pid, nil)
	}
	for _, f := range []*os.File{p.control, p.PidFD, p.Console} {
		if f != nil {
			f.Close()
		}
	}
}

// Start lets the process execute its program, once. It returns nil when the
// program runs, and an *ExecError when it does not; the process then exits
// with the error's ExitCode and is to be waited for as ever.
func (p *Process) Start() error {
	if p.control == nil {
		return errors.New("process was started already")
	}
	defer func() {
		p.control.Close()
		p.control = nil
	}()
	if err := send(p.control, frameGo, struct{}{}, nil); err != nil {
		return fmt.Errorf("start process 1: it has ended: %w", err)
	}
	kind, body, _, err := receive(p.control)
	if errors.Is(err, io.EOF) {
		return nil // the socket is close-on-exec
	}
	if err != nil {
		return err
	}
	switch kind {
	case frameExecFail:
		var e execFailure
		if err := json.Unmarshal(body, &e); err != nil {
			return err
		}
		return (*ExecError)(&e)
	case frameFailed:
		var f failure
		if err := json.Unmarshal(body, &f); err != nil {
			return err
		}
		return fmt.Errorf("container init: %w", &f)
	default:
		return fmt.Errorf("container init: unexpected message %q", kind)
	}
}

// Close drops the descriptors that Spawn made. It does not touch the process,
// except one that was never started: that one ends.
func (p *Process) Close() error {
	var errs []error
	for _, f := range []*os.File{p.control, p.PidFD, p.Console} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	p.control, p.PidFD, p.Console = nil, nil, nil
	return errors.Join(errs...)
}
