package mount

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// An Option is one parameter of a file system ("size", "65536k"). With Flag it
// is a word without a value ("sync").
type Option struct {
	Key, Value string
	Flag       bool
}

// New makes a detached mount of a new file system instance. attrs are
// MOUNT_ATTR_… bits.
func New(fstype, source string, options []Option, attrs int) (*os.File, error) {
	fs, err := fsopen(fstype)
	if err != nil {
		return nil, err
	}
	defer fs.close()
	if source != "" {
		if err := fs.set("source", source); err != nil {
			return nil, err
		}
	}
	if err := fs.options(options); err != nil {
		return nil, err
	}
	return fs.mount(attrs)
}

func (c *fsContext) options(list []Option) error {
	for _, o := range list {
		var err error
		if o.Flag {
			err = c.flag(o.Key)
		} else {
			err = c.set(o.Key, o.Value)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Reconfigure changes parameters of the file system that f, the root of a mount
// in the calling thread's namespace, is on. It concerns all mounts of that file
// system, wherever they are.
func Reconfigure(f *os.File, options []Option) error {
	fd, err := unix.Fspick(int(f.Fd()), "", unix.FSPICK_CLOEXEC|unix.FSPICK_EMPTY_PATH)
	runtime.KeepAlive(f)
	if err != nil {
		return os.NewSyscallError("fspick", err)
	}
	c := &fsContext{fd: fd, fstype: "remount"}
	defer c.close()
	if err := c.options(options); err != nil {
		return err
	}
	return c.explain("reconfigure", unix.FsconfigReconfigure(c.fd))
}

// fsContext is a file system being configured.
type fsContext struct {
	fd     int
	fstype string
	held   []*os.File // directories named by descriptor
}

func fsopen(fstype string) (*fsContext, error) {
	fd, err := unix.Fsopen(fstype, unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("file system %s: %w", fstype, err)
	}
	return &fsContext{fd: fd, fstype: fstype}, nil
}

func (c *fsContext) close() {
	unix.Close(c.fd)
	closeAll(c.held)
}

func (c *fsContext) set(key, value string) error {
	return c.explain(key, unix.FsconfigSetString(c.fd, key, value))
}

func (c *fsContext) flag(key string) error {
	return c.explain(key, unix.FsconfigSetFlag(c.fd, key))
}

func (c *fsContext) mount(attrs int) (*os.File, error) {
	if err := c.explain("create", unix.FsconfigCreate(c.fd)); err != nil {
		return nil, err
	}
	fd, err := unix.Fsmount(c.fd, unix.FSMOUNT_CLOEXEC, attrs)
	if err != nil {
		return nil, c.explain("mount", err)
	}
	return os.NewFile(uintptr(fd), c.fstype), nil
}

// explain adds the messages that the kernel keeps for the context.
func (c *fsContext) explain(what string, err error) error {
	if err == nil {
		return nil
	}
	var text strings.Builder
	buf := make([]byte, 256)
	for range 8 {
		n, e := unix.Read(c.fd, buf)
		if e != nil || n <= 2 {
			break
		}
		text.WriteString(": " + strings.TrimRight(string(buf[2:n]), "\n")) // "e message"
	}
	return fmt.Errorf("%s: %s%s: %w", c.fstype, what, text.String(), err)
}

// Clone makes a detached copy of the mount at path (a bind mount that is not
// placed yet), of only the subtree below path. With recursive, the mounts
// below come along.
func Clone(path string, recursive bool) (*os.File, error) {
	return openTree(unix.AT_FDCWD, path, recursive)
}

// CloneFile is Clone for an open file or directory.
func CloneFile(f *os.File, recursive bool) (*os.File, error) {
	defer runtime.KeepAlive(f)
	return openTree(int(f.Fd()), "", recursive)
}

// A placeError says that this kernel copies only what is in a mount namespace.
type placeError struct{ err error }

func (e *placeError) Error() string {
	return "a mount that is nowhere cannot be copied before Linux 6.15: " + e.err.Error()
}

func (e *placeError) Unwrap() error { return e.err }

// NotImplemented gives the error its kind for package errdefs.
func (e *placeError) NotImplemented() {}

// CloneTree is CloneFile for a detached tree as a whole. The error's kind is
// NotImplemented before Linux 6.15.
func CloneTree(tree *os.File) (*os.File, error) {
	out, err := CloneFile(tree, false)
	if errors.Is(err, unix.EINVAL) {
		return nil, &placeError{err}
	}
	return out, err
}

// ClonePart is CloneFile for a file or directory of a detached tree, which may be
// used up by it.
func ClonePart(tree, part *os.File) (*os.File, error) {
	out, err := CloneFile(part, true)
	if errors.Is(err, unix.EINVAL) {
		return clonePlaced(tree, part)
	}
	return out, err
}

// clonePlaced is ClonePart for kernels before 6.15, which copy nothing that is not
// in a mount namespace.
func clonePlaced(tree, part *os.File) (out *os.File, err error) {
	err = apart(func() error {
		at, err := os.OpenFile("/", unix.O_PATH|unix.O_DIRECTORY, 0)
		if err != nil {
			return err
		}
		defer at.Close()
		if err := Attach(tree, at); err != nil {
			return err
		}
		out, err = CloneFile(part, true)
		return err
	})
	return out, err
}

func openTree(dir int, path string, recursive bool) (*os.File, error) {
	flags := uint(unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC)
	if path == "" {
		flags |= unix.AT_EMPTY_PATH
	}
	if recursive {
		flags |= unix.AT_RECURSIVE
	}
	fd, err := unix.OpenTree(dir, path, flags)
	if err != nil {
		return nil, &os.PathError{Op: "open_tree", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// Attr is a change of a mount's attributes.
type Attr struct {
	Set, Clear  uint64 // MOUNT_ATTR_… bits
	Propagation uint64 // MS_PRIVATE, MS_SLAVE, MS_SHARED, MS_UNBINDABLE or 0
	Recursive   bool   // also the mounts below
	// IDMap is a user namespace by whose mappings owners of files are shown
	// and set: what the file system calls its inside id is the outside one
	// here. Only for a detached mount that has none yet (mount_setattr(2)).
	IDMap *os.File
}

// SetAttr changes the mount that f is the root of.
func SetAttr(f *os.File, a Attr) error {
	flags := uint(unix.AT_EMPTY_PATH)
	if a.Recursive {
		flags |= unix.AT_RECURSIVE
	}
	attr := unix.MountAttr{Attr_set: a.Set, Attr_clr: a.Clear, Propagation: a.Propagation}
	if a.Set&unix.MOUNT_ATTR__ATIME != 0 {
		attr.Attr_clr |= unix.MOUNT_ATTR__ATIME // the kernel wants the whole field cleared with a change
	}
	if a.IDMap != nil {
		attr.Attr_set |= unix.MOUNT_ATTR_IDMAP
		attr.Userns_fd = uint64(a.IDMap.Fd())
	}
	err := unix.MountSetattr(int(f.Fd()), "", flags, &attr)
	runtime.KeepAlive(f)
	runtime.KeepAlive(a.IDMap)
	return os.NewSyscallError("mount_setattr", err)
}

// Attach moves a detached mount onto the file or directory at.
func Attach(tree, at *os.File) error {
	err := unix.MoveMount(int(tree.Fd()), "", int(at.Fd()), "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH)
	runtime.KeepAlive(tree)
	runtime.KeepAlive(at)
	return os.NewSyscallError("move_mount", err)
}

// MakePrivate cuts all mounts of the calling thread's mount namespace off from
// their peers elsewhere.
func MakePrivate() error {
	return os.NewSyscallError("make mounts private", unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
}

// Pivot makes root, a mount in the calling thread's namespace, its root
// directory, and drops everything that was mounted there before.
func Pivot(root *os.File) error {
	if err := root.Chdir(); err != nil {
		return err
	}
	// The old root comes to lie upon the new one and needs no directory in it
	// (pivot_root(2), "." twice).
	if err := unix.PivotRoot(".", "."); err != nil {
		return os.NewSyscallError("pivot_root", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return os.NewSyscallError("unmount the old root", err)
	}
	return unix.Chdir("/")
}

// UnsupportedError says that this kernel lacks a call that the package needs.
type UnsupportedError struct {
	Call string
	Err  error
}

func (e *UnsupportedError) Error() string {
	return "kernel too old (Linux 5.15 is needed): " + e.Call + ": " + e.Err.Error()
}

func (e *UnsupportedError) Unwrap() error { return e.Err }

// NotImplemented gives the error its kind for package errdefs, which is not
// imported here.
func (e *UnsupportedError) NotImplemented() {}

// Supported tries the mount calls that the package needs and changes nothing.
// The error is an *UnsupportedError if one is missing.
func Supported() error {
	root, err := os.Open("/")
	if err != nil {
		return err
	}
	defer root.Close()
	fd, err := unix.Openat2(int(root.Fd()), ".", &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT})
	if err != nil {
		return &UnsupportedError{"openat2", err}
	}
	unix.Close(fd)
	tmp, err := New("tmpfs", "", nil, 0)
	if err != nil {
		if errors.Is(err, unix.ENOSYS) {
			return &UnsupportedError{"fsopen", err}
		}
		return err
	}
	defer tmp.Close()
	if err := SetAttr(tmp, Attr{Set: unix.MOUNT_ATTR_RDONLY}); err != nil {
		return &UnsupportedError{"mount_setattr", err}
	}
	return nil
}
