package mount

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/kernel/ns"
)

// A View is a root file system with all that is mounted in it, seen by nobody
// but its holder, or by a container and its holder. All paths in it are for
// OpenInRoot.
type View struct {
	Root *os.File // handle
	own  bool     // Root is closed with the view
	// ns keeps the mounts below the root: without a namespace they would come
	// off, and paths would lead to what they cover.
	ns *os.File
}

// NewView makes a mount namespace that holds the detached mount root and
// nothing else. attach may place mounts below root; it runs on a thread that
// is in that namespace already and still sees the host's paths. The view owns
// root from here on, also on errors.
func NewView(root *os.File, attach func() error) (*View, error) {
	v := &View{Root: root}
	err := ns.OnThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
			return os.NewSyscallError("unshare", err)
		}
		if err := MakePrivate(); err != nil {
			return err
		}
		var err error
		if v.ns, err = os.Open("/proc/thread-self/ns/mnt"); err != nil {
			return err
		}
		top, err := os.OpenFile("/", unix.O_PATH|unix.O_DIRECTORY, 0)
		if err != nil {
			return err
		}
		defer top.Close()
		if err := Attach(root, top); err != nil {
			return err
		}
		if err := attach(); err != nil {
			return err
		}
		// Without the host's mounts: what is unmounted there must not stay
		// busy here.
		return Pivot(root)
	})
	if err != nil {
		return nil, errors.Join(err, v.Close())
	}
	return v, nil
}

// OpenView is the view that the processes of a mount namespace have. A process
// that has changed its own root directory does not change it. The view owns
// namespace from here on, also on errors.
func OpenView(namespace *os.File) (*View, error) {
	v := &View{ns: namespace, own: true}
	err := inside(namespace, func() (err error) {
		v.Root, err = os.OpenFile("/", unix.O_PATH|unix.O_DIRECTORY, 0)
		return err
	})
	if err != nil {
		return nil, errors.Join(err, v.Close())
	}
	return v, nil
}

// CloneRoot is the root mount of the view alone, detached: what is mounted
// below it is not there, and what that covers is.
func (v *View) CloneRoot() (*os.File, error) {
	var f *os.File
	err := inside(v.ns, func() (err error) {
		f, err = Clone("/", false)
		return err
	})
	return f, err
}

// CloneTmpfs is a detached copy of the tmpfs that is mounted at path in the
// view, without what is mounted in it. No links are followed on the way. The
// error's kind is FailedPrecondition if there is no such mount.
func (v *View) CloneTmpfs(path string) (*os.File, error) {
	at, err := OpenStrict(v.Root, path, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, &noTmpfsError{path, err}
	}
	defer at.Close()
	if magic, err := Magic(at); err != nil || magic != unix.TMPFS_MAGIC {
		return nil, &noTmpfsError{path, err}
	}
	var st unix.Statx_t
	err = unix.Statx(int(at.Fd()), "", unix.AT_EMPTY_PATH, 0, &st)
	if err != nil || st.Attributes&unix.STATX_ATTR_MOUNT_ROOT == 0 {
		return nil, &noTmpfsError{path, err}
	}
	var f *os.File
	err = inside(v.ns, func() (err error) {
		f, err = CloneFile(at, false)
		return err
	})
	return f, err
}

// CloneAt is a detached copy of what is at path in the view, a directory or a
// file, without what is mounted below it. Links on the way lead to what is in
// the view.
func (v *View) CloneAt(path string) (*os.File, error) {
	at, err := OpenInRoot(v.Root, path, unix.O_PATH, 0)
	if err != nil {
		return nil, err
	}
	defer at.Close()
	var f *os.File
	err = inside(v.ns, func() (err error) {
		f, err = CloneFile(at, false)
		return err
	})
	return f, err
}

type noTmpfsError struct {
	path string
	err  error
}

func (e *noTmpfsError) Error() string {
	if e.err != nil {
		return "no tmpfs is mounted at " + e.path + ": " + e.err.Error()
	}
	return "no tmpfs is mounted at " + e.path
}

func (e *noTmpfsError) Unwrap() error { return e.err }

// FailedPrecondition gives the error its kind for package errdefs, which is not
// imported here.
func (e *noTmpfsError) FailedPrecondition() {}

// Close lets go of the view, and with it of mounts that nobody else has.
func (v *View) Close() error {
	var errs []error
	if v.own && v.Root != nil {
		errs = append(errs, v.Root.Close())
	}
	if v.ns != nil {
		errs = append(errs, v.ns.Close())
	}
	return errors.Join(errs...)
}

// inside runs fn on a thread whose root directory is that of the namespace.
func inside(namespace *os.File, fn func() error) error {
	return ns.OnThread(func() error {
		// A thread enters only with a root directory of its own.
		if err := unix.Unshare(unix.CLONE_FS); err != nil {
			return os.NewSyscallError("unshare", err)
		}
		if err := ns.Enter(namespace, unix.CLONE_NEWNS); err != nil {
			return fmt.Errorf("mount namespace: %w", err)
		}
		return fn()
	})
}
