package ns

import (
	"errors"
	"fmt"
	"slices"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A Script is what the process that Spawn forks does instead of executing
// SpawnSpec.Exe: it restricts itself, and executes a program of the namespaces
// that it has joined. No program of ours runs in between, which is most of what
// a further process of a container costs.
//
// The process is a copy of the caller, which /proc/PID/exe shows: use it only
// where that is a SealedMemfd. The first call that fails ends the process, and
// Spawn returns a *SpawnError. Then nothing was executed.
type Script struct {
	// Settings are written before anything else, as the caller sees the files.
	Settings []Setting
	// Program are the places where the program may be. It is the first one that
	// the process, as it is when Find's turn comes, may execute.
	Program   []string
	Args, Env []string

	calls []call
	arena arena
	cwd   offset // of the buffer for the working directory
	tells []int  // which calls write to the parent

	serves     bool // Serve
	loop, once int  // where in calls the loop begins, and where it ends

	// Made by pack, for this process's own copy.
	data     []byte
	packed   []call
	settings []setting
	program  []*byte
	found    *byte
	argv     []*byte
	envv     []*byte
}

// A Setting is a value and the file that it is written to.
type Setting struct{ Path, Value string }

type setting struct {
	path, value *byte
	size        uintptr
}

// call is a system call of the child, or Find.
type call struct {
	number uintptr
	args   [5]uintptr
	points uint8            // bit n: args[n] is an offset in the arena
	pardon [2]syscall.Errno // errors that are none
	check  uint8            // what follows
}

const (
	checkNothing = iota
	checkInside  // Script.cwd, the first argument, begins with a slash
	findProgram  // instead of a call
	// In a trampoline only:
	checkForked // the child goes on with the calls behind the loop
	checkAgain  // the loop begins anew
	checkSome   // the result is not 0, or the process ends
)

// at is an argument that points into the arena.
type at offset

// do adds a call. An argument is a number or an at.
func (s *Script) do(number uintptr, args ...any) *call {
	c := call{number: number}
	for i, a := range args {
		switch a := a.(type) {
		case at:
			c.args[i], c.points = uintptr(a), c.points|1<<i
		case int:
			c.args[i] = uintptr(a)
		case uint32:
			c.args[i] = uintptr(a)
		case uintptr:
			c.args[i] = a
		default:
			panic(fmt.Sprintf("argument %d of call %d: %T", i, number, a))
		}
	}
	s.calls = append(s.calls, c)
	return &s.calls[len(s.calls)-1]
}

func (s *Script) prctl(args ...any) { s.do(unix.SYS_PRCTL, args...) }

// Undumpable is task.Undumpable. Whoever changes its user is to say it again.
func (s *Script) Undumpable() { s.prctl(unix.PR_SET_DUMPABLE, 0) }

// sigaction is the kernel's struct sigaction (rt_sigaction(2)).
type sigaction struct {
	handler        uintptr
	flags          uint64
	restorer, mask uintptr
}

// AllProcessors is task.ResetAffinity; mask is task.Everywhere. That it is not
// allowed is no error.
func (s *Script) AllProcessors(mask []uint64) {
	s.do(unix.SYS_SCHED_SETAFFINITY, 0, 8*len(mask), at(put(&s.arena, mask))).pardon = [2]syscall.Errno{unix.EPERM, unix.ENOSYS}
}

// DefaultSignals gives signals their default meaning back; those that are not
// ignored get it by the execution.
func (s *Script) DefaultSignals(ignored []int) {
	if len(ignored) == 0 {
		return
	}
	usual := put(&s.arena, []sigaction{{}})
	for _, sig := range ignored {
		s.do(unix.SYS_RT_SIGACTION, sig, at(usual), 0, unsafe.Sizeof(sigaction{}.mask))
	}
}

// NewSessionKeyring is task.NewSessionKeyring.
func (s *Script) NewSessionKeyring() {
	s.do(unix.SYS_KEYCTL, unix.KEYCTL_JOIN_SESSION_KEYRING).pardon = [2]syscall.Errno{unix.ENOSYS, unix.EPERM}
}

// SetLimit sets a resource limit; that a part of it is not allowed is an error.
func (s *Script) SetLimit(resource int, soft, hard uint64) {
	s.do(unix.SYS_PRLIMIT64, 0, resource, at(put(&s.arena, []unix.Rlimit{{Cur: soft, Max: hard}})))
}

// Umask sets the mask of the modes of new files.
func (s *Script) Umask(mask uint32) { s.do(unix.SYS_UMASK, mask) }

// Chdir goes to a working directory.
func (s *Script) Chdir(dir string) error {
	text, err := s.arena.text(dir)
	if err != nil {
		return err
	}
	s.do(unix.SYS_CHDIR, at(text))
	return nil
}

// WorkingDirInRoot is task.WorkingDirInRoot.
func (s *Script) WorkingDirInRoot() {
	s.cwd = put(&s.arena, make([]byte, unix.PathMax))
	s.do(unix.SYS_GETCWD, at(s.cwd), unix.PathMax).check = checkInside
}

// NoNewPrivs is task.NoNewPrivs.
func (s *Script) NoNewPrivs() { s.prctl(unix.PR_SET_NO_NEW_PRIVS, 1) }

// LoadSeccomp is task.LoadSeccomp.
func (s *Script) LoadSeccomp(program []byte, flags uintptr) error {
	const size = int(unsafe.Sizeof(unix.SockFilter{}))
	if len(program) == 0 || len(program)%size != 0 || len(program)/size > 0xffff {
		return fmt.Errorf("seccomp program of %d bytes", len(program))
	}
	filter := put(&s.arena, program)
	f := put(&s.arena, []unix.SockFprog{{Len: uint16(len(program) / size)}})
	s.arena.point(f+offset(unsafe.Offsetof(unix.SockFprog{}.Filter)), filter)
	s.do(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, at(f))
	return nil
}

// DropBounding takes capabilities, bit n for number n, out of the bounding set.
func (s *Script) DropBounding(set uint64) {
	for n := range 64 {
		if set&(1<<n) != 0 {
			s.prctl(unix.PR_CAPBSET_DROP, n)
		}
	}
}

// SetUser is task.SetUser, with the permitted capabilities kept.
func (s *Script) SetUser(uid, gid uint32, groups []uint32) {
	s.prctl(unix.PR_SET_KEEPCAPS, 1)
	if len(groups) > 0 {
		s.do(unix.SYS_SETGROUPS, len(groups), at(put(&s.arena, groups)))
	} else {
		s.do(unix.SYS_SETGROUPS, 0, 0)
	}
	s.do(unix.SYS_SETRESGID, gid, gid, gid)
	s.do(unix.SYS_SETRESUID, uid, uid, uid)
	s.prctl(unix.PR_SET_KEEPCAPS, 0)
}

// SetCaps is task.SetCaps and task.SetAmbient.
func (s *Script) SetCaps(effective, permitted, inheritable, ambient uint64) {
	header := put(&s.arena, []unix.CapUserHeader{{Version: unix.LINUX_CAPABILITY_VERSION_3}})
	data := make([]unix.CapUserData, 2)
	for i := range data {
		data[i] = unix.CapUserData{
			Effective: uint32(effective >> (32 * i)), Permitted: uint32(permitted >> (32 * i)), Inheritable: uint32(inheritable >> (32 * i)),
		}
	}
	s.do(unix.SYS_CAPSET, at(header), at(put(&s.arena, data)))
	s.prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL)
	for n := range 64 {
		if ambient&(1<<n) != 0 {
			s.prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, n)
		}
	}
}

