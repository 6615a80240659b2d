package ns

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/kernel/timerslack"
)

// A SpawnSpec says what Spawn makes. Only Exe and Args, or Script, have to be
// set.
type SpawnSpec struct {
	// Exe is the program, best a SealedMemfd. It is executed by descriptor
	// (execveat with AT_EMPTY_PATH): no path is ever looked up, whatever file
	// system the process is in by then.
	Exe       *os.File
	Args, Env []string
	// Script, when set, is done instead of executing Exe. Twice and Empty are of
	// no use with it.
	Script *Script
	// Seal, when set, is Trampoline: the script is done by a program of its own in
	// sealed memory, and not by a copy of the caller, for callers whose program is
	// a file of the host's. ErrUnsupported where there is none for this processor.
	// Unshare, Twice and Root are of no use with it.
	Seal Sealer
	// Files are the process's descriptors 0 to n-1. It gets no others, except
	// for Empty.
	Files []*os.File
	// Join are entered in this order, before anything of Unshare is made.
	Join []JoinNS
	// Clone and Unshare are namespaces to make, CLONE_NEW… flags: by the clone
	// itself, and by the process after it has joined the others.
	Clone, Unshare uint64
	// Twice forks once more when all of that is done. The second process is the
	// one that counts, and the caller's child as well; it alone is in a pid
	// namespace that was joined or made by Unshare. So a pid namespace can
	// belong to a user namespace that was joined.
	Twice bool
	// Cgroup, a directory of cgroup v2, is where the process begins
	// (CLONE_INTO_CGROUP).
	Cgroup *os.File
	// Tasks are the paths of files "tasks" of cgroup v1: the process puts itself
	// into these groups first of all. A single thread that does so does not make
	// the kernel wait for all processors, as its parent would.
	Tasks []string
	// CPUs are the processors that the process may run on when it begins, before
	// it enters a group; they are the calling thread's own at the time of the
	// fork. None: those of the caller.
	CPUs *unix.CPUSet
	// Outside leaves the process out of a pid namespace that it joins: only its own
	// children are in there.
	Outside bool
	// Before, when set, is called with the process's number when it exists and
	// before it does anything: to write the mappings of a user namespace that
	// Clone makes. Its error ends the process.
	Before func(pid int) error
	// Setsid makes the process the leader of a session of its own.
	Setsid bool
	// Root makes it user 0 and group 0, without other groups, of the user
	// namespace that it joined or made.
	Root bool
	// Nofile is the limit of open files. Nil: the caller's, which Go has raised
	// for itself to what is allowed.
	Nofile *unix.Rlimit
	// Empty, when set, is a directory with nothing in it that is the process's
	// root when the program starts: what a language's runtime looks at first
	// (/proc/self, /sys) is then not what somebody put there who owns the
	// joined mount namespace. The root directory of that namespace comes along
	// as descriptor len(Files); the program goes there by itself (fchdir,
	// chroot), as soon as it is ready to be looked at.
	Empty *os.File
	// Base, with Empty, comes along in place of that root directory, for a
	// process that joins no mount namespace and is to see only a part of its own.
	Base *os.File
}

// JoinNS is a namespace to enter: a file of /proc/PID/ns, or a pidfd, of which
// Kind may be several CLONE_NEW… flags at once. Entering several by one pidfd
// is checked with the rights of before (setns(2)), so that namespaces of
// different owners can be entered together with a user namespace.
type JoinNS struct {
	File *os.File
	Kind int
}

// A SpawnError says which step of the new process went wrong.
type SpawnError struct {
	Step string
	Err  syscall.Errno
}

func (e *SpawnError) Error() string { return e.Step + ": " + e.Err.Error() }

func (e *SpawnError) Unwrap() error { return e.Err }

