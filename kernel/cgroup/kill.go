package cgroup

import (
	"errors"
	"fmt"
	"os"

	"github.com/opencontainers/cgroups"
	"golang.org/x/sys/unix"
)

// Kill sends SIGKILL to every process of the group and of those below it,
// whatever they fork meanwhile, and thaws a frozen group. It does not wait for
// their end.
func (g *Group) Kill() error {
	if dir, ok := g.dirs[unified]; ok {
		err := write(dir, "cgroup.kill", "1")
		if err == nil {
			return g.Thaw() // the freezer of v1 holds even the killed
		}
		if !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("kill cgroup %s: %w", g.name, err)
		}
	}
	return g.killEach()
}

// killEach is for kernels before 5.14 and hosts with v1 alone. The group is
// frozen, so that nothing new appears; a killed process leaves the freezer when
// it is thawed.
func (g *Group) killEach() (err error) {
	defer func() { err = errors.Join(err, g.Thaw()) }()
	if dir, ok := g.dirs["freezer"]; ok {
		// Even where some do not stop, it slows down who forks.
		_ = write(dir, "freezer.state", string(cgroups.Frozen))
	}
	// Without a freezer, a group that forks is outrun by repetition, or not.
	seen := map[int]bool{}
	for range 100 {
		pids, err := g.Pids()
		if err != nil {
			return err
		}
		fresh := false
		for _, pid := range pids {
			fresh = fresh || !seen[pid]
			seen[pid] = true
			if err := unix.Kill(pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
				return fmt.Errorf("kill process %d of cgroup %s: %w", pid, g.name, err)
			}
		}
		if !fresh {
			return nil
		}
	}
	return fmt.Errorf("kill cgroup %s: it makes processes faster than they are killed", g.name)
}