// Tell has the parent know that all calls until here were made: a process that
// is killed before it, by a filter that was there already, was no execution of
// the program (Spawn returns ErrKilled). It belongs before a filter is loaded,
// which may forbid it.
func (s *Script) Tell() {
	s.do(unix.SYS_WRITE, 0, at(put(&s.arena, []failed{{step: stepTold}})), unsafe.Sizeof(failed{}))
	s.tells = append(s.tells, len(s.calls)-1)
}

// tellBy has those calls write to a descriptor.
func (s *Script) tellBy(report int) {
	for _, i := range s.tells {
		s.calls[i].args[0] = uintptr(report)
	}
}

// Find looks for the program, with the rights of this moment.
func (s *Script) Find() { s.do(0).check = findProgram }

// pack prepares what the child needs, if it is a copy of this process.
func (s *Script) pack() (err error) {
	if len(s.Program) == 0 {
		return errors.New("no program")
	}
	if err := s.packSettings(); err != nil {
		return err
	}
	if s.argv, err = syscall.SlicePtrFromStrings(s.Args); err != nil {
		return err
	}
	if s.envv, err = syscall.SlicePtrFromStrings(s.Env); err != nil {
		return err
	}
	if s.program, err = syscall.SlicePtrFromStrings(s.Program); err != nil {
		return err
	}
	// Go moves nothing on the heap: the addresses stay what they are.
	s.data = s.arena.copy()
	base := uintptr(unsafe.Pointer(unsafe.SliceData(s.data)))
	s.arena.relocate(s.data, base)
	s.packed = s.relocated(base)
	return nil
}

