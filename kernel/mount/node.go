package mount

import (
	"errors"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Mknod makes a device node or FIFO in dir, with exactly this mode. mode has
// the type bits (unix.S_IFCHR…). The error is os.ErrExist if the name is taken.
func Mknod(dir *os.File, name string, mode uint32, device uint64, uid, gid int) error {
	fail := func(err error) error { return &os.PathError{Op: "mknod", Path: name, Err: err} }
	if err := unix.Mknodat(int(dir.Fd()), name, mode, int(device)); err != nil {
		return fail(err)
	}
	if uid != 0 || gid != 0 {
		if err := unix.Fchownat(int(dir.Fd()), name, uid, gid, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return fail(err)
		}
	}
	// The umask is the process's.
	if err := chmodNode(dir, name, mode); err != nil {
		return fail(err)
	}
	var st unix.Stat_t
	if err := unix.Fstatat(int(dir.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fail(err)
	}
	if st.Mode&unix.S_IFMT != mode&unix.S_IFMT || st.Rdev != device && mode&unix.S_IFMT != unix.S_IFIFO {
		return fail(unix.EIO)
	}
	return nil
}

// chmodNode changes the mode of a node or FIFO that was just made in dir and
// that others may have exchanged since: never of what a link leads to, nor of
// a file of another kind.
func chmodNode(dir *os.File, name string, mode uint32) error {
	handle, err := openNode(dir, name)
	if err != nil {
		return err
	}
	defer handle.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(handle.Fd()), &st); err != nil {
		return err
	}
	switch {
	case st.Mode&unix.S_IFMT != mode&unix.S_IFMT:
		return unix.EIO
	case st.Mode&0o7777 == mode&0o7777:
		return nil
	}
	err = unix.Fchmodat(int(handle.Fd()), "", mode&0o7777, unix.AT_EMPTY_PATH)
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EINVAL) { // before Linux 6.6
		err = unix.Chmod("/proc/self/fd/"+strconv.Itoa(int(handle.Fd())), mode&0o7777)
	}
	return err
}

// Symlink makes name in dir a link to target, in place of whatever file or
// link has that name.
func Symlink(dir *os.File, target, name string) error {
	err := unix.Symlinkat(target, int(dir.Fd()), name)
	if errors.Is(err, unix.EEXIST) {
		if err := unix.Unlinkat(int(dir.Fd()), name, 0); err != nil {
			return &os.PathError{Op: "unlink", Path: name, Err: err}
		}
		err = unix.Symlinkat(target, int(dir.Fd()), name)
	}
	if err != nil {
		return &os.PathError{Op: "symlink", Path: name, Err: err}
	}
	return nil
}

// IsDevice tells whether f is the character device major:minor.
func IsDevice(f *os.File, major, minor uint32) (bool, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return false, err
	}
	return st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == unix.Mkdev(major, minor), nil
}

// OpenDevice opens path in root if it is the character device major:minor, and
// looks before, since opening another one could have effects.
func OpenDevice(root *os.File, path string, major, minor uint32, flags int) (*os.File, error) {
	handle, err := OpenInRoot(root, path, unix.O_PATH, 0)
	if err != nil {
		return nil, err
	}
	ok, err := theDevice(handle, major, minor)
	if err == nil && !ok {
		err = &os.PathError{Op: "open", Path: path, Err: errors.New("not the device that it should be")}
	}
	handle.Close()
	if err != nil {
		return nil, err
	}
	f, err := OpenInRoot(root, path, flags, 0)
	if err != nil {
		return nil, err
	}
	if ok, err := theDevice(f, major, minor); err != nil || !ok {
		f.Close()
		return nil, &os.PathError{Op: "open", Path: path, Err: errors.New("the device was exchanged")}
	}
	return f, nil
}

// Magic returns the type of the file system that f is on (unix.…_MAGIC).
func Magic(f *os.File) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &st); err != nil {
		return 0, os.NewSyscallError("fstatfs", err)
	}
	return st.Type, nil
}
