package task

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// SetUser sets groups, gid and uid (real, effective, saved) of the calling
// thread, in this order.
func SetUser(uid, gid uint32, groups []uint32) error {
	var first unsafe.Pointer
	if len(groups) > 0 {
		first = unsafe.Pointer(&groups[0])
	}
	if _, _, e := unix.RawSyscall(unix.SYS_SETGROUPS, uintptr(len(groups)), uintptr(first), 0); e != 0 {
		return os.NewSyscallError("setgroups", e)
	}
	if _, _, e := unix.RawSyscall(unix.SYS_SETRESGID, uintptr(gid), uintptr(gid), uintptr(gid)); e != 0 {
		return os.NewSyscallError("setresgid", e)
	}
	if _, _, e := unix.RawSyscall(unix.SYS_SETRESUID, uintptr(uid), uintptr(uid), uintptr(uid)); e != 0 {
		return os.NewSyscallError("setresuid", e)
	}
	return nil
}

// NoNewPrivs makes set-uid bits and file capabilities powerless from now on.
func NoNewPrivs() error {
	return os.NewSyscallError("no_new_privs", unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
}

// Undumpable forbids other processes to trace the calling process and to look
// into its /proc directory, until it executes a program.
func Undumpable() error {
	return os.NewSyscallError("prctl", unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0))
}

// LoadSeccomp installs a classic BPF program (an array of struct sock_filter
// in the machine's byte order) on the calling thread. flags are
// SECCOMP_FILTER_FLAG_… bits. Without NoNewPrivs it needs CAP_SYS_ADMIN.
func LoadSeccomp(program []byte, flags uintptr) error {
	_, err := loadSeccomp(program, flags)
	return err
}

// LoadNotifier installs a filter that has somebody else answer system calls
// (SECCOMP_RET_USER_NOTIF), and sends message over socket, which must block, and
// with it the descriptor on which that one listens. The thread makes no other
// system call than seccomp and sendmsg.
func LoadNotifier(program []byte, flags uintptr, socket *os.File, message []byte) error {
	to := int(socket.Fd())
	defer runtime.KeepAlive(socket)
	fd, err := loadSeccomp(program, flags|unix.SECCOMP_FILTER_FLAG_NEW_LISTENER)
	if err != nil {
		return err
	}
	rights := unix.UnixRights(fd)
	for len(message) > 0 {
		n, err := unix.SendmsgN(to, message, rights, nil, unix.MSG_NOSIGNAL)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return os.NewSyscallError("send the seccomp listener", err)
		}
		message, rights = message[n:], nil
	}
	return nil
}

func loadSeccomp(program []byte, flags uintptr) (int, error) {
	const size = int(unsafe.Sizeof(unix.SockFilter{}))
	if len(program) == 0 || len(program)%size != 0 || len(program)/size > 0xffff {
		return 0, fmt.Errorf("seccomp program of %d bytes", len(program))
	}
	filter := make([]unix.SockFilter, len(program)/size) // aligned
	copy(unsafe.Slice((*byte)(unsafe.Pointer(&filter[0])), len(program)), program)
	fprog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	fd, _, e := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&fprog)))
	runtime.KeepAlive(filter)
	if e != 0 {
		return 0, os.NewSyscallError("seccomp", e)
	}
	return int(fd), nil
}

// RaiseLimit lets the hard limit of a resource of a process (0: the calling one) be at
// least hard, and returns how much of that it may be: less where raising is not allowed
// (CAP_SYS_RESOURCE of the initial user namespace is needed, prlimit(2)). The soft limit
// stays.
func RaiseLimit(pid, resource int, hard uint64) (most uint64, err error) {
	var now unix.Rlimit
	err = unix.Prlimit(pid, resource, nil, &now)
	if err != nil || hard <= now.Max {
		return hard, err
	}
	err = unix.Prlimit(pid, resource, &unix.Rlimit{Cur: now.Cur, Max: hard}, nil)
	if err == unix.EPERM { //nolint:errorlint // it is the number
		return now.Max, nil
	}
	return hard, err
}

