package stage

import specs "github.com/opencontainers/runtime-spec/specs-go"

// leastTasks is more threads than a stage ever has.
const leastTasks = 16

// SplitLimits sets apart from a container's limits what would keep a stage from its
// work: a number of tasks that is less than the threads that a Go program may want. It
// is to be set when process 1 is created (Process.Created), and nil if it is as most are.
func SplitLimits(r *specs.LinuxResources) (first, last *specs.LinuxResources) {
	if r == nil || r.Pids == nil || r.Pids.Limit == nil || *r.Pids.Limit < 0 || *r.Pids.Limit >= leastTasks {
		return r, nil
	}
	without := *r
	without.Pids = nil
	return &without, &specs.LinuxResources{Pids: r.Pids}
}
