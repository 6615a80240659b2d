package ns

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// An IDMap says that Size user or group ids from Inside on, in a user
// namespace, are those from Outside on in its parent (user_namespaces(7)).
type IDMap struct{ Inside, Outside, Size uint32 }

// NewUserNS makes a user namespace with these mappings. It lives as long as a
// process, a mount or a descriptor refers to it. It needs CAP_SETUID and
// CAP_SETGID, and the host's procfs at /proc.
func NewUserNS(uids, gids []IDMap) (*os.File, error) {
	var gate [2]int
	if err := unix.Pipe2(gate[:], unix.O_CLOEXEC); err != nil {
		return nil, os.NewSyscallError("pipe", err)
	}
	runtime.LockOSThread()
	pidfd, pid, errno := forkInUserNS(gate[0], gate[1])
	runtime.UnlockOSThread()
	defer unix.Close(gate[0])
	if errno != 0 {
		unix.Close(gate[1])
		return nil, os.NewSyscallError("clone into a user namespace", errno)
	}
	handle := os.NewFile(uintptr(pidfd), "pidfd")
	defer handle.Close()
	defer reap(pid)
	defer unix.Close(gate[1]) // lets the child end
	seen, err := pidInProc(handle)
	if err != nil {
		return nil, err
	}
	dir := "/proc/" + strconv.Itoa(seen)
	if err := WriteIDMaps(dir, uids, gids); err != nil {
		return nil, err
	}
	return os.Open(dir + "/ns/user")
}

// WriteIDMaps gives the user namespace of the process whose procfs directory
// dir is its mappings, once.
func WriteIDMaps(dir string, uids, gids []IDMap) error {
	for _, m := range []struct {
		file string
		ids  []IDMap
	}{{"uid_map", uids}, {"gid_map", gids}} {
		// The kernel wants all of it in one write.
		var text []byte
		for _, id := range m.ids {
			for _, n := range []uint32{id.Inside, id.Outside, id.Size} {
				text = append(strconv.AppendUint(text, uint64(n), 10), ' ')
			}
			text[len(text)-1] = '\n'
		}
		if err := writeOnce(dir+"/"+m.file, text); err != nil {
			return fmt.Errorf("map ids %q: %w", text, err)
		}
	}
	return nil
}

func writeOnce(path string, text []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

// pidInProc returns the number of a process as the procfs at /proc counts,
// which may be that of an outer pid namespace.
func pidInProc(pidfd *os.File) (int, error) {
	info, err := os.ReadFile("/proc/self/fdinfo/" + strconv.Itoa(int(pidfd.Fd())))
	if err != nil {
		return 0, err
	}
	for line := range bytes.Lines(info) {
		if value, ok := bytes.CutPrefix(line, []byte("Pid:")); ok {
			pid, err := strconv.Atoi(string(bytes.TrimSpace(value)))
			if err == nil && pid <= 0 {
				err = unix.ESRCH
			}
			return pid, err
		}
	}
	return 0, fmt.Errorf("/proc does not know the process: %w", unix.ESRCH)
}

func reap(pid int) {
	for {
		if _, err := unix.Wait4(pid, nil, 0, nil); err != unix.EINTR { //nolint:errorlint // a bare errno
			return
		}
	}
}

// forkInUserNS makes a child that is good for nothing but its user namespace.
// It waits until the parent closes the gate or ends. It is a copy of this
// process with one thread and no Go runtime: nothing but raw system calls.
//
//go:norace
//go:noinline
func forkInUserNS(gateOut, gateIn int) (pidfd, pid int, errno syscall.Errno) {
	fd := int32(-1)
	var b [1]byte
	beforeFork()
	r, _, e := syscall.RawSyscall6(syscall.SYS_CLONE, uintptr(unix.CLONE_NEWUSER|unix.CLONE_PIDFD)|uintptr(syscall.SIGCHLD),
		0, uintptr(unsafe.Pointer(&fd)), 0, 0, 0)
	if e != 0 || r != 0 {
		afterFork()
		return int(fd), int(r), e
	}
	afterForkInChild()
	syscall.RawSyscall(syscall.SYS_CLOSE, uintptr(gateIn), 0, 0)
	syscall.RawSyscall(syscall.SYS_READ, uintptr(gateOut), uintptr(unsafe.Pointer(&b)), 1)
	for {
		syscall.RawSyscall(syscall.SYS_EXIT_GROUP, 0, 0, 0)
	}
}

// What syscall.ForkExec calls around a fork.

//go:linkname beforeFork syscall.runtime_BeforeFork
func beforeFork()

//go:linkname afterFork syscall.runtime_AfterFork
func afterFork()

//go:linkname afterForkInChild syscall.runtime_AfterForkInChild
func afterForkInChild()
