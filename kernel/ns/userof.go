package ns

import (
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// UserOf opens the user namespace that owns the namespace f (ioctl_ns(2)).
func UserOf(f *os.File) (*os.File, error) {
	fd, err := unix.IoctlRetInt(int(f.Fd()), unix.NS_GET_USERNS)
	runtime.KeepAlive(f)
	if err != nil {
		return nil, os.NewSyscallError("ioctl NS_GET_USERNS", err)
	}
	unix.CloseOnExec(fd)
	return os.NewFile(uintptr(fd), "user namespace"), nil
}
