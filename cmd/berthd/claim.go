package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/containerd/errdefs"
	"github.com/gofrs/flock"

	"github.com/berth-engine/berth/config"
	"github.com/berth-engine/berth/kernel/mount"
)

// lockFile in the data-root and in the exec-root is locked by the daemon that
// owns them, and holds its process id.
const lockFile = "berthd.lock"

// claim makes the directories, takes them for this process alone and writes the
// pid file. It reads who the engine is. The exec-root is taken too because a
// daemon ends the sandboxes there that none of its records know.
func (d *daemon) claim(cfg *config.Config) (release func(), err error) {
	var undo []func()
	undoAll := func() {
		for _, u := range slices.Backward(undo) {
			u()
		}
	}
	defer func() {
		if err != nil {
			undoAll()
		}
	}()
	if err := ours(cfg.DataRoot); err != nil {
		return nil, err
	}
	if err := makeDir(cfg.DataRoot, 0o710); err != nil {
		return nil, err
	}
	unlock, err := lock("data-root", cfg.DataRoot)
	if err != nil {
		return nil, err
	}
	undo = append(undo, unlock)
	// A full disk says nothing of that. An engine has to start on one, or nobody
	// could make room by removing containers and images.
	if err := mount.HoldsUppers(cfg.DataRoot); isFull(err) {
		d.log.Warn("the data-root has no room: nothing can be made until some is", "data-root", cfg.DataRoot)
	} else if errdefs.IsFailedPrecondition(err) {
		return nil, fmt.Errorf("data-root %w: use --data-root with a folder on ext4, xfs, btrfs or tmpfs; in a container, with a volume (-v berth-data:%s)", err, cfg.DataRoot)
	} else if err != nil {
		return nil, err
	}
	if err := makeDir(cfg.ExecRoot, 0o700); err != nil {
		return nil, err
	}
	if filepath.Clean(cfg.ExecRoot) != filepath.Clean(cfg.DataRoot) {
		if unlock, err = lock("exec-root", cfg.ExecRoot); err != nil {
			return nil, err
		}
		undo = append(undo, unlock)
	}
	pid := processID()
	if cfg.Pidfile != "" {
		if err := writePidfile(cfg.Pidfile, pid); err != nil {
			return nil, err
		}
		undo = append(undo, func() { _ = os.Remove(cfg.Pidfile) })
	}
	if d.id, err = engineID(filepath.Join(cfg.DataRoot, "engine-id")); err != nil {
		return nil, err
	}
	d.name, err = os.Hostname()
	return undoAll, err
}

func processID() string { return strconv.Itoa(os.Getpid()) + "\n" }

// lock takes a directory, unless another daemon has it.
func lock(what, dir string) (unlock func(), err error) {
	path := filepath.Join(dir, lockFile)
	l := flock.New(path, flock.SetPermissions(0o600), flock.SetFlag(os.O_CREATE|os.O_RDWR))
	locked, err := l.TryLock()
	if err != nil {
		return nil, fmt.Errorf("lock the %s: %w", what, err)
	}
	if !locked {
		holder, _ := os.ReadFile(path)
		return nil, fmt.Errorf("%s %s is in use already, by the daemon with process id %s", what, dir, strings.TrimSpace(string(holder)))
	}
	// The process id is for people: on a full disk there is none.
	if err := os.WriteFile(path, []byte(processID()), 0o600); err != nil && !isFull(err) {
		_ = l.Unlock()
		return nil, err
	}
	return func() { _ = l.Unlock() }, nil
}

// isFull tells that there was no room for something.
func isFull(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }

// ours refuses a data-root that belongs to something else: its mode is about to
// be changed, and a mistyped --data-root should not do that to /home.
func ours(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	foreign := ""
	for _, e := range entries {
		switch {
		case e.Name() == lockFile:
			return nil
		case e.Name() != "lost+found" && !ofRemapped(e.Name()):
			foreign = e.Name()
		}
	}
	if foreign != "" {
		return fmt.Errorf("data-root %s holds something else (%s, ...): choose an empty directory", dir, foreign)
	}
	return nil
}

// makeDir makes a directory with exactly this mode, whatever the umask.
func makeDir(dir string, mode fs.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return os.Chmod(dir, mode)
}

// writePidfile writes the process id, unless another daemon that is alive stands
// in the file.
func writePidfile(path, pid string) error {
	if old, err := os.ReadFile(path); err == nil {
		n, _ := strconv.Atoi(strings.TrimSpace(string(old)))
		exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", n))
		if n > 0 && n != os.Getpid() && err == nil && filepath.Base(strings.TrimSuffix(exe, " (deleted)")) == "berthd" {
			return fmt.Errorf("pid file %s: process with PID %d is still running", path, n)
		}
	}
	return replace(path, []byte(pid), 0o644)
}

// engineID reads the id of this engine, or makes one.
func engineID(path string) (string, error) {
	if data, err := os.ReadFile(path); err == nil {
		if id := strings.TrimSpace(string(data)); id != "" {
			return id, nil
		}
	}
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	id := fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
	return id, replace(path, []byte(id+"\n"), 0o600)
}

// replace writes a file as a whole, following no link.
func replace(path string, data []byte, mode fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(mode), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}
