package file

import (
	"errors"
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

func open(dir *os.File, name string, flags int, perm uint32) (*os.File, error) {
	for {
		fd, err := unix.Openat(int(dir.Fd()), name, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC|unix.O_NOCTTY, perm)
		runtime.KeepAlive(dir)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil, &os.PathError{Op: "open", Path: name, Err: err}
		}
		return os.NewFile(uintptr(fd), name), nil
	}
}

// Handle opens an entry of any type without effects: O_PATH.
func Handle(dir *os.File, name string) (*os.File, error) {
	return open(dir, name, unix.O_PATH, 0)
}

// OpenDir opens a directory for reading its names; ENOTDIR or ELOOP if name is
// something else.
func OpenDir(dir *os.File, name string) (*os.File, error) {
	return open(dir, name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
}

// OpenRegular opens a regular file for reading, or for writing and emptied.
// Whatever takes its place, a FIFO or device is not waited for and refused
// (EINVAL).
func OpenRegular(dir *os.File, name string, write bool) (*os.File, error) {
	handle, err := Handle(dir, name)
	if err != nil {
		return nil, err
	}
	defer handle.Close()
	// Looked at first, since opening some devices has effects.
	st, err := StatAt(handle, "")
	if err != nil {
		return nil, err
	}
	if !st.Mode.IsRegular() {
		return nil, &os.PathError{Op: "open", Path: name, Err: unix.EINVAL}
	}
	if write {
		return Reopen(handle, unix.O_WRONLY|unix.O_TRUNC)
	}
	return Reopen(handle, unix.O_RDONLY)
}

// Create makes a regular file that only root may use yet, open for writing; it
// is os.ErrExist if there is an entry of that name, whatever it is.
func Create(dir *os.File, name string) (*os.File, error) {
	return open(dir, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, 0o600)
}

// Reopen opens what a handle refers to, with flags os.O_….
func Reopen(handle *os.File, flags int) (*os.File, error) {
	f, err := os.OpenFile(Path(handle), flags|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: handle.Name(), Err: errors.Unwrap(err)}
	}
	return f, nil
}

// Path names an open file for calls of this process that take no descriptor.
func Path(f *os.File) string { return "/proc/self/fd/" + strconv.FormatUint(uint64(f.Fd()), 10) }
