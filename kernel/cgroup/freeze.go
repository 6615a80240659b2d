package cgroup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/cgroups"
	"github.com/opencontainers/cgroups/fs"
	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/kernel/file"
)

// freezeWithin bounds how long the processes of a group may take to stop: one
// in uninterruptible sleep never does.
const freezeWithin = 10 * time.Second

// Freeze stops all processes of the group, and those that may come into it,
// until Thaw. It returns when all have stopped. If they do not within ten
// seconds, they run on, and the error is errdefs.Unavailable; if all have ended,
// it is errdefs.FailedPrecondition. Where there is a
// unified hierarchy its freezer is used, whose processes can be killed while
// they are frozen; else that of v1. Without either the error is
// errdefs.NotImplemented.
func (g *Group) Freeze(ctx context.Context) error {
	var err error
	if dir, ok := g.unifiedFreezer(); ok {
		err = freezeUnified(ctx, dir)
	} else if dir, ok := g.dirs["freezer"]; ok {
		err = freezeV1(ctx, dir)
	} else {
		err = fmt.Errorf("no freezer: %w", errdefs.ErrNotImplemented)
	}
	if err != nil {
		return fmt.Errorf("freeze cgroup %s: %w", g.name, err)
	}
	return nil
}

// Thaw lets the processes run on. A group that is not frozen, or gone, is no
// error.
func (g *Group) Thaw() error {
	var errs []error
	if dir, ok := g.unifiedFreezer(); ok {
		errs = append(errs, write(dir, "cgroup.freeze", "0"))
	}
	// On a hybrid host somebody else may have used this one.
	if dir, ok := g.dirs["freezer"]; ok {
		errs = append(errs, write(dir, "freezer.state", string(cgroups.Thawed)))
	}
	for _, err := range errs {
		if err != nil && !gone(err) {
			return fmt.Errorf("thaw cgroup %s: %w", g.name, err)
		}
	}
	return nil
}

// Frozen tells whether the group is meant to be frozen. That some process has
// not stopped yet does not count, and neither do groups above.
func (g *Group) Frozen() (bool, error) {
	var files []string
	if dir, ok := g.unifiedFreezer(); ok {
		files = append(files, filepath.Join(dir, "cgroup.freeze"))
	}
	if dir, ok := g.dirs["freezer"]; ok {
		files = append(files, filepath.Join(dir, "freezer.self_freezing"))
	}
	for _, f := range files {
		text, err := file.Read(f)
		if gone(err) {
			continue
		}
		if err != nil {
			return false, err
		}
		if bytes.HasPrefix(text, []byte("1")) {
			return true, nil
		}
	}
	return false, nil
}

// unifiedFreezer returns the directory of the group in the unified hierarchy
// if the kernel can freeze it there (5.2 and later).
func (g *Group) unifiedFreezer() (string, bool) {
	dir, ok := g.dirs[unified]
	if !ok || unix.Access(filepath.Join(dir, "cgroup.freeze"), unix.W_OK) != nil {
		return "", false
	}
	return dir, true
}

func freezeUnified(ctx context.Context, dir string) (err error) {
	ctx, cancel := context.WithTimeout(ctx, freezeWithin)
	defer cancel()
	// Before the change, so that none is missed.
	w, err := watchFile(filepath.Join(dir, "cgroup.events"))
	if err != nil {
		return err
	}
	defer w.Close()
	if err := write(dir, "cgroup.freeze", "1"); err != nil {
		return err
	}
	for {
		text, err := os.ReadFile(filepath.Join(dir, "cgroup.events"))
		if err != nil {
			return errors.Join(err, write(dir, "cgroup.freeze", "0"))
		}
		if bytes.Contains(text, []byte("frozen 1\n")) {
			return nil
		}
		if bytes.Contains(text, []byte("populated 0\n")) {
			// All have ended meanwhile; such a group never says that it is frozen.
			err := fmt.Errorf("no process is left: %w", errdefs.ErrFailedPrecondition)
			return errors.Join(err, write(dir, "cgroup.freeze", "0"))
		}
		if err := w.next(ctx); err != nil {
			return errors.Join(stuck(err), write(dir, "cgroup.freeze", "0"))
		}
	}
}

// freezeV1 leaves the work to the library: in v1, a group whose processes fork
// stays FREEZING until it is told again, or even thawed in between.
func freezeV1(ctx context.Context, dir string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	err := (&fs.FreezerGroup{}).Set(dir, &cgroups.Resources{Freezer: cgroups.Frozen})
	if err != nil && !gone(err) {
		return stuck(err)
	}
	return err
}

func stuck(err error) error {
	return fmt.Errorf("some processes do not stop: %w: %w", err, errdefs.ErrUnavailable)
}

// gone tells of an error that it says: there is no such group or file.
func gone(err error) bool {
	return errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ENODEV)
}
