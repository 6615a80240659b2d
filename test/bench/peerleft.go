package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/kernel/hostmount"
)

// netnsDir is where Podman binds network namespaces; it makes a mount of it.
const netnsDir = "/run/netns"

// leavings notes what of the host's is there before an engine that leaves control
// groups of these names and netnsDir behind. The function that it returns removes
// what was not, unless somebody else uses it by now.
func leavings(groups ...string) (undo func() error, err error) {
	before := groupsNamed(groups)
	_, err = os.Stat(netnsDir)
	made := errors.Is(err, fs.ErrNotExist)
	mounted, err := hostmount.Mounted(netnsDir)
	if err != nil {
		return nil, err
	}
	return func() error {
		for dir := range groupsNamed(groups) {
			if !before[dir] {
				removeEmptyGroups(dir)
			}
		}
		return leaveNetNS(mounted, made)
	}, nil
}

// groupsNamed are the groups below the root of any hierarchy that have these names.
func groupsNamed(names []string) map[string]bool {
	found := map[string]bool{}
	for _, name := range names {
		for _, pattern := range []string{"/sys/fs/cgroup/*/", "/sys/fs/cgroup/"} {
			dirs, _ := filepath.Glob(pattern + name) // the pattern is right
			for _, dir := range dirs {
				found[dir] = true
			}
		}
	}
	return found
}

// removeEmptyGroups removes a group and those below in which nobody is.
func removeEmptyGroups(dir string) {
	entries, _ := os.ReadDir(dir) // it may be gone
	for _, e := range entries {
		if e.IsDir() {
			removeEmptyGroups(filepath.Join(dir, e.Name()))
		}
	}
	_ = unix.Rmdir(dir)
}

// killNamed kills the processes of a program whose arguments name a directory, and
// waits for their end.
func killNamed(program, dir string) error {
	for range 1000 {
		found := false
		names, err := filepath.Glob("/proc/[0-9]*/cmdline")
		if err != nil {
			return err
		}
		for _, name := range names {
			args, err := os.ReadFile(name)
			first, rest, _ := strings.Cut(string(args), "\x00")
			pid, perr := strconv.Atoi(filepath.Base(filepath.Dir(name)))
			if err != nil || perr != nil || filepath.Base(first) != program || !strings.Contains(rest, dir+"/") {
				continue // another, or it has ended
			}
			found = true
			_ = unix.Kill(pid, unix.SIGKILL) // likewise
		}
		if !found {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return fmt.Errorf("%s of %s does not end", program, dir)
}

// leaveNetNS makes of netnsDir what it was, if nothing is in it.
func leaveNetNS(mounted, made bool) error {
	entries, err := os.ReadDir(netnsDir)
	if errors.Is(err, fs.ErrNotExist) || len(entries) > 0 {
		return nil
	}
	if err != nil {
		return err
	}
	for !mounted {
		is, err := hostmount.Mounted(netnsDir)
		if err != nil {
			return err
		}
		if !is {
			break
		}
		if err := unix.Unmount(netnsDir, 0); err != nil {
			return &os.PathError{Op: "unmount", Path: netnsDir, Err: err}
		}
	}
	if made {
		return os.Remove(netnsDir)
	}
	return nil
}
