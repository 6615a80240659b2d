package cgroup

import (
	"errors"
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// Signal sends a signal to each process that the group has now. What they fork
// meanwhile may miss it; Kill misses nothing.
func (g *Group) Signal(sig syscall.Signal) error {
	pids, err := g.Pids()
	if err != nil {
		return err
	}
	for _, pid := range pids {
		if err := unix.Kill(pid, sig); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("signal process %d of cgroup %s: %w", pid, g.name, err)
		}
	}
	return nil
}

// Dirs returns what JoinDirs will of a group that is about to be made.
func Dirs(parent, id string) ([]string, error) {
	g, err := newGroup(parent, id)
	if err != nil {
		return nil, err
	}
	return g.all(), nil
}
