package file

import (
	"errors"
	"io/fs"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

func at(op, name string, dir *os.File, err error) error {
	runtime.KeepAlive(dir)
	if err != nil {
		return &os.PathError{Op: op, Path: name, Err: err}
	}
	return nil
}

// flags let "" stand for the directory or handle itself.
func flags(name string) int {
	if name == "" {
		return unix.AT_SYMLINK_NOFOLLOW | unix.AT_EMPTY_PATH
	}
	return unix.AT_SYMLINK_NOFOLLOW
}

// Mkdir makes a directory that only root may use yet.
func Mkdir(dir *os.File, name string) error {
	return at("mkdir", name, dir, unix.Mkdirat(int(dir.Fd()), name, 0o700))
}

// Symlink makes a symbolic link.
func Symlink(dir *os.File, target, name string) error {
	return at("symlink", name, dir, unix.Symlinkat(target, int(dir.Fd()), name))
}

// Link gives what handle refers to (a symbolic link itself, too) another name.
func Link(handle, dir *os.File, name string) error {
	err := unix.Linkat(int(handle.Fd()), "", int(dir.Fd()), name, unix.AT_EMPTY_PATH)
	runtime.KeepAlive(handle)
	return at("link", name, dir, err)
}

// Mknod makes a FIFO or device node that only root may use yet; m has its type.
func Mknod(dir *os.File, name string, m fs.FileMode, major, minor uint32) error {
	kind := uint32(unix.S_IFIFO)
	switch {
	case m&fs.ModeCharDevice != 0:
		kind = unix.S_IFCHR
	case m&fs.ModeDevice != 0:
		kind = unix.S_IFBLK
	}
	return at("mknod", name, dir, unix.Mknodat(int(dir.Fd()), name, kind|0o600, int(unix.Mkdev(major, minor))))
}

// Readlink returns the target of a symbolic link; for "", of the one that dir
// is a handle of.
func Readlink(dir *os.File, name string) (string, error) {
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(int(dir.Fd()), name, buf)
	if err != nil {
		return "", at("readlink", name, dir, err)
	}
	return string(buf[:n]), nil
}

// Rename moves an entry; an entry in the way is replaced as rename(2) does.
func Rename(from *os.File, name string, to *os.File, newName string) error {
	err := unix.Renameat(int(from.Fd()), name, int(to.Fd()), newName)
	runtime.KeepAlive(from)
	return at("rename", name, to, err)
}

// Chown changes the owner of an entry, of a symbolic link itself, or of what
// dir refers to for "".
func Chown(dir *os.File, name string, uid, gid int) error {
	return at("chown", name, dir, unix.Fchownat(int(dir.Fd()), name, uid, gid, flags(name)))
}

// Chmod sets permissions, setuid, setgid and sticky bits of what f refers to,
// which may be a handle.
func Chmod(f *os.File, m fs.FileMode) error {
	err := unix.Fchmod(int(f.Fd()), bits(m))
	if errors.Is(err, unix.EBADF) {
		err = unix.Chmod(Path(f), bits(m))
	}
	return at("chmod", f.Name(), f, err)
}

// SetTimes sets the times of access and modification of an entry, of a symbolic
// link itself, or of what dir refers to for "". A time that the kernel cannot store becomes its nearest.
func SetTimes(dir *os.File, name string, accessed, modified time.Time) error {
	ts := []unix.Timespec{timespec(accessed), timespec(modified)}
	return at("set times", name, dir, unix.UtimesNanoAt(int(dir.Fd()), name, ts, flags(name)))
}

func timespec(t time.Time) unix.Timespec {
	if t.IsZero() || t.Unix() < 0 {
		return unix.Timespec{}
	}
	// Years beyond 2262 are outside of UnixNano, not of the kernel's.
	return unix.Timespec{Sec: t.Unix(), Nsec: int64(t.Nanosecond())}
}

// Exchange exchanges two entries of a directory at once. It is
// errors.ErrUnsupported or EINVAL where the file system cannot.
func Exchange(dir *os.File, a, b string) error {
	return at("exchange", a, dir, unix.Renameat2(int(dir.Fd()), a, int(dir.Fd()), b, unix.RENAME_EXCHANGE))
}

// Claim renames an entry to a name that is free; os.ErrExist if it is not.
func Claim(dir *os.File, name, newName string) error {
	return at("rename", name, dir, unix.Renameat2(int(dir.Fd()), name, int(dir.Fd()), newName, unix.RENAME_NOREPLACE))
}
