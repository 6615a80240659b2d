package mount

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// Within runs fn on a thread of its own that is in the view's mount namespace,
// where mounts may be placed below Root. Paths are the container's there: fn
// must use descriptors.
func (v *View) Within(fn func() error) error { return inside(v.ns, fn) }

// Unmount takes off what is mounted at path, with all that is mounted in it;
// files that processes have open there stay usable. Links on the way are
// followed inside the view. The error is os.ErrNotExist if nothing is mounted
// there.
func (v *View) Unmount(path string) error {
	at, err := OpenInRoot(v.Root, path, unix.O_PATH, 0)
	if err != nil {
		return err
	}
	defer at.Close()
	mounted, err := isMountRoot(at)
	if err != nil || !mounted {
		return errors.Join(err, &os.PathError{Op: "unmount", Path: path, Err: os.ErrNotExist})
	}
	// umount2(2) wants a path. The one that cannot lead elsewhere is that of the
	// descriptor, in the host's procfs: the container's may be anything.
	fds, err := os.OpenFile("/proc/self/fd", unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer fds.Close()
	return v.Within(func() error {
		if err := fds.Chdir(); err != nil { // the thread's own
			return err
		}
		err := unix.Unmount(strconv.Itoa(int(at.Fd())), unix.MNT_DETACH)
		runtime.KeepAlive(at)
		if err != nil {
			return fmt.Errorf("unmount %s: %w", path, err)
		}
		return nil
	})
}

// Mounted tells whether something is mounted at path in the view.
func (v *View) Mounted(path string) (bool, error) {
	at, err := OpenInRoot(v.Root, path, unix.O_PATH, 0)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer at.Close()
	return isMountRoot(at)
}

func isMountRoot(f *os.File) (bool, error) {
	var st unix.Statx_t
	err := unix.Statx(int(f.Fd()), "", unix.AT_EMPTY_PATH, 0, &st)
	runtime.KeepAlive(f)
	return err == nil && st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0, os.NewSyscallError("statx", err)
}
