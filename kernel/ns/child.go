package ns

import (
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// child is a process between clone and execve. It is a copy of this one, with
// one thread, in which other threads may have held any lock: it must not
// allocate, not grow its stack, not call anything of the runtime. So it makes
// raw system calls only, on values that were made before.
//
// It does not share memory with its parent as a vfork would: in a user
// namespace of a container that memory could be looked at.
type child struct {
	clone   uint64
	unshare uintptr
	cgroup  int // descriptor or -1, as all of these
	exe     int
	report  int // where to report an error
	wait    int // what to wait for
	leash   int // the parent's end of wait
	empty   int
	base    int
	files   []int
	tasks   []*byte
	join    []joinFD
	argv    []*byte
	envv    []*byte
	setsid  bool
	root    bool
	twice   bool
	hold    bool         // report when the namespaces are there, and wait
	nofile  *unix.Rlimit // nil: as it is
	script  *Script      // what to do instead of executing exe, or nil
	sealed  *os.File     // the trampoline that does it, which is exe then, or nil
	given   bool         // exe is such a program, of somebody else's
	exePath *byte        // where the caller's procfs has that program, or nil
	pidfd   int32        // the kernel's answer to the parent
	failed  failed
}

const atCWD = ^uintptr(99) // AT_FDCWD

type joinFD struct {
	fd   int
	kind uintptr
}

// cloneArgs is struct clone_args (include/uapi/linux/sched.h, CLONE_ARGS_SIZE_VER2).
type cloneArgs struct {
	flags, pidFD, childTID, parentTID, exitSignal, stack, stackSize, tls, setTID, setTIDSize, cgroup uint64
}

// failed is what the child reports.
type failed struct {
	step  uint32
	errno uint32
}

// Steps of the child.
const (
	stepFiles = iota
	stepWait
	stepGroups
	stepJoin
	stepUnshare
	stepFork
	stepRoot
	stepSession
	stepDirectory
	stepLimit
	stepSettings
	stepScript
	stepExec
	stepUndumpable
	stepSecond // no error: the number of the second process
	stepHeld   // no error: the namespaces are there
	stepTold   // no error: Script.Tell
)

var stepNames = [...]string{
	stepFiles: "descriptors", stepWait: "wait", stepGroups: "join groups", stepJoin: "join namespaces", stepUnshare: "make namespaces",
	stepFork: "fork again", stepRoot: "become root", stepSession: "make a session", stepDirectory: "change root directory",
	stepLimit: "set limit of open files", stepSettings: "write settings", stepScript: "restrict", stepExec: "execveat",
	stepUndumpable: "become undumpable",
}

//go:linkname beforeFork syscall.runtime_BeforeFork
func beforeFork()

//go:linkname afterFork syscall.runtime_AfterFork
func afterFork()

//go:linkname afterForkInChild syscall.runtime_AfterForkInChild
func afterForkInChild()

var (
	slash = [...]byte{'/', 0}
	dot   = [...]byte{'.', 0}
	zero  = [...]byte{'0'}
	none  = [...]byte{0}
)

// fork returns in the parent; the child does not return.
//
//go:noinline
//go:norace
//go:nocheckptr
func (c *child) fork() (pid int, errno syscall.Errno) {
	var (
		id   uintptr
		args cloneArgs
	)
	args.flags, args.exitSignal = c.clone, uint64(unix.SIGCHLD)
	args.pidFD = uint64(uintptr(unsafe.Pointer(&c.pidfd)))
	if c.cgroup >= 0 {
		args.cgroup = uint64(c.cgroup)
	}
	// Some filters know only clone(2), which cannot do these.
	newer := c.clone&(unix.CLONE_INTO_CGROUP|unix.CLONE_NEWTIME) != 0

	// From here on nothing is allocated, and only assembly and functions
	// without stack check are called.
	beforeFork()
	if newer {
		id, _, errno = syscall.RawSyscall(unix.SYS_CLONE3, uintptr(unsafe.Pointer(&args)), unsafe.Sizeof(args), 0)
	} else {
		id, _, errno = syscall.RawSyscall6(unix.SYS_CLONE, uintptr(c.clone)|uintptr(unix.SIGCHLD), 0, uintptr(unsafe.Pointer(&c.pidfd)), 0, 0, 0)
	}
	if errno != 0 || id != 0 {
		afterFork()
		return int(id), errno
	}
	afterForkInChild()
	c.run()
	return 0, 0 // not reached
}

// run is the child.
//
//go:nosplit
//go:norace
//go:nocheckptr
func (c *child) run() {
	c.place()
	if !c.hold {
		c.await()
	}
	for i := range c.tasks {
		c.write(stepGroups, c.tasks[i], &zero[0], 1)
	}
	if c.script != nil {
		c.set()
		c.closeOthers()
	}
	if c.elsewhere() {
		c.limit()
		c.execute()
	}
	// Whoever lives in a namespace that is entered is not to look at this copy
	// of the caller. It ends with the execution.
	_, _, e := syscall.RawSyscall6(unix.SYS_PRCTL, unix.PR_SET_DUMPABLE, 0, 0, 0, 0, 0)
	c.check(stepUndumpable, e)
	for i := range c.join {
		_, _, e := syscall.RawSyscall(unix.SYS_SETNS, uintptr(c.join[i].fd), c.join[i].kind, 0)
		c.check(stepJoin, e)
	}
	if c.script != nil {
		c.closeFrom(c.kept() + 1)
	}
	if c.unshare != 0 {
		_, _, e := syscall.RawSyscall(unix.SYS_UNSHARE, c.unshare, 0, 0)
		c.check(stepUnshare, e)
	}
	if c.hold {
		c.stay()
	}
	if c.twice {
		c.again()
	}
	if c.root {
		_, _, e := syscall.RawSyscall(unix.SYS_SETGROUPS, 0, 0, 0)
		c.check(stepRoot, e)
		_, _, e = syscall.RawSyscall(unix.SYS_SETRESGID, 0, 0, 0)
		c.check(stepRoot, e)
		_, _, e = syscall.RawSyscall(unix.SYS_SETRESUID, 0, 0, 0)
		c.check(stepRoot, e)
	}
	if c.setsid {
		_, _, e := syscall.RawSyscall(unix.SYS_SETSID, 0, 0, 0)
		c.check(stepSession, e)
	}
	c.directory()
	// Whatever else is open ends with the execution.
	_, _, e = syscall.RawSyscall(unix.SYS_CLOSE_RANGE, uintptr(c.kept()), ^uintptr(0)>>32, unix.CLOSE_RANGE_CLOEXEC)
	c.check(stepFiles, e)
	c.limit()
	if c.script != nil {
		c.perform()
	}
	c.execute()
}

// limit sets the limit of open files.
//
//go:nosplit
//go:norace
//go:nocheckptr
func (c *child) limit() {
	if c.nofile == nil {
		return
	}
	_, _, e := syscall.RawSyscall6(unix.SYS_PRLIMIT64, 0, unix.RLIMIT_NOFILE, uintptr(unsafe.Pointer(c.nofile)), 0, 0, 0)
	c.check(stepLimit, e)
}

// elsewhere tells whether a program of its own does the script.
//
//go:nosplit
//go:norace
func (c *child) elsewhere() bool { return c.sealed != nil || c.given }

// execute executes the program.
//
//go:nosplit
//go:norace
//go:nocheckptr
func (c *child) execute() {
	_, _, e := syscall.RawSyscall6(unix.SYS_EXECVEAT, uintptr(c.exe), uintptr(unsafe.Pointer(&none[0])),
		uintptr(unsafe.Pointer(&c.argv[0])), uintptr(unsafe.Pointer(&c.envv[0])), unix.AT_EMPTY_PATH, 0)
	// Some filters know no execveat. While nothing is joined yet, the program has a
	// path, too, that nobody else has a hand in.
	if (e == syscall.EPERM || e == syscall.ENOSYS) && c.exePath != nil {
		_, _, e = syscall.RawSyscall(unix.SYS_EXECVE, uintptr(unsafe.Pointer(c.exePath)),
			uintptr(unsafe.Pointer(&c.argv[0])), uintptr(unsafe.Pointer(&c.envv[0])))
	}
	c.check(stepExec, e)
}

// stay says that all is done, waits until it is let go, and ends.
//
//go:nosplit
//go:norace
//go:nocheckptr
func (c *child) stay() {
	c.failed.step = stepHeld
	_, _, _ = syscall.RawSyscall(unix.SYS_WRITE, uintptr(c.report), uintptr(unsafe.Pointer(&c.failed)), unsafe.Sizeof(c.failed))
	c.await()
	c.check(stepWait, syscall.ECANCELED)
}

// again goes on as a second process. The first one tells its number and ends.
//
//go:nosplit
//go:norace
//go:nocheckptr
func (c *child) again() {
	id, _, e := syscall.RawSyscall6(unix.SYS_CLONE, unix.CLONE_PARENT|uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
	c.check(stepFork, e)
	if id != 0 {
		c.check(stepSecond, syscall.Errno(id))
	}
}

// kept is the first descriptor that the program does not get.
//
//go:nosplit
//go:norace
func (c *child) kept() int {
	n := len(c.files)
	if c.empty >= 0 {
		n++
	}
	return n
}

// place gives the descriptors their numbers. All are moved out of the way
// first.
//
//go:nosplit
//go:norace
func (c *child) place() {
	c.report = c.up(c.report)
	if c.exe >= 0 {
		c.exe = c.up(c.exe)
	}
	if c.wait >= 0 {
		c.wait = c.up(c.wait)
	}
	if c.leash >= 0 {
		_, _, _ = syscall.RawSyscall(unix.SYS_CLOSE, uintptr(c.leash), 0, 0) // else the parent's end would not be noticed
	}
	if c.empty >= 0 {
		c.empty = c.up(c.empty)
	}
	if c.base >= 0 {
		c.base = c.up(c.base)
	}
	for i := range c.join {
		c.join[i].fd = c.up(c.join[i].fd)
	}
	for i := range c.files {
		c.files[i] = c.up(c.files[i])
	}
	for i := range c.files {
		_, _, e := syscall.RawSyscall(unix.SYS_DUP3, uintptr(c.files[i]), uintptr(i), 0)
		c.check(stepFiles, e)
	}
}

// up duplicates a descriptor above those of the program, with room for
// closeOthers.
//
//go:nosplit
//go:norace
func (c *child) up(fd int) int {
	n, _, e := syscall.RawSyscall(unix.SYS_FCNTL, uintptr(fd), unix.F_DUPFD_CLOEXEC, uintptr(c.kept()+2+len(c.join)))
	c.check(stepFiles, e)
	return int(n)
}

// closeOthers closes all descriptors that are not needed any more. While a
// script is performed, there is nothing of the host's to be found in this
// process, not even by somebody who may trace it.
//
//go:nosplit
//go:norace
//go:nocheckptr
func (c *child) closeOthers() {
	onExec := uintptr(unix.O_CLOEXEC)
	if c.elsewhere() {
		onExec = 0 // the trampoline goes on with them
	}
	c.report = c.down(c.report, c.kept(), onExec)
	for i := range c.join {
		c.join[i].fd = c.down(c.join[i].fd, c.kept()+1+i, onExec)
	}
	last := c.kept() + 1 + len(c.join)
	if c.elsewhere() {
		c.exe = c.down(c.exe, last, unix.O_CLOEXEC)
		last++
	}
	c.closeFrom(last)
}

// write writes to a file of the caller's file system.
//
//go:nosplit
//go:norace
//go:nocheckptr
func (c *child) write(step uint32, path, value *byte, size uintptr) {
	fd, _, e := syscall.RawSyscall6(unix.SYS_OPENAT, atCWD, uintptr(unsafe.Pointer(path)), unix.O_WRONLY|unix.O_CLOEXEC, 0, 0, 0)
	c.check(step, e)
	_, _, e = syscall.RawSyscall(unix.SYS_WRITE, fd, uintptr(unsafe.Pointer(value)), size)
	c.check(step, e)
	_, _, _ = syscall.RawSyscall(unix.SYS_CLOSE, fd, 0, 0)
}

// down moves a descriptor that is above all that down is called with.
//
//go:nosplit
//go:norace
func (c *child) down(fd, to int, flags uintptr) int {
	_, _, e := syscall.RawSyscall(unix.SYS_DUP3, uintptr(fd), uintptr(to), flags)
	c.check(stepFiles, e)
	return to
}

// await waits for the parent's word.
//
//go:nosplit
//go:norace
//go:nocheckptr
func (c *child) await() {
	if c.wait < 0 {
		return
	}
	for {
		n, _, e := syscall.RawSyscall(unix.SYS_READ, uintptr(c.wait), uintptr(unsafe.Pointer(&c.failed)), 1)
		if e == syscall.EINTR {
			continue
		}
		c.check(stepWait, e)
		if n == 0 {
			c.check(stepWait, syscall.ECANCELED)
		}
		return
	}
}

// directory goes to the root directory, or to the empty one.
//
//go:nosplit
//go:norace
//go:nocheckptr
func (c *child) directory() {
	if c.empty < 0 {
		_, _, e := syscall.RawSyscall(unix.SYS_CHDIR, uintptr(unsafe.Pointer(&slash[0])), 0, 0)
		c.check(stepDirectory, e)
		return
	}
	fd := uintptr(c.base)
	if c.base < 0 {
		root, _, e := syscall.RawSyscall6(unix.SYS_OPENAT, atCWD, uintptr(unsafe.Pointer(&slash[0])), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0, 0, 0)
		c.check(stepDirectory, e)
		fd = uintptr(c.up(int(root))) // dup3 refuses equal numbers
	}
	_, _, e := syscall.RawSyscall(unix.SYS_FCHDIR, uintptr(c.empty), 0, 0)
	c.check(stepDirectory, e)
	_, _, e = syscall.RawSyscall(unix.SYS_CHROOT, uintptr(unsafe.Pointer(&dot[0])), 0, 0)
	c.check(stepDirectory, e)
	_, _, e = syscall.RawSyscall(unix.SYS_DUP3, fd, uintptr(len(c.files)), 0)
	c.check(stepDirectory, e)
}

// check ends the child with a report if e is an error.
//
//go:nosplit
//go:norace
//go:nocheckptr
func (c *child) check(step uint32, e syscall.Errno) {
	if e == 0 {
		return
	}
	c.failed.step, c.failed.errno = step, uint32(e)
	_, _, _ = syscall.RawSyscall(unix.SYS_WRITE, uintptr(c.report), uintptr(unsafe.Pointer(&c.failed)), unsafe.Sizeof(c.failed))
	for {
		_, _, _ = syscall.RawSyscall(unix.SYS_EXIT, 1, 0, 0)
		// A filter may forbid that. There is one more way to end.
		*(*byte)(nil) = 0
	}
}