// relocated are the calls with the arena at base.
func (s *Script) relocated(base uintptr) []call {
	calls := slices.Clone(s.calls)
	for i := range calls {
		c := &calls[i]
		for n := range c.args {
			if c.points&(1<<n) != 0 {
				c.args[n] += base
			}
		}
	}
	return calls
}

func (s *Script) packSettings() error {
	s.settings = nil
	for _, t := range s.Settings {
		path, err := syscall.BytePtrFromString(t.Path)
		if err != nil {
			return err
		}
		value := append([]byte(t.Value), 0)
		s.settings = append(s.settings, setting{path, &value[0], uintptr(len(t.Value))})
	}
	return nil
}

// perform is the child's end as ours.
//
//go:nosplit
//go:norace
//go:nocheckptr
func (c *child) perform() {
	s := c.script
	for i := range s.packed {
		k := &s.packed[i]
		if k.check == findProgram {
			c.find()
			continue
		}
		_, _, e := syscall.RawSyscall6(k.number, k.args[0], k.args[1], k.args[2], k.args[3], k.args[4], 0)
		if e != 0 && e != k.pardon[0] && e != k.pardon[1] {
			c.check(stepScript, e)
		}
		if k.check == checkInside && *(*byte)(unsafe.Add(unsafe.Pointer(unsafe.SliceData(s.data)), s.cwd)) != '/' { // "(unreachable)/…"
			c.check(stepScript, syscall.EXDEV)
		}
	}
	_, _, e := syscall.RawSyscall(unix.SYS_EXECVE, uintptr(unsafe.Pointer(s.found)), uintptr(unsafe.Pointer(&s.argv[0])), uintptr(unsafe.Pointer(&s.envv[0])))
	c.check(stepExec, e)
}

// find looks for the program.
//
//go:nosplit
//go:norace
//go:nocheckptr
func (c *child) find() {
	s := c.script
	for i := range s.program {
		if s.program[i] == nil {
			c.check(stepScript, syscall.ENOENT)
		}
		_, _, e := syscall.RawSyscall6(unix.SYS_FACCESSAT2, atCWD, uintptr(unsafe.Pointer(s.program[i])), unix.X_OK, unix.AT_EACCESS, 0, 0)
		switch e {
		case 0:
			s.found = s.program[i]
			return
		case syscall.ENOSYS, syscall.EPERM: // a filter: who knows
			c.check(stepScript, e)
		}
	}
}

// set writes the settings. Nothing of a container can have a hand in that yet.
//
//go:nosplit
//go:norace
//go:nocheckptr
func (c *child) set() {
	for i := range c.script.settings {
		t := &c.script.settings[i]
		c.write(stepSettings, t.path, t.value, t.size)
	}
}
