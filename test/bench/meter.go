package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// meter counts the processor time of an engine: of its daemon, of what that
// starts, and of its containers. It is a control group that all of them are in,
// so that what has ended counts, too, and to the nanosecond.
type meter struct {
	group string // its path in every hierarchy
	usage string // the file that tells
	v2    bool
}

var meters atomic.Int32

// newMeter makes the group.
func newMeter() (*meter, error) {
	m := &meter{group: fmt.Sprintf("/berth-bench-%d-%d", os.Getpid(), meters.Add(1))}
	root := "/sys/fs/cgroup"
	if _, err := os.Stat(filepath.Join(root, "cgroup.controllers")); err == nil {
		m.v2, m.usage = true, filepath.Join(root, m.group, "cpu.stat")
	} else {
		found, err := filepath.Glob(filepath.Join(root, "*", "cpuacct.usage"))
		if err != nil || len(found) == 0 {
			return nil, errors.Join(errors.New("processor time is counted by the cgroup controller cpuacct, which is not mounted"), err)
		}
		m.usage = filepath.Join(filepath.Dir(found[0]), m.group, "cpuacct.usage")
	}
	return m, os.MkdirAll(m.daemons(), 0o755)
}

// daemons is the directory of the group in which the daemon is. On cgroup v2 it
// may not be where there are groups below.
func (m *meter) daemons() string { return filepath.Join(filepath.Dir(m.usage), "daemon") }

// add counts a process, and what it starts from then on.
func (m *meter) add(pid int) error {
	return os.WriteFile(filepath.Join(m.daemons(), "cgroup.procs"), []byte(strconv.Itoa(pid)), 0)
}

// enter makes a command of one that counts itself before it becomes what it is
// to be.
func (m *meter) enter(argv []string) []string {
	return append([]string{"sh", "-c", `echo $$ >"$0" && exec "$@"`, filepath.Join(m.daemons(), "cgroup.procs")}, argv...)
}

// used is the time so far, in milliseconds.
func (m *meter) used() (float64, error) {
	data, err := os.ReadFile(m.usage)
	if err != nil {
		return 0, err
	}
	if !m.v2 {
		ns, err := strconv.ParseFloat(strings.TrimSpace(string(data)), 64)
		return ns / 1e6, err
	}
	for line := range strings.Lines(string(data)) {
		if text, ok := strings.CutPrefix(line, "usage_usec "); ok {
			us, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
			return us / 1e3, err
		}
	}
	return 0, fmt.Errorf("%s: no usage_usec", m.usage)
}

// parts is used in two: in programs and in the kernel. The kernel counts these by its
// clock's ticks; they are right for what has run many of those.
func (m *meter) parts() (programs, kernel float64, err error) {
	if !m.v2 {
		for name, part := range map[string]*float64{"cpuacct.usage_user": &programs, "cpuacct.usage_sys": &kernel} {
			data, err := os.ReadFile(filepath.Join(filepath.Dir(m.usage), name))
			if err != nil {
				return 0, 0, err
			}
			ns, err := strconv.ParseFloat(strings.TrimSpace(string(data)), 64)
			if err != nil {
				return 0, 0, err
			}
			*part = ns / 1e6
		}
		return programs, kernel, nil
	}
	data, err := os.ReadFile(m.usage)
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(data)) {
		var us float64
		if n, _ := fmt.Sscanf(line, "user_usec %f", &us); n == 1 {
			programs = us / 1e3
		}
		if n, _ := fmt.Sscanf(line, "system_usec %f", &us); n == 1 {
			kernel = us / 1e3
		}
	}
	return programs, kernel, nil
}

// quietly is used when nothing more is done: what was put off until after the
// answer counts, too.
func (m *meter) quietly(ctx context.Context) (float64, error) {
	const (
		look  = 100 * time.Millisecond
		quiet = 0.5 // ms in that time
	)
	last := -1.0
	for deadline := time.Now().Add(10 * time.Second); ; {
		now, err := m.used()
		if err != nil || last >= 0 && now-last < quiet || time.Now().After(deadline) {
			return now, err
		}
		last = now
		if err := sleep(ctx, look); err != nil {
			return 0, err
		}
	}
}

// close removes the group, with what engines leave in it, from all hierarchies.
func (m *meter) close() error {
	var errs []error
	roots, err := filepath.Glob("/sys/fs/cgroup/*" + m.group)
	if m.v2 {
		roots, err = []string{filepath.Dir(m.usage)}, nil
	}
	for _, root := range roots {
		var dirs []string
		_ = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error { // what is not there needs no removal
			if err == nil && d.IsDir() {
				dirs = append(dirs, path)
			}
			return nil
		})
		for i := range dirs {
			err := removeGroup(dirs[len(dirs)-1-i])
			errs = append(errs, err)
		}
	}
	return errors.Join(append(errs, err)...)
}

// removeGroup waits a moment for processes that have ended and count yet.
func removeGroup(dir string) error {
	for range 100 {
		err := unix.Rmdir(dir)
		if err == nil || errors.Is(err, unix.ENOENT) {
			return nil
		}
		if !errors.Is(err, unix.EBUSY) {
			return &os.PathError{Op: "rmdir", Path: dir, Err: err}
		}
		time.Sleep(10 * time.Millisecond)
	}
	return &os.PathError{Op: "rmdir", Path: dir, Err: unix.EBUSY}
}
