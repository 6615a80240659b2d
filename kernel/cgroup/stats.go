package cgroup

import "math"

// NoLimit stands for a limit that is not set.
const NoLimit = math.MaxUint64

// Stats is what the kernel counts of a group and of the groups below it. What
// the host has no controller for is zero.
type Stats struct {
	CPU    CPUStats
	Memory MemoryStats
	Pids   PidsStats
	IO     IOStats
}

// CPUStats are times in nanoseconds.
type CPUStats struct {
	Total, User, System uint64
	PerCPU              []uint64 // v1 only
	Periods             uint64   // of the quota, in which something ran
	Throttled           uint64   // periods in which the quota was used up
	ThrottledTime       uint64
}

// MemoryStats are in bytes.
type MemoryStats struct {
	Usage    uint64
	MaxUsage uint64 // 0 where the kernel does not tell
	Limit    uint64 // NoLimit: none
	// Failures counts how often the limit was hit (v1) or could not be kept to
	// (v2).
	Failures uint64
	// Detail is memory.stat, by the kernel's names, which differ between v1 and
	// v2.
	Detail map[string]uint64
}

// PidsStats are numbers of tasks.
type PidsStats struct {
	Current uint64
	Limit   uint64 // NoLimit: none
}

// IOStats are of block devices.
type IOStats struct {
	Bytes      []IOCount
	Operations []IOCount // v1 only
}

// IOCount is one counter of a device. Op is the kernel's word on v1 ("Read",
// "Write", "Sync", …, "Total"), "read" or "write" on v2.
type IOCount struct {
	Major, Minor uint64
	Op           string
	Value        uint64
}

// Stats reads the counters into s; what s has allocated is used again. The
// error is errdefs.NotFound when the group is gone.
func (g *Group) Stats(s *Stats) error {
	r := g.OpenStats()
	defer r.Close()
	return r.Read(s)
}

// reset empties s and keeps what it has allocated.
func (s *Stats) reset() {
	detail, per, bytes, ops := s.Memory.Detail, s.CPU.PerCPU[:0], s.IO.Bytes[:0], s.IO.Operations[:0]
	if detail == nil {
		detail = make(map[string]uint64, 64)
	}
	*s = Stats{}
	s.Memory.Detail, s.CPU.PerCPU, s.IO.Bytes, s.IO.Operations = detail, per, bytes, ops
	s.Memory.Limit, s.Pids.Limit = NoLimit, NoLimit
}

// A source is a file of a group and what it tells.
type source struct {
	controller, file string
	parse            func(s *Stats, text []byte)
}

var sourcesV2 = []source{
	{unified, "cpu.stat", func(s *Stats, text []byte) {
		pairs(text, func(key []byte, v uint64) {
			switch string(key) {
			case "usage_usec":
				s.CPU.Total = v * 1000
			case "user_usec":
				s.CPU.User = v * 1000
			case "system_usec":
				s.CPU.System = v * 1000
			case "nr_periods":
				s.CPU.Periods = v
			case "nr_throttled":
				s.CPU.Throttled = v
			case "throttled_usec":
				s.CPU.ThrottledTime = v * 1000
			}
		})
	}},
	{unified, "memory.current", func(s *Stats, text []byte) { into(&s.Memory.Usage, text) }},
	{unified, "memory.peak", func(s *Stats, text []byte) { into(&s.Memory.MaxUsage, text) }}, // since Linux 5.19
	{unified, "memory.max", func(s *Stats, text []byte) { into(&s.Memory.Limit, text) }},
	{unified, "memory.stat", func(s *Stats, text []byte) { detail(s, text) }},
	{unified, "memory.events", func(s *Stats, text []byte) {
		pairs(text, func(key []byte, v uint64) {
			if string(key) == "oom" {
				s.Memory.Failures = v
			}
		})
	}},
	{unified, "pids.current", func(s *Stats, text []byte) { into(&s.Pids.Current, text) }},
	{unified, "pids.max", func(s *Stats, text []byte) { into(&s.Pids.Limit, text) }},
	{unified, "io.stat", func(s *Stats, text []byte) {
		lines(text, func(line []byte) { s.IO.Bytes = appendIOStat(s.IO.Bytes, line) })
	}},
}

var sourcesV1 = []source{
	{"cpuacct", "cpuacct.usage", func(s *Stats, text []byte) { into(&s.CPU.Total, text) }},
	{"cpuacct", "cpuacct.usage_user", func(s *Stats, text []byte) { into(&s.CPU.User, text) }},
	{"cpuacct", "cpuacct.usage_sys", func(s *Stats, text []byte) { into(&s.CPU.System, text) }},
	{"cpuacct", "cpuacct.usage_percpu", func(s *Stats, text []byte) { s.CPU.PerCPU = appendNumbers(s.CPU.PerCPU, text) }},
	{"cpu", "cpu.stat", func(s *Stats, text []byte) {
		pairs(text, func(key []byte, v uint64) {
			switch string(key) {
			case "nr_periods":
				s.CPU.Periods = v
			case "nr_throttled":
				s.CPU.Throttled = v
			case "throttled_time":
				s.CPU.ThrottledTime = v
			}
		})
	}},
	{"memory", "memory.usage_in_bytes", func(s *Stats, text []byte) { into(&s.Memory.Usage, text) }},
	{"memory", "memory.max_usage_in_bytes", func(s *Stats, text []byte) { into(&s.Memory.MaxUsage, text) }},
	{"memory", "memory.limit_in_bytes", func(s *Stats, text []byte) {
		if into(&s.Memory.Limit, text); s.Memory.Limit >= unlimitedV1 {
			s.Memory.Limit = NoLimit
		}
	}},
	{"memory", "memory.failcnt", func(s *Stats, text []byte) { into(&s.Memory.Failures, text) }},
	{"memory", "memory.stat", func(s *Stats, text []byte) { detail(s, text) }},
	{"pids", "pids.current", func(s *Stats, text []byte) { into(&s.Pids.Current, text) }},
	{"pids", "pids.max", func(s *Stats, text []byte) { into(&s.Pids.Limit, text) }},
	{"blkio", "blkio.throttle.io_service_bytes_recursive", func(s *Stats, text []byte) {
		lines(text, func(line []byte) { s.IO.Bytes = appendBlkio(s.IO.Bytes, line) })
	}},
	{"blkio", "blkio.throttle.io_serviced_recursive", func(s *Stats, text []byte) {
		lines(text, func(line []byte) { s.IO.Operations = appendBlkio(s.IO.Operations, line) })
	}},
}

func detail(s *Stats, text []byte) {
	pairs(text, func(key []byte, v uint64) { s.Memory.Detail[string(key)] = v }) // a key that is there is not allocated
}

// unlimitedV1 is what memory.limit_in_bytes shows without a limit: the largest
// number of whole pages, of 64 KiB at most.
const unlimitedV1 = math.MaxInt64 &^ 0xffff