// Spawn starts a process in other namespaces, user and time namespaces
// included, which only a process of one thread can enter: a copy of the caller
// does it, by raw system calls, and then executes the program. The process is
// the caller's child, pid is its number as the caller sees it. When Spawn
// returns without error, the program has been executed; on an error nothing is
// left. Unless the process was killed on its way, which waiting for it tells.
func Spawn(s *SpawnSpec) (pid int, pidfd *os.File, err error) {
	pidNS, err := s.pidNamespace()
	if err != nil {
		return 0, nil, err
	}
	c, err := s.child()
	if err != nil {
		return 0, nil, fmt.Errorf("spawn: %w", err)
	}
	defer c.close()
	report, err := c.pipes(s.Before != nil)
	if err != nil {
		return 0, nil, fmt.Errorf("spawn: %w", err)
	}
	defer report.Close()
	if s.Twice || s.staysOutside() {
		pidNS = nil
	}
	if pidNS == nil && s.CPUs == nil {
		pid, err = s.fork(c)
	} else {
		pid, err = s.forkIn(c, pidNS)
	}
	c.closeTheirs()
	if err != nil {
		c.release(false)
		return 0, nil, fmt.Errorf("spawn: %w", err)
	}
	return s.outcome(c, pid, report)
}

// ownPidNS is where the children of this process are, if it says nothing else.
var ownPidNS = sync.OnceValues(func() (*os.File, error) { return os.Open("/proc/self/ns/pid") })

// forkIn is fork on a thread that goes where the process is to begin: to a pid
// namespace (nil: it stays), which concerns its children alone, and to some
// processors. It comes back; a thread that cannot ends.
func (s *SpawnSpec) forkIn(c *child, pidNS *os.File) (pid int, err error) {
	home, err := ownPidNS()
	if err != nil {
		return 0, err
	}
	forked := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		stays, err := true, error(nil)
		if s.CPUs != nil {
			stays = false
			err = os.NewSyscallError("sched_setaffinity", unix.SchedSetaffinity(0, s.CPUs))
		}
		if err == nil && pidNS != nil {
			if err = Enter(pidNS, unix.CLONE_NEWPID); err != nil {
				err = fmt.Errorf("join pid namespace: %w", err)
			}
		}
		if err == nil {
			pid, err = s.fork(c)
			stays = stays && Enter(home, unix.CLONE_NEWPID) == nil
		}
		if stays {
			runtime.UnlockOSThread()
		}
		forked <- err
	}()
	err = <-forked
	return pid, err
}

// pidNamespace returns what to enter the pid namespace by, if one is joined.
func (s *SpawnSpec) pidNamespace() (f *os.File, err error) {
	for _, j := range s.Join {
		if j.Kind&unix.CLONE_NEWPID == 0 {
			continue
		}
		if f != nil {
			return nil, errors.New("spawn: two pid namespaces to join")
		}
		f = j.File
	}
	return f, nil
}

func (s *SpawnSpec) fork(c *child) (int, error) {
	var pid int
	err := timerslack.Fork(func() error {
		var errno syscall.Errno
		if pid, errno = c.fork(); errno != 0 {
			return &SpawnError{"clone", errno}
		}
		return nil
	})
	runtime.KeepAlive(s)
	return pid, err
}

// outcome waits until the program is executed.
func (s *SpawnSpec) outcome(c *child, pid int, report *os.File) (_ int, _ *os.File, err error) {
	pidfd := os.NewFile(uintptr(c.pidfd), "pidfd")
	if s.Before != nil {
		err = s.Before(pid)
		c.release(err == nil)
	}
	second, told := 0, false
	if err == nil {
		second, told, err = reported(report)
	}
	if err == nil && !told && s.Script != nil && len(s.Script.tells) > 0 {
		err = ErrKilled
	}
	if err != nil {
		_ = PidfdSignal(pidfd, syscall.SIGKILL) // it may have ended
		reap(pid)
		if second > 0 {
			reap(second) // it has ended: it was it that reported
		}
		return 0, nil, errors.Join(fmt.Errorf("spawn: %w", err), pidfd.Close())
	}
	if !s.Twice {
		return pid, pidfd, nil
	}
	reap(pid)
	if err := pidfd.Close(); err != nil {
		return 0, nil, err
	}
	if second == 0 {
		return 0, nil, errors.New("spawn: the process was killed on its way")
	}
	if pidfd, err = PidfdOpen(second); err != nil {
		reap(second)
		return 0, nil, err
	}
	return second, pidfd, nil
}

