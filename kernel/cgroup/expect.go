package cgroup

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Expect readies the kernel for a process that will be put into groups. To put
// one there takes a lock (cgroup_threadgroup_rwsem) of which the first taker after a
// pause waits for a grace period of RCU, 4 to 20 milliseconds, and those after it for
// nothing, until about as long after the last. Expect takes it, by putting this
// process where it is, and returns when it has.
func Expect() error {
	h, err := detected()
	if err != nil {
		return err
	}
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(text)) { // 4:memory:/path, 0::/path
		_, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
		controllers, path, ok := strings.Cut(rest, ":")
		if dir := h.dirs[strings.Split(controllers, ",")[0]]; ok && dir != "" {
			return write(filepath.Join(dir, path), "cgroup.procs", "0")
		}
	}
	return fmt.Errorf("control groups: none of this process is in a hierarchy that is mounted: %w", os.ErrNotExist)
}
