package mount

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// An ID names one mount, in whatever namespace it is, or in none.
type ID struct {
	// Number is what /proc/PID/mountinfo shows. A later mount may have it when
	// this one is gone.
	Number uint64 `json:"number"`
	// Unique is the number of no other mount of this boot; 0 before Linux 6.8.
	Unique uint64 `json:"unique,omitempty"`
}

// IDOf is that of the mount that f is on.
func IDOf(f *os.File) (id ID, err error) {
	var st unix.Statx_t
	for _, kind := range []int{unix.STATX_MNT_ID, unix.STATX_MNT_ID_UNIQUE} {
		err := unix.Statx(int(f.Fd()), "", unix.AT_EMPTY_PATH, kind, &st)
		if err != nil {
			return id, os.NewSyscallError("statx", err)
		}
		switch {
		case kind == unix.STATX_MNT_ID:
			id.Number = st.Mnt_id
		case st.Mask&unix.STATX_MNT_ID_UNIQUE != 0:
			id.Unique = st.Mnt_id
		}
	}
	runtime.KeepAlive(f)
	return id, nil
}

// Find opens the root of a mount of the calling process's namespace, as a
// handle. The error is os.ErrNotExist if it is not there, or not below the
// process's root directory.
func Find(id ID) (*os.File, error) {
	all, err := mounts()
	if err != nil {
		return nil, err
	}
	for _, m := range all {
		if m.id != id.Number {
			continue
		}
		f, err := os.OpenFile(m.point, unix.O_PATH|unix.O_NOFOLLOW, 0)
		if err != nil {
			return nil, err
		}
		is, err := IDOf(f)
		if err == nil && is == id {
			return f, nil
		}
		f.Close()
		switch {
		case err != nil:
			return nil, err
		case is.Number == id.Number: // another one has the number now
			return nil, os.ErrNotExist
		}
		return nil, fmt.Errorf("%s: something else is mounted there, over it: %w", m.point, unix.EBUSY)
	}
	return nil, os.ErrNotExist
}

// Remove takes a mount off, with all that is mounted in it; files that processes
// have open there stay usable. One that is not there is no error. What was
// mounted over it by others is: it could not be told from this.
func Remove(id ID) error {
	f, err := Find(id)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	// umount2(2) wants a path: the one that cannot lead elsewhere.
	err = unix.Unmount("/proc/self/fd/"+strconv.Itoa(int(f.Fd())), unix.MNT_DETACH)
	if err != nil {
		return fmt.Errorf("unmount %s: %w", f.Name(), err)
	}
	return nil
}

// mounted is a line of mountinfo (proc_pid_mountinfo(5)).
type mounted struct {
	id            uint64
	point, fstype string
}

// mounts are those that the calling process's root directory leads to.
func mounts() ([]mounted, error) {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	var list []mounted
	for line := range strings.Lines(string(text)) {
		before, after, ok := strings.Cut(line, " - ")
		fields, fstype := strings.Fields(before), strings.Fields(after)
		if !ok || len(fields) < 5 || len(fstype) < 1 {
			continue
		}
		id, err := strconv.ParseUint(fields[0], 10, 64)
		if err != nil {
			return nil, err
		}
		list = append(list, mounted{id, unescape(fields[4]), fstype[0]})
	}
	return list, nil
}

// Clear takes off what is mounted below a directory, the last first, with all that
// is mounted in it; the directory itself stays what it is.
func Clear(dir string) error {
	dir, err := filepath.EvalSymlinks(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	all, err := mounts()
	if err != nil {
		return err
	}
	for _, m := range slices.Backward(all) {
		if !strings.HasPrefix(m.point, dir+"/") {
			continue
		}
		if err := unix.Unmount(m.point, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil && !errors.Is(err, unix.EINVAL) { // gone with another
			return fmt.Errorf("unmount %s: %w", m.point, err)
		}
	}
	return nil
}
