package mount

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// upperError says that a file system cannot have the written part of an overlay.
type upperError struct {
	dir     string
	overlay bool
	err     error
}

func (e *upperError) Error() string {
	if e.overlay {
		return e.dir + " is on overlayfs, and the kernel can write no overlay there (an engine in a container?)"
	}
	return e.dir + " is on a file system on which the kernel can write no overlay: " + e.err.Error()
}

func (e *upperError) Unwrap() error { return e.err }

// FailedPrecondition gives the error its kind for package errdefs, which is not
// imported here.
func (e *upperError) FailedPrecondition() {}

// HoldsUppers tries whether the file system of dir can have the directories
// that containers write to. It leaves nothing. The error's kind is
// FailedPrecondition if it cannot.
func HoldsUppers(dir string) (err error) {
	tmp, err := os.MkdirTemp(dir, ".overlay-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()
	l := Layers{Lower: []string{filepath.Join(tmp, "lower")}, Upper: filepath.Join(tmp, "upper"), Work: filepath.Join(tmp, "work")}
	for _, d := range []string{l.Lower[0], l.Upper, l.Work} {
		if err := os.Mkdir(d, 0o700); err != nil {
			return err
		}
	}
	root, err := Overlay(l)
	if err == nil {
		return root.Close()
	}
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOSYS) {
		return fmt.Errorf("mount an overlay: %w", err) // it is not for the file system
	}
	f, openErr := os.Open(dir)
	if openErr != nil {
		return openErr
	}
	defer f.Close()
	magic, magicErr := Magic(f)
	if magicErr != nil {
		return magicErr
	}
	return &upperError{dir: dir, overlay: magic == unix.OVERLAYFS_SUPER_MAGIC, err: err}
}
