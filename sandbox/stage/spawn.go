package stage

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/kernel/ns"
	"github.com/berth-engine/berth/kernel/task"
	"github.com/berth-engine/berth/kernel/timerslack"
	"github.com/berth-engine/berth/sandbox/hook"
)

// Names by which the berth-sandbox binary is called as init stage and as
// reaper (os.Args[0]). The third one is hook.Name.
const (
	InitName   = "berth-init"
	ReaperName = "berth-reap"
)

// Descriptors that the init stage finds.
const (
	fdControl = 3 + iota
	fdExe
	fdCommand // the reaper
)

// Prepare checks a Config and splits it into what the stage's parent has to
// know and the order for the stage, which is for a process of this very
// program. netns: a network namespace will be given. Errors are
// *NotImplementedError and *InvalidSpecError.
func Prepare(c *Config, netns bool) (*Plan, []byte, error) {
	n, err := validate(c, netns)
	if err != nil {
		return nil, nil, err
	}
	o := order{
		Config: *c, NetNS: netns, Join: n.join, MountNS: n.mount, CgroupNS: n.cgroup,
		NewNet: n.clone&unix.CLONE_NEWNET != 0, Notify: Notifies(c.Spec),
		LimitsFirst: limitsFirst(c.Spec),
	}
	o.HostMounts = n.hostMounts
	p := &Plan{HostMounts: n.hostMounts, Clone: uint64(n.clone), PidNS: n.pid, Terminal: c.Spec.Process.Terminal, Asks: asks(c.Spec)}
	if byParent(c.Spec) {
		p.Groups = c.CgroupDirs
	}
	takeOutside(&o, p, &n)
	return p, encode(o.describe), nil
}

// Usual is what to fork a stage with for which there is no plan yet. The other
// namespaces depend on the host's mounts of the moment, or are costly.
var Usual = Plan{Clone: unix.CLONE_NEWPID | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS}

// Fork makes an init stage, which waits for Begin. exe is the sealed memfd of
// this program. With group, a directory of the unified hierarchy, the stage
// starts in that group. preserve are for the program
// (Config.Preserve). On an error nothing is left.
func Fork(exe *os.File, plan *Plan, group *os.File, preserve ...*os.File) (_ *Process, err error) {
	ours, theirs, err := task.SocketPair()
	if err != nil {
		return nil, err
	}
	p := &Process{exe: exe, control: ours, cloned: plan.Clone, inGroup: group != nil}
	err = p.fork(exe, plan, group, theirs, preserve)
	theirs.Close()
	if err != nil {
		err = fmt.Errorf("clone process 1: %w", err)
	} else {
		p.StartTime, err = ns.ProcessStartTime(p.Pid)
	}
	if err != nil {
		p.Abandon()
		return nil, err
	}
	return p, nil
}

// MayFit tells whether it is worth forking a stage as Usual before there is a plan
// for spec: whether it can serve, Fits says.
func MayFit(spec *specs.Spec) bool {
	return slices.Contains(spec.Linux.Namespaces, specs.LinuxNamespace{Type: specs.PIDNamespace}) && !byParent(spec)
}

// Fits tells whether a stage that was forked as Usual can serve plan: what it
// was not cloned into it can still make, except a pid namespace.
func (p *Process) Fits(plan *Plan) bool {
	return plan.PidNS == "" && plan.Outside == "" && p.cloned&^plan.Clone == 0 && plan.Clone&^p.cloned&unix.CLONE_NEWPID == 0
}

// Begin puts the stage in its groups and gives it its order. The stage then
// works by itself; Created waits for it. On an error nothing is left.
func (p *Process) Begin(plan *Plan, f Files) error {
	err := p.begin(plan, f)
	if err != nil {
		p.Abandon()
	}
	return err
}

func (p *Process) begin(plan *Plan, f Files) error {
	p.asks = plan.Asks
	if err := joinAll(plan.Groups, p.Pid); err != nil {
		return err
	}
	files := []*os.File{f.Order, f.Rootfs}
	user := p.outside != nil && p.outside.User
	t := given(f.Sources)
	if user {
		defer p.dropUser()
		err := p.raiseLimits(p.outside.Limits)
		if err != nil {
			return err
		}
		if t, err = p.openTrees(plan, f.Sources); err != nil {
			return fmt.Errorf("container init: open mount sources: %w", err)
		}
		defer t.close()
	}
	if !plan.Terminal {
		streams, done, err := orNull(f.Stdin, f.Stdout, f.Stderr)
		if err != nil {
			return err
		}
		defer done()
		files = append(files, streams...)
		if user {
			if err := p.giveStreams(files[2:]); err != nil {
				return err
			}
		}
	}
	if f.NetNS != nil && !user {
		files = append(files, f.NetNS)
	}
	if f.Listen != nil {
		files = append(files, f.Listen)
	}
	st := start{Unshare: plan.Clone &^ p.cloned, InGroup: p.inGroup, Trees: len(t.list), Cgroups: t.cgroups}
	err := task.SendFiles(p.control, frame(frameOrder, st.describe), files)
	if errors.Is(err, syscall.EPIPE) {
		return nil // why it ended, Created says
	}
	if err != nil {
		return err
	}
	return t.send(p.control)
}

