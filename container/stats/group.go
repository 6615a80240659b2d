package stats

import (
	"github.com/moby/moby/api/types/container"

	"github.com/berth-engine/berth/kernel/cgroup"
)

// Group brings the kernel's counters into the API's form, as Docker does on the
// same version of cgroups. The maps and lists of g are shared with s.
func Group(s *container.StatsResponse, g *cgroup.Stats, v2 bool) {
	s.CPUStats.CPUUsage = container.CPUUsage{
		TotalUsage: g.CPU.Total, PercpuUsage: g.CPU.PerCPU,
		UsageInKernelmode: g.CPU.System, UsageInUsermode: g.CPU.User,
	}
	s.CPUStats.ThrottlingData = container.ThrottlingData{
		Periods: g.CPU.Periods, ThrottledPeriods: g.CPU.Throttled, ThrottledTime: g.CPU.ThrottledTime,
	}
	s.MemoryStats = container.MemoryStats{
		Usage: g.Memory.Usage, Stats: g.Memory.Detail, Failcnt: g.Memory.Failures, Limit: g.Memory.Limit,
	}
	if !v2 {
		s.MemoryStats.MaxUsage = g.Memory.MaxUsage
	}
	if host := machineMemory(); host > 0 && s.MemoryStats.Limit > host {
		s.MemoryStats.Limit = host
	}
	s.PidsStats.Current = g.Pids.Current
	if g.Pids.Limit != cgroup.NoLimit {
		s.PidsStats.Limit = g.Pids.Limit
	}
	s.BlkioStats.IoServiceBytesRecursive = entries(g.IO.Bytes, v2)
	if !v2 {
		// Without these counters the lists are empty, and not null.
		none := []container.BlkioStatEntry{}
		s.BlkioStats.IoServicedRecursive = entries(g.IO.Operations, v2)
		s.BlkioStats.IoQueuedRecursive, s.BlkioStats.IoServiceTimeRecursive = none, none
		s.BlkioStats.IoWaitTimeRecursive, s.BlkioStats.IoMergedRecursive = none, none
		s.BlkioStats.IoTimeRecursive, s.BlkioStats.SectorsRecursive = none, none
	}
}

func entries(counts []cgroup.IOCount, v2 bool) []container.BlkioStatEntry {
	if len(counts) == 0 && v2 {
		return nil
	}
	out := make([]container.BlkioStatEntry, len(counts))
	for i, c := range counts {
		out[i] = container.BlkioStatEntry{Major: c.Major, Minor: c.Minor, Op: c.Op, Value: c.Value}
	}
	return out
}
