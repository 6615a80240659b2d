package cgroup

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// Mode is the layout of the host's hierarchies.
type Mode int

// The layouts.
const (
	V1     Mode = 1 + iota // every controller in a v1 hierarchy, no unified one
	V2                     // the unified hierarchy alone
	Hybrid                 // controllers in v1 hierarchies, and a unified one without
)

func (m Mode) String() string {
	return [...]string{"none", "v1", "v2", "hybrid"}[m]
}

// unified is the key of the unified hierarchy among the controllers.
const unified = ""

// host is the layout of this host.
type host struct {
	mode Mode
	// dirs maps each controller ("memory", "name=systemd", unified) to the
	// directory where its hierarchy is mounted; several may share one.
	dirs map[string]string
	// controllers are those of the unified hierarchy, on v2.
	controllers []string
}

// detected is read once: hierarchies are mounted at boot.
var detected = sync.OnceValues(func() (*host, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	h, err := parseHost(f)
	if err != nil {
		return nil, fmt.Errorf("control groups: %w", err)
	}
	if h.mode == V2 {
		text, err := os.ReadFile(filepath.Join(h.dirs[unified], "cgroup.controllers"))
		if err != nil {
			return nil, fmt.Errorf("control groups: %w", err)
		}
		h.controllers = strings.Fields(string(text))
	}
	return h, nil
})

// Detect returns the layout of this host; 0 if no control groups are mounted.
func Detect() Mode {
	h, err := detected()
	if err != nil {
		return 0
	}
	return h.mode
}

// options of a v1 mount that are not controllers.
var notControllers = []string{"rw", "ro", "xattr", "clone_children", "noprefix", "cpuset_v2_mode", "all", "none", "nsdelegate", "favordynmods"}

func parseHost(mountinfo io.Reader) (*host, error) {
	h := &host{dirs: map[string]string{}}
	s := bufio.NewScanner(mountinfo)
	for s.Scan() {
		// 36 35 98:0 /root /point rw,noatime shared:1 - fstype source options
		before, after, ok := strings.Cut(s.Text(), " - ")
		fields, super := strings.Fields(before), strings.Fields(after)
		if !ok || len(fields) < 5 || len(super) < 3 {
			continue
		}
		point := fields[4]
		switch super[0] {
		case "cgroup2":
			if _, ok := h.dirs[unified]; !ok {
				h.dirs[unified] = point
			}
		case "cgroup":
			for option := range strings.SplitSeq(super[2], ",") {
				if slices.Contains(notControllers, option) || strings.HasPrefix(option, "release_agent=") {
					continue
				}
				if _, ok := h.dirs[option]; !ok {
					h.dirs[option] = point
				}
			}
		}
	}
	if err := s.Err(); err != nil {
		return nil, err
	}
	_, hasUnified := h.dirs[unified]
	switch {
	case len(h.dirs) == 0:
		return nil, fmt.Errorf("no hierarchy is mounted: %w", os.ErrNotExist)
	case hasUnified && len(h.dirs) == 1:
		h.mode = V2
	case hasUnified:
		h.mode = Hybrid
	default:
		h.mode = V1
	}
	return h, nil
}

// places returns the directories of a group, by controller.
func (h *host) places(name string) map[string]string {
	out := make(map[string]string, len(h.dirs))
	for controller, dir := range h.dirs {
		out[controller] = filepath.Join(dir, name)
	}
	return out
}

// makeGroup makes a directory, with those above it, in the hierarchy mounted
// at root. A v1 cpuset starts without processors and memory and takes no
// process; it gets those of its parent. The error is os.ErrExist if the group
// itself exists.
func makeGroup(root, dir string, cpuset bool) error {
	parent := filepath.Dir(dir)
	err := os.Mkdir(dir, 0o755)
	if errors.Is(err, os.ErrNotExist) && len(parent) > len(root) {
		if err := makeGroup(root, parent, cpuset); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
		err = os.Mkdir(dir, 0o755)
	}
	if err != nil || !cpuset {
		return err
	}
	for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
		if err := inherit(root, parent, dir, file); err != nil {
			_ = unix.Rmdir(dir) // what failed before says more
			return err
		}
	}
	return nil
}

// inherit copies a setting from the group above, which gets it first if it has
// none: somebody else has made it then.
func inherit(root, parent, dir, file string) error {
	value, err := os.ReadFile(filepath.Join(parent, file))
	if err == nil && len(strings.TrimSpace(string(value))) == 0 && len(parent) > len(root) {
		if err := inherit(root, filepath.Dir(parent), parent, file); err != nil {
			return err
		}
		value, err = os.ReadFile(filepath.Join(parent, file))
	}
	if err != nil {
		return err
	}
	return write(dir, file, strings.TrimSpace(string(value)))
}

// write never makes a file, unlike os.WriteFile.
func write(dir, file, value string) error {
	f, err := os.OpenFile(filepath.Join(dir, file), os.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteString(value)
	return err
}