// ErrKilled is that of a script's process which ended before Tell, as it does where
// a filter around the caller kills who makes one of its calls.
var ErrKilled = errors.New("the process was killed before it could execute its program")

// reported reads what the children report: an error, the number of the second
// one, and that they came as far as Tell. No error means that the program is
// executed.
func reported(report *os.File) (second int, told bool, err error) {
	for {
		var f failed
		b := unsafe.Slice((*byte)(unsafe.Pointer(&f)), unsafe.Sizeof(f))
		switch n, rerr := io.ReadFull(report, b); {
		case n == 0 && errors.Is(rerr, io.EOF):
			return second, told, err
		case rerr != nil:
			return second, told, rerr
		case f.step == stepSecond:
			second = int(f.errno)
		case f.step == stepTold:
			told = true
		case int(f.step) >= len(stepNames):
			return second, told, fmt.Errorf("the child reports step %d", f.step)
		default:
			err = &SpawnError{stepNames[f.step], syscall.Errno(f.errno)}
		}
	}
}

// held waits for the word of a child that holds namespaces.
func held(report *os.File) error {
	var f failed
	b := unsafe.Slice((*byte)(unsafe.Pointer(&f)), unsafe.Sizeof(f))
	if _, err := io.ReadFull(report, b); err != nil {
		return err
	}
	switch {
	case f.step == stepHeld:
		return nil
	case int(f.step) >= len(stepNames):
		return fmt.Errorf("the child reports step %d", f.step)
	}
	return &SpawnError{stepNames[f.step], syscall.Errno(f.errno)}
}

func reap(pid int) {
	for {
		if _, err := syscall.Wait4(pid, nil, 0, nil); err != syscall.EINTR {
			return
		}
	}
}

// child prepares all that the child needs, which cannot allocate.
func (s *SpawnSpec) child() (*child, error) {
	c := &child{
		clone: s.Clone | unix.CLONE_PIDFD, unshare: uintptr(s.Unshare), cgroup: -1, empty: -1, base: -1,
		exe: -1, script: s.Script, report: -1, wait: -1, leash: -1, setsid: s.Setsid, root: s.Root, twice: s.Twice, pidfd: -1,
	}
	var err error
	if s.Script != nil {
		if err := s.packScript(c); err != nil {
			return nil, err
		}
	} else {
		c.exe = int(s.Exe.Fd())
	}
	if c.argv, err = syscall.SlicePtrFromStrings(s.Args); err != nil {
		return nil, err
	}
	if c.envv, err = syscall.SlicePtrFromStrings(s.Env); err != nil {
		return nil, err
	}
	for i, f := range s.Files {
		if f == nil {
			return nil, fmt.Errorf("descriptor %d: %w", i, os.ErrInvalid)
		}
		c.files = append(c.files, int(f.Fd()))
	}
	for _, j := range s.Join {
		kind := j.Kind
		if !s.Twice && !s.staysOutside() {
			kind &^= unix.CLONE_NEWPID // the thread has
		}
		if kind != 0 {
			c.join = append(c.join, joinFD{int(j.File.Fd()), uintptr(kind)})
		}
	}
	for _, path := range s.Tasks {
		p, err := syscall.BytePtrFromString(path)
		if err != nil {
			return nil, err
		}
		c.tasks = append(c.tasks, p)
	}
	if s.Cgroup != nil {
		c.clone, c.cgroup = c.clone|unix.CLONE_INTO_CGROUP, int(s.Cgroup.Fd())
	}
	if s.Empty != nil {
		c.empty = int(s.Empty.Fd())
	}
	if s.Base != nil {
		c.base = int(s.Base.Fd())
	}
	c.nofile = s.Nofile
	if s.byTrampoline() {
		return c, s.Seal(s, c)
	}
	return c, nil
}

