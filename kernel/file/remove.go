package file

import (
	"errors"
	"io"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// MountID names the mount that f was opened through, on this host.
func MountID(f *os.File) (uint64, error) {
	var st unix.Statx_t
	err := unix.Statx(int(f.Fd()), "", unix.AT_EMPTY_PATH|unix.AT_STATX_DONT_SYNC, unix.STATX_MNT_ID, &st)
	runtime.KeepAlive(f)
	if err != nil {
		return 0, os.NewSyscallError("statx", err)
	}
	return st.Mnt_id, nil
}

// Remove removes an entry, and a directory with all that is in it. It never
// enters another mount: one that is in the way is EBUSY, and what it shows is
// left alone. It is no error if there is no such entry.
func Remove(dir *os.File, name string) error {
	mountID, err := MountID(dir)
	if err != nil {
		return err
	}
	return remove(dir, name, mountID)
}

func remove(dir *os.File, name string, mountID uint64) error {
	err := unix.Unlinkat(int(dir.Fd()), name, 0)
	if err == nil || errors.Is(err, unix.ENOENT) {
		runtime.KeepAlive(dir)
		return nil
	}
	if !errors.Is(err, unix.EISDIR) && !errors.Is(err, unix.EPERM) {
		return at("remove", name, dir, err)
	}
	sub, openErr := OpenDir(dir, name)
	if openErr != nil {
		return at("remove", name, dir, err) // EPERM of something that is no directory
	}
	defer sub.Close()
	id, err := MountID(sub)
	if err != nil {
		return err
	}
	if id != mountID {
		return at("remove", name, dir, unix.EBUSY)
	}
	if err := empty(sub, mountID); err != nil {
		return err
	}
	err = unix.Unlinkat(int(dir.Fd()), name, unix.AT_REMOVEDIR)
	if errors.Is(err, unix.ENOENT) {
		err = nil
	}
	return at("remove", name, dir, err)
}

// empty removes what is in dir.
func empty(dir *os.File, mountID uint64) error {
	for {
		names, err := dir.Readdirnames(1024)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		for _, name := range names {
			if err := remove(dir, name, mountID); err != nil {
				return err
			}
		}
		// Removal may have moved the position in the list.
		if _, err := dir.Seek(0, io.SeekStart); err != nil {
			return err
		}
	}
}

// Busy tells whether err says that something is mounted on an entry.
func Busy(err error) bool { return errors.Is(err, unix.EBUSY) }
