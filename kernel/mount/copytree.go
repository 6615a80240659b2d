package mount

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// maxDepth bounds how deep CopyTree goes; it keeps two descriptors a level.
const maxDepth = 128

// CopyTree copies what is in the directory from into the empty directory to:
// files of every kind with owners, modes, times, extended attributes and hard
// links, and those of from itself except its mode. It crosses no mount, follows
// no link, and opens only regular files, whatever others exchange meanwhile in
// either of them.
// Memory grows with the number of files that have several names. Both may be
// opened with O_PATH.
func CopyTree(from, to *os.File) error {
	source, err := reopenDir(from)
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := reopenDir(to)
	if err != nil {
		return err
	}
	defer target.Close()
	var st, on unix.Stat_t
	if err := unix.Fstat(int(source.Fd()), &st); err != nil {
		return os.NewSyscallError("fstat", err)
	}
	if err := unix.Fstat(int(target.Fd()), &on); err != nil {
		return os.NewSyscallError("fstat", err)
	}
	st.Mode = on.Mode
	c := copier{links: map[inode]copied{}, top: target}
	if err := c.entries(source, target, "", 0); err != nil {
		return err
	}
	return c.finish(source, target, &st)
}

type inode struct{ dev, ino uint64 }

// copied is where a file was copied to.
type copied struct {
	path string // below the top
	inode
}

type copier struct {
	links map[inode]copied // of files with several names
	top   *os.File
	buf   [maxAttribute]byte
}

// maxAttribute is the kernel's limit for extended attributes and their list
// (XATTR_SIZE_MAX, XATTR_LIST_MAX).
const maxAttribute = 1 << 16

func reopenDir(f *os.File) (*os.File, error) {
	fd, err := unix.Openat(int(f.Fd()), ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: f.Name(), Err: err}
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}

