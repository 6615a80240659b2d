package ns

import (
	"encoding/binary"
	"fmt"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// serveControl is the descriptor at which a script that serves waits: the one
// behind the three that it is given.
const serveControl = 3

// ForkerName is what a process that serves a script is called.
const ForkerName = "berth-forker"

// cmsgHeader is struct cmsghdr with the one descriptor that it carries.
type cmsgHeader struct {
	size        uint64
	level, kind int32
	descriptor  int32
	_           int32
}

// served is what the process tells of a child that has ended.
type served struct{ pid, status, _ uint32 }

// Serve ends what the process does once, and lets it do the rest again and again,
// each time in a child of its own: it waits at its control socket, which is of
// type SOCK_SEQPACKET, for a message with a descriptor; forks; the child, with the
// descriptor as its output and error output, makes the calls that follow and
// executes the program; the process waits for its end and tells of it (Served).
// When the other end of the socket closes, it ends.
//
// The process is a program (Forker) that must be given three descriptors: its
// input, the control socket, and anything.
func (s *Script) Serve() {
	s.serves = true
	name := put(&s.arena, append([]byte(ForkerName), 0))
	s.prctl(unix.PR_SET_NAME, at(name))
	s.do(unix.SYS_DUP3, 1, serveControl, unix.O_CLOEXEC) // in the place of the report: Spawn returns
	s.do(unix.SYS_CLOSE, 1)
	s.do(unix.SYS_CLOSE, 2)
	s.loop = len(s.calls)
	a := &s.arena
	text := put(a, make([]byte, 8))
	vector := put(a, []unix.Iovec{{Len: 1}})
	a.point(vector, text)
	control := put(a, []cmsgHeader{{}})
	message := put(a, []unix.Msghdr{{Iovlen: 1, Controllen: uint64(unsafe.Sizeof(cmsgHeader{}))}})
	a.point(message+offset(unsafe.Offsetof(unix.Msghdr{}.Iov)), vector)
	a.point(message+offset(unsafe.Offsetof(unix.Msghdr{}.Control)), control)
	// The lowest descriptor that is free, 1, is what comes.
	s.do(unix.SYS_RECVMSG, serveControl, at(message), 0).check = checkSome
	told := put(a, []served{{}})
	status := told + offset(unsafe.Offsetof(served{}.status))
	s.do(unix.SYS_CLONE, unix.CLONE_PARENT_SETTID|int(unix.SIGCHLD), 0, at(told), 0, 0).check = checkForked
	s.do(unix.SYS_CLOSE, 1)
	s.do(unix.SYS_WAIT4, ^uintptr(0), at(status), 0, 0)
	s.do(unix.SYS_WRITE, serveControl, at(told), unsafe.Sizeof(served{})).check = checkAgain
	s.once = len(s.calls)
	s.do(unix.SYS_DUP3, 1, 2, 0)
	s.do(unix.SYS_SETSID)
}

// Forker makes the program of a script that serves, which joins the namespaces of
// kinds, CLONE_NEW… flags, of the pidfd that is the only one of SpawnSpec.Join.
// ErrUnsupported where there is none for this processor.
func (s *Script) Forker(kinds int) (*os.File, error) {
	first, err := s.joining(serveControl, []uintptr{uintptr(kinds)}, false)
	if err != nil {
		return nil, err
	}
	return s.trampoline(first, serveControl)
}

// Given is the Sealer for a program that Forker has made, maybe in another
// process. Of the Script, Settings is what is left to do.
func Given(program *os.File) Sealer {
	return func(_ *SpawnSpec, c *child) error {
		name, err := syscall.SlicePtrFromStrings([]string{ForkerName})
		c.argv = name
		c.exe, c.given = int(program.Fd()), true
		return err
	}
}

// Served reads a message of a process that serves: how a child ended, or, as a
// *SpawnError, why none could be made, or why it did not execute the program.
// After an error the process is of no more use.
func Served(message []byte) (pid int, status syscall.WaitStatus, err error) {
	switch uintptr(len(message)) {
	case unsafe.Sizeof(served{}):
		return int(binary.NativeEndian.Uint32(message)), syscall.WaitStatus(binary.NativeEndian.Uint32(message[4:])), nil
	case unsafe.Sizeof(failed{}):
		step, errno := binary.NativeEndian.Uint32(message), binary.NativeEndian.Uint32(message[4:])
		if int(step) < len(stepNames) {
			return 0, 0, &SpawnError{stepNames[step], syscall.Errno(errno)}
		}
	}
	return 0, 0, fmt.Errorf("a process that forks others tells %d bytes", len(message))
}
