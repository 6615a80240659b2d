package stage

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// joinGroups puts the stage into its groups, unless its parent has done so. It
// is this thread alone that enters a v1 group: the kernel then needs not wait
// until all processors know that a process with many threads moves, which
// takes it milliseconds (rcu_sync in cgroup_threadgroup_rwsem). The other
// threads end when the program is executed.
func (s *setup) joinGroups() error {
	if byParent(s.Spec) {
		return nil
	}
	for _, dir := range s.CgroupDirs {
		err := writeIn(dir, "tasks")
		if errors.Is(err, os.ErrNotExist) { // the unified hierarchy
			if s.inGroup {
				continue // cloned into it
			}
			err = writeIn(dir, "cgroup.procs")
		}
		if err != nil {
			return fmt.Errorf("join cgroup: %w", err)
		}
	}
	return nil
}

// byParent tells whether the stage's parent puts it into its groups: root of a
// user namespace may not write there.
func byParent(spec *specs.Spec) bool {
	return slices.ContainsFunc(spec.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == specs.UserNamespace })
}

// writeIn moves the caller to a group.
func writeIn(dir, file string) error {
	f, err := os.OpenFile(filepath.Join(dir, file), os.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteString("0")
	return err
}