// stageEnv: one thread does all the work and the heap is never collected, since
// the stage lives for milliseconds.
var stageEnv = []string{"GOMAXPROCS=1", "GOGC=off"}

func (p *Process) fork(exe *os.File, plan *Plan, group, theirs *os.File, preserve []*os.File) error {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	files := append([]*os.File{null, null, null, theirs, exe}, preserve...)
	if plan.Outside != "" {
		return p.forkInto(exe, plan, group, files)
	}
	return p.clone(plan, group, files)
}

func (p *Process) clone(plan *Plan, group *os.File, files []*os.File) (err error) {
	pidfd := -1
	sys := &syscall.SysProcAttr{Cloneflags: uintptr(plan.Clone), Setsid: true, PidFD: &pidfd}
	if group != nil {
		sys.UseCgroupFD, sys.CgroupFD = true, int(group.Fd())
	}
	attr := &syscall.ProcAttr{Dir: "/", Env: stageEnv, Sys: sys}
	for _, f := range files {
		attr.Files = append(attr.Files, f.Fd())
	}
	fork := func() error {
		p.Pid, err = syscall.ForkExec("/proc/self/fd/"+strconv.Itoa(fdExe), []string{InitName}, attr)
		return err
	}
	if plan.PidNS != "" {
		err = inPidNS(plan.PidNS, fork)
	} else {
		err = timerslack.Fork(fork)
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
	f, err := ns.Open(path, unix.CLONE_NEWPID)
	if err != nil {
		return err
	}
	defer f.Close()
	return ns.OnThread(func() error {
		if err := ns.Enter(f, unix.CLONE_NEWPID); err != nil {
			return fmt.Errorf("join pid namespace %s: %w", path, err)
		}
		return timerslack.Fork(fork)
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

// Created returns when process 1 is set up and waits just before executing its
// program (the OCI state "created"). Meanwhile it runs prestart and
// createRuntime hooks. On an error nothing is left; if hooks were run by then,
// poststop hooks were, too.
func (p *Process) Created() error {
	if p.running {
		return nil
	}
	err := p.created()
	if err == nil {
		return nil
	}
	p.Abandon()
	return errors.Join(err, p.RunHooks(hook.Poststop))
}

func (p *Process) created() error {
	for {
		kind, body, file, err := receive(p.control)
		if err != nil {
			return p.vanished(err)
		}
		switch kind {
		case frameConsole:
			p.Console = file
		case frameAgent, frameDevices, frameHooks:
			if err := p.serve(kind, body, file); err != nil {
				return err
			}
		case frameReady:
			var r ready
			if err := decode(body, r.describe); err != nil {
				return err
			}
			p.Warnings = r.Warnings
			return nil
		case frameFailed:
			var f failure
			if err := decode(body, f.describe); err != nil {
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

// Abandon undoes everything of a process that was not started.
func (p *Process) Abandon() {
	if p.Pid > 0 {
		_ = syscall.Kill(p.Pid, syscall.SIGKILL) // our unreaped child: the number is still its own
		_, _ = wait(p.Pid, nil)
	}
	for _, f := range []*os.File{p.control, p.PidFD, p.Console, p.user} {
		if f != nil {
			f.Close()
		}
	}
	p.Pid, p.control, p.PidFD, p.Console, p.user = 0, nil, nil, nil, nil
}

// Start lets the process execute its program, once. It returns nil when the
// program runs, and an *ExecError when it does not; the process then exits
// with the error's ExitCode and is to be waited for as ever.
func (p *Process) Start() error {
	if p.running {
		return nil
	}
	if p.control == nil {
		return errors.New("process was started already")
	}
	defer func() {
		p.control.Close()
		p.control = nil
	}()
	return StartOver(p.control)
}

// StartOver is Process.Start over a connection to Files.Listen, for somebody
// who did not make the process.
func StartOver(control *os.File) error {
	if err := send(control, frameGo, nothing, nil); err != nil {
		return fmt.Errorf("start process 1: it has ended: %w", err)
	}
	kind, body, _, err := receive(control)
	if errors.Is(err, io.EOF) {
		return nil // the socket is close-on-exec
	}
	if err != nil {
		return err
	}
	switch kind {
	case frameExecFail:
		var e ExecError
		if err := decode(body, e.describe); err != nil {
			return err
		}
		return &e
	case frameFailed:
		var f failure
		if err := decode(body, f.describe); err != nil {
			return err
		}
		return fmt.Errorf("container init: %w", &f)
	default:
		return fmt.Errorf("container init: unexpected message %q", kind)
	}
}

// Close drops the descriptors of the process. It does not touch the process,
// except one that was never started: that one ends.
func (p *Process) Close() error {
	var errs []error
	for _, f := range []*os.File{p.control, p.PidFD, p.Console, p.user} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	p.control, p.PidFD, p.Console, p.user = nil, nil, nil, nil
	return errors.Join(errs...)
}