// CloseOnExec marks all descriptors from first on.
func CloseOnExec(first uint) error {
	return os.NewSyscallError("close_range", unix.CloseRange(first, ^uint(0)>>32, unix.CLOSE_RANGE_CLOEXEC))
}

// NewSessionKeyring leaves the keys of whoever started the process behind.
// Kernels without keys, and filters around us that refuse, are no error: then
// there is nothing to inherit.
func NewSessionKeyring() error {
	_, _, e := unix.RawSyscall(unix.SYS_KEYCTL, unix.KEYCTL_JOIN_SESSION_KEYRING, 0, 0)
	if e != 0 && e != unix.ENOSYS && e != unix.EPERM {
		return os.NewSyscallError("new session keyring", e)
	}
	return nil
}

// Personality sets the execution domain (PER_LINUX32: uname says i686).
func Personality(domain uint64) error {
	_, _, e := unix.RawSyscall(unix.SYS_PERSONALITY, uintptr(domain), 0, 0)
	if e != 0 {
		return os.NewSyscallError("personality", e)
	}
	return nil
}

// Exec replaces the process by the program in the file f, which may be a
// memfd. It returns only on failure.
func Exec(f *os.File, argv, envv []string) error {
	args, err := pointers(argv)
	if err != nil {
		return err
	}
	env, err := pointers(envv)
	if err != nil {
		return err
	}
	empty := [1]byte{}
	_, _, e := unix.RawSyscall6(unix.SYS_EXECVEAT, f.Fd(), uintptr(unsafe.Pointer(&empty)),
		uintptr(unsafe.Pointer(&args[0])), uintptr(unsafe.Pointer(&env[0])), unix.AT_EMPTY_PATH, 0)
	runtime.KeepAlive(args)
	runtime.KeepAlive(env)
	return os.NewSyscallError("execveat", e)
}

func pointers(list []string) ([]*byte, error) {
	out := make([]*byte, 0, len(list)+1)
	for _, s := range list {
		p, err := unix.BytePtrFromString(s)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return append(out, nil), nil
}

// ErrOutside says that the working directory is not below the root directory.
var ErrOutside = errors.New("the working directory is outside of the root directory")

// WorkingDirInRoot fails if the working directory cannot be reached from the
// process's root directory: somebody led chdir through a descriptor of the
// host (CVE-2024-21626). It asks the kernel itself, since os.Getwd may answer
// from $PWD.
func WorkingDirInRoot() error {
	buf := make([]byte, unix.PathMax)
	n, err := unix.Getcwd(buf)
	if errors.Is(err, unix.ENOENT) {
		return ErrOutside
	}
	if err != nil {
		return os.NewSyscallError("getcwd", err)
	}
	if !strings.HasPrefix(string(buf[:n]), "/") { // "(unreachable)/…"
		return ErrOutside
	}
	return nil
}

// SetName sets what ps shows as the calling thread's name, at most 15 bytes.
func SetName(name string) error {
	b, err := unix.BytePtrFromString(name)
	if err != nil {
		return err
	}
	err = unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(b)), 0, 0, 0)
	runtime.KeepAlive(b)
	return os.NewSyscallError("prctl", err)
}

// Subreaper makes orphans among the calling process's descendants its
// children, as they are anyway for process 1 of a pid namespace.
func Subreaper() error {
	return os.NewSyscallError("prctl", unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))
}

// Inherit makes descriptor to a copy of f that survives the execution of a
// program.
func Inherit(f *os.File, to int) error {
	defer runtime.KeepAlive(f)
	if int(f.Fd()) == to {
		_, err := unix.FcntlInt(f.Fd(), unix.F_SETFD, 0)
		return os.NewSyscallError("fcntl", err)
	}
	return Copy(int(f.Fd()), to)
}

// Copy makes descriptor to a copy of from that survives the execution of a
// program.
func Copy(from, to int) error {
	return os.NewSyscallError("dup3", unix.Dup3(from, to, 0))
}
