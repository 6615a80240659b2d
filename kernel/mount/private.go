package mount

import (
	"os"

	"golang.org/x/sys/unix"
)

// PrivateAt cuts the one mount that the directory dir lies on off from its peers
// elsewhere: what is mounted on it is seen in the calling thread's mount
// namespace alone, which should be one of its own.
func PrivateAt(dir string) error {
	at, err := os.OpenFile(dir, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	for {
		var st unix.Statx_t
		if err := unix.Statx(int(at.Fd()), "", unix.AT_EMPTY_PATH, 0, &st); err != nil {
			at.Close()
			return os.NewSyscallError("statx", err)
		}
		if st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0 {
			break
		}
		// Up to the mount's root. The root directory of all is one.
		up, err := unix.Openat(int(at.Fd()), "..", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		at.Close()
		if err != nil {
			return &os.PathError{Op: "open", Path: dir, Err: err}
		}
		at = os.NewFile(uintptr(up), dir)
	}
	defer at.Close()
	return SetAttr(at, Attr{Propagation: unix.MS_PRIVATE})
}
