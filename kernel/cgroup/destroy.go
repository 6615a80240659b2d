package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// Destroy removes the group, with groups below it, from all hierarchies. It
// kills nothing: while processes are in it, the error is EBUSY, after a wait of
// some tenths of a second for processes that are about to vanish. A group that
// is gone is no error. The unit of a group that is systemd's is stopped, which
// kills.
func (g *Group) Destroy() error {
	if g.unit != nil {
		return DestroyUnit(g.unit)
	}
	dirs := g.existing()
	// A process that was reaped still counts for some moments, and on v1 there
	// is nothing to wait on.
	for pause := time.Millisecond; ; pause *= 2 {
		var errs []error
		busy := dirs[:0]
		for _, dir := range dirs {
			err := removeTree(dir)
			if errors.Is(err, unix.EBUSY) {
				busy = append(busy, dir)
			}
			if err != nil {
				errs = append(errs, fmt.Errorf("remove cgroup: %w", err))
			}
		}
		dirs = busy
		if len(dirs) == 0 || pause > 128*time.Millisecond {
			return errors.Join(errs...)
		}
		time.Sleep(pause)
	}
}

func removeTree(dir string) error {
	err := unix.Rmdir(dir)
	if err == nil || errors.Is(err, unix.ENOENT) {
		return nil
	}
	entries, e := os.ReadDir(dir)
	if errors.Is(e, os.ErrNotExist) {
		return nil
	}
	if e != nil {
		return e
	}
	below := false
	for _, entry := range entries {
		if entry.IsDir() {
			below = true
			if err := removeTree(filepath.Join(dir, entry.Name())); err != nil {
				return err
			}
		}
	}
	if below {
		err = unix.Rmdir(dir)
	}
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return &os.PathError{Op: "rmdir", Path: dir, Err: err}
	}
	return nil
}