// entries copies the content of a directory; path is relative to the top.
func (c *copier) entries(from, to *os.File, path string, depth int) error {
	if depth > maxDepth {
		return &os.PathError{Op: "copy", Path: path, Err: fmt.Errorf("more than %d directories deep: %w", maxDepth, unix.ELOOP)}
	}
	for {
		names, err := from.Readdirnames(128)
		for _, name := range names {
			if err := c.entry(from, to, name, path+name, depth); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (c *copier) entry(from, to *os.File, name, path string, depth int) error {
	fail := func(err error) error {
		if e := (*os.PathError)(nil); err == nil || errors.As(err, &e) {
			return err
		}
		return &os.PathError{Op: "copy", Path: path, Err: err}
	}
	handle, err := openat2(from, name, unix.O_PATH|unix.O_NOFOLLOW, 0, unix.RESOLVE_BENEATH|unix.RESOLVE_NO_XDEV)
	switch {
	case errors.Is(err, unix.EXDEV): // a mount: an empty place is left for it
		return fail(c.mountPoint(from, to, name))
	case errors.Is(err, os.ErrNotExist):
		return nil // removed meanwhile
	case err != nil:
		return fail(err)
	}
	defer handle.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(handle.Fd()), &st); err != nil {
		return fail(err)
	}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		return c.dir(handle, to, name, path, depth, &st)
	}
	if st.Nlink > 1 {
		if first, ok := c.links[inode{st.Dev, st.Ino}]; ok {
			return fail(c.sameFile(first, to, name))
		}
		defer c.remember(inode{st.Dev, st.Ino}, to, name, path)
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		err = c.regular(handle, to, name, &st)
	case unix.S_IFLNK:
		err = link(handle, to, name, &st)
	default:
		err = unix.Mknodat(int(to.Fd()), name, st.Mode, int(st.Rdev))
		if err == nil {
			err = node(to, name, &st)
		}
	}
	return fail(err)
}

// remember notes where a file with several names was copied to.
func (c *copier) remember(original inode, to *os.File, name, path string) {
	var st unix.Stat_t
	if unix.Fstatat(int(to.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW) == nil {
		c.links[original] = copied{path, inode{st.Dev, st.Ino}}
	}
}

// sameFile gives a copy one more name. What lies on the way may have been
// exchanged: a link that leads out would have a file of the host appear here.
func (c *copier) sameFile(first copied, to *os.File, name string) error {
	handle, err := openat2(c.top, first.path, unix.O_PATH|unix.O_NOFOLLOW, 0, unix.RESOLVE_BENEATH|unix.RESOLVE_NO_SYMLINKS)
	if err != nil {
		return err
	}
	defer handle.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(handle.Fd()), &st); err != nil {
		return err
	}
	if (inode{st.Dev, st.Ino}) != first.inode {
		return fmt.Errorf("%s was exchanged: %w", first.path, unix.ESTALE)
	}
	return unix.Linkat(int(handle.Fd()), "", int(to.Fd()), name, unix.AT_EMPTY_PATH)
}

// mountPoint makes a directory or file as the one on which name is mounted.
func (c *copier) mountPoint(from, to *os.File, name string) error {
	var st unix.Stat_t
	if err := unix.Fstatat(int(from.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		return unix.Mkdirat(int(to.Fd()), name, 0o755)
	}
	return unix.Mknodat(int(to.Fd()), name, unix.S_IFREG|0o644, 0)
}

func (c *copier) dir(handle, to *os.File, name, path string, depth int, st *unix.Stat_t) error {
	if err := unix.Mkdirat(int(to.Fd()), name, 0o700); err != nil {
		return &os.PathError{Op: "mkdir", Path: path, Err: err}
	}
	source, err := reopenDir(handle)
	if err != nil {
		return err
	}
	defer source.Close()
	fd, err := unix.Openat(int(to.Fd()), name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: path, Err: err}
	}
	target := os.NewFile(uintptr(fd), path)
	defer target.Close()
	if err := c.entries(source, target, path+"/", depth+1); err != nil {
		return err
	}
	return c.finish(source, target, st)
}

func (c *copier) regular(handle, to *os.File, name string, st *unix.Stat_t) error {
	source, err := os.OpenFile("/proc/self/fd/"+strconv.Itoa(int(handle.Fd())), os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer source.Close()
	fd, err := unix.Openat(int(to.Fd()), name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	target := os.NewFile(uintptr(fd), name)
	defer target.Close()
	// Not io.Copy, which makes a buffer for each file.
	for {
		n, err := source.Read(c.buf[:])
		if _, err := target.Write(c.buf[:n]); err != nil {
			return err
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	return c.finish(source, target, st)
}

func link(handle, to *os.File, name string, st *unix.Stat_t) error {
	target, err := readlink(handle, "")
	if err != nil {
		return err
	}
	if err := unix.Symlinkat(target, int(to.Fd()), name); err != nil {
		return err
	}
	return node(to, name, st)
}

// node sets owner, mode and times of what cannot be opened.
func node(dir *os.File, name string, st *unix.Stat_t) error {
	if err := unix.Fchownat(int(dir.Fd()), name, int(st.Uid), int(st.Gid), unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFLNK {
		if err := chmodNode(dir, name, st.Mode); err != nil {
			return err
		}
	}
	return unix.UtimesNanoAt(int(dir.Fd()), name, []unix.Timespec{st.Atim, st.Mtim}, unix.AT_SYMLINK_NOFOLLOW)
}

// finish gives a file or directory the attributes of its original. The mode
// comes after the owner, which takes set-uid bits away, and the capabilities
// (an extended attribute) after both.
func (c *copier) finish(from, to *os.File, st *unix.Stat_t) error {
	fd := int(to.Fd())
	if err := unix.Fchown(fd, int(st.Uid), int(st.Gid)); err != nil {
		return os.NewSyscallError("fchown", err)
	}
	if err := unix.Fchmod(fd, st.Mode&0o7777); err != nil {
		return os.NewSyscallError("fchmod", err)
	}
	if err := c.attributes(from, to); err != nil {
		return err
	}
	return setTimes(to, st)
}

// setTimes is futimens(3): utimensat(2) without a path.
func setTimes(f *os.File, st *unix.Stat_t) error {
	times := [2]unix.Timespec{st.Atim, st.Mtim}
	_, _, e := unix.Syscall6(unix.SYS_UTIMENSAT, f.Fd(), 0, uintptr(unsafe.Pointer(&times)), 0, 0, 0)
	runtime.KeepAlive(f)
	if e != 0 {
		return os.NewSyscallError("utimensat", e)
	}
	return nil
}

// attributes copies extended attributes; the target's file system may not know
// them all.
func (c *copier) attributes(from, to *os.File) error {
	n, err := unix.Flistxattr(int(from.Fd()), c.buf[:])
	if errors.Is(err, unix.ENOTSUP) || n == 0 && err == nil {
		return nil
	}
	if err != nil {
		return os.NewSyscallError("flistxattr", err)
	}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(c.buf[:n]), "\x00"), "\x00") {
		size, err := unix.Fgetxattr(int(from.Fd()), name, c.buf[:])
		if errors.Is(err, unix.ENODATA) {
			continue
		}
		if err == nil {
			err = unix.Fsetxattr(int(to.Fd()), name, c.buf[:size], 0)
		}
		if err != nil && !errors.Is(err, unix.ENOTSUP) {
			return fmt.Errorf("extended attribute %s: %w", name, err)
		}
	}
	return nil
}