func (s *SpawnSpec) packScript(c *child) error {
	s.Script.tellBy(len(s.Files)) // closeOthers puts the report there
	if s.byTrampoline() {
		return s.Script.packSettings() // the rest is in the trampoline
	}
	return s.Script.pack()
}

// stepCall is a call of a trampoline before those of the script.
type stepCall struct {
	call
	step uint32
}

// A Sealer makes the program that does a script. It is a value so that programs
// without use for Trampoline do not carry it: berth-sandbox is to be small.
type Sealer func(*SpawnSpec, *child) error

// Trampoline is the one Sealer. What the child does by itself otherwise comes
// before the script: it has its streams, the report behind them, and what to join.
func Trampoline(s *SpawnSpec, c *child) (err error) {
	var kinds []uintptr
	for _, j := range c.join {
		kinds = append(kinds, j.kind)
	}
	first, err := s.Script.joining(c.kept(), kinds, s.Setsid)
	if err != nil {
		return err
	}
	if c.sealed, err = s.Script.trampoline(first, c.kept()); err != nil {
		return err
	}
	c.exe = int(c.sealed.Fd())
	// Where closeOthers puts it.
	if c.exePath, err = syscall.BytePtrFromString("/proc/self/fd/" + strconv.Itoa(c.kept()+1+len(c.join))); err != nil {
		return err
	}
	c.argv, err = syscall.SlicePtrFromStrings([]string{"trampoline"})
	return err
}

// joining are the calls of a trampoline before the script's own, where kept
// descriptors are the program's, the report is behind them, and then what to join.
func (s *Script) joining(kept int, kinds []uintptr, setsid bool) (first []stepCall, err error) {
	add := func(step, number uintptr, args ...any) {
		first = append(first, stepCall{*new(Script).do(number, args...), uint32(step)})
	}
	add(stepUndumpable, unix.SYS_PRCTL, unix.PR_SET_DUMPABLE, 0)
	for i, kind := range kinds {
		add(stepJoin, unix.SYS_SETNS, kept+1+i, kind)
	}
	all := ^uintptr(0) >> 32
	add(stepFiles, unix.SYS_CLOSE_RANGE, kept+1, all, 0)
	if setsid {
		add(stepSession, unix.SYS_SETSID)
	}
	root, err := s.arena.text("/")
	if err != nil {
		return nil, err
	}
	add(stepDirectory, unix.SYS_CHDIR, at(root))
	add(stepFiles, unix.SYS_CLOSE_RANGE, kept, all, unix.CLOSE_RANGE_CLOEXEC)
	return first, nil
}

// close drops the trampoline.
func (c *child) close() {
	if c.sealed != nil {
		c.sealed.Close()
	}
}

// pipes makes the pipe by which the child reports, and, if it is to wait, the
// one by which it is released.
func (c *child) pipes(wait bool) (report *os.File, err error) {
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		return nil, os.NewSyscallError("pipe2", err)
	}
	report, c.report = os.NewFile(uintptr(p[0]), "report"), p[1]
	if !wait {
		return report, nil
	}
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		c.closeTheirs()
		return nil, errors.Join(os.NewSyscallError("pipe2", err), report.Close())
	}
	c.wait, c.leash = p[0], p[1]
	return report, nil
}

// closeTheirs closes the child's ends.
func (c *child) closeTheirs() {
	_ = unix.Close(c.report)
	if c.wait >= 0 {
		_ = unix.Close(c.wait)
	}
}

// release lets a child that waits go on, or end.
func (c *child) release(goOn bool) {
	if c.leash < 0 {
		return
	}
	if goOn {
		_, _ = unix.Write(c.leash, []byte{1}) // a child that is gone says so by its report
	}
	_ = unix.Close(c.leash)
	c.leash = -1
}
