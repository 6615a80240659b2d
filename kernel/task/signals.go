package task

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// sigaction is the kernel's struct sigaction on amd64 and arm64
// (rt_sigaction(2)).
type sigaction struct {
	handler  uintptr
	flags    uint64
	restorer uintptr
	mask     uint64
}

const (
	sigIgnore = 1  // SIG_IGN
	lastRT    = 64 // SIGRTMAX
)

// DefaultSignals gives every signal that is ignored its default meaning back.
// What is ignored stays so over execve, so a program would inherit it from
// whoever started the engine: a shell's background job ignores SIGINT and
// SIGQUIT.
func DefaultSignals() error {
	ignored, err := IgnoredSignals()
	if err != nil {
		return err
	}
	for _, sig := range ignored {
		var wanted sigaction
		if _, _, e := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(&wanted)), 0, unsafe.Sizeof(wanted.mask), 0, 0); e != 0 {
			return os.NewSyscallError("rt_sigaction", e)
		}
	}
	return nil
}

// IgnoredSignals are those that the calling process ignores.
func IgnoredSignals() (ignored []int, err error) {
	for sig := 1; sig <= lastRT; sig++ {
		var was sigaction
		if _, _, e := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig), 0, uintptr(unsafe.Pointer(&was)), unsafe.Sizeof(was.mask), 0, 0); e != 0 {
			return nil, os.NewSyscallError("rt_sigaction", e)
		}
		if was.handler == sigIgnore {
			ignored = append(ignored, sig)
		}
	}
	return ignored, nil
}
