package cgroup

import (
	"fmt"
	"math"

	"github.com/containerd/errdefs"
)

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
	detail, per, bytes, ops := s.Memory.Detail, s.CPU.PerCPU[:0], s.IO.Bytes[:0], s.IO.Operations[:0]
	if detail == nil {
		detail = make(map[string]uint64, 64)
	}
	*s = Stats{}
	s.Memory.Detail, s.CPU.PerCPU, s.IO.Bytes, s.IO.Operations = detail, per, bytes, ops
	s.Memory.Limit, s.Pids.Limit = NoLimit, NoLimit
	r := &reader{}
	if g.host.mode == V2 {
		g.statsV2(r, s)
	} else {
		g.statsV1(r, s)
	}
	switch {
	case r.err != nil:
		return fmt.Errorf("statistics of cgroup %s: %w", g.name, r.err)
	case r.found == 0:
		return fmt.Errorf("statistics of cgroup %s: %w", g.name, errdefs.ErrNotFound)
	}
	return nil
}

func (g *Group) statsV2(r *reader, s *Stats) {
	dir := g.dirs[unified]
	r.pairs(dir, "cpu.stat", func(key []byte, v uint64) {
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
	s.Memory.Usage = r.number(dir, "memory.current", 0)
	s.Memory.MaxUsage = r.number(dir, "memory.peak", 0) // since Linux 5.19
	s.Memory.Limit = r.number(dir, "memory.max", NoLimit)
	r.pairs(dir, "memory.stat", func(key []byte, v uint64) { set(s.Memory.Detail, key, v) })
	r.pairs(dir, "memory.events", func(key []byte, v uint64) {
		if string(key) == "oom" {
			s.Memory.Failures = v
		}
	})
	s.Pids.Current = r.number(dir, "pids.current", 0)
	s.Pids.Limit = r.number(dir, "pids.max", NoLimit)
	r.lines(dir, "io.stat", func(line []byte) { s.IO.Bytes = appendIOStat(s.IO.Bytes, line) })
}

func (g *Group) statsV1(r *reader, s *Stats) {
	if dir, ok := g.dirs["cpuacct"]; ok {
		s.CPU.Total = r.number(dir, "cpuacct.usage", 0)
		r.lines(dir, "cpuacct.usage_percpu", func(line []byte) { s.CPU.PerCPU = appendNumbers(s.CPU.PerCPU, line) })
		s.CPU.User = r.number(dir, "cpuacct.usage_user", 0)
		s.CPU.System = r.number(dir, "cpuacct.usage_sys", 0)
	}
	if dir, ok := g.dirs["cpu"]; ok {
		r.pairs(dir, "cpu.stat", func(key []byte, v uint64) {
			switch string(key) {
			case "nr_periods":
				s.CPU.Periods = v
			case "nr_throttled":
				s.CPU.Throttled = v
			case "throttled_time":
				s.CPU.ThrottledTime = v
			}
		})
	}
	if dir, ok := g.dirs["memory"]; ok {
		s.Memory.Usage = r.number(dir, "memory.usage_in_bytes", 0)
		s.Memory.MaxUsage = r.number(dir, "memory.max_usage_in_bytes", 0)
		s.Memory.Limit = r.number(dir, "memory.limit_in_bytes", NoLimit)
		if s.Memory.Limit >= unlimitedV1 {
			s.Memory.Limit = NoLimit
		}
		s.Memory.Failures = r.number(dir, "memory.failcnt", 0)
		r.pairs(dir, "memory.stat", func(key []byte, v uint64) { set(s.Memory.Detail, key, v) })
	}
	if dir, ok := g.dirs["pids"]; ok {
		s.Pids.Current = r.number(dir, "pids.current", 0)
		s.Pids.Limit = r.number(dir, "pids.max", NoLimit)
	}
	if dir, ok := g.dirs["blkio"]; ok {
		r.lines(dir, "blkio.throttle.io_service_bytes_recursive", func(line []byte) { s.IO.Bytes = appendBlkio(s.IO.Bytes, line) })
		r.lines(dir, "blkio.throttle.io_serviced_recursive", func(line []byte) { s.IO.Operations = appendBlkio(s.IO.Operations, line) })
	}
}

// unlimitedV1 is what memory.limit_in_bytes shows without a limit: the largest
// number of whole pages, of 64 KiB at most.
const unlimitedV1 = math.MaxInt64 &^ 0xffff
