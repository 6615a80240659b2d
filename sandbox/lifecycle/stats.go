package lifecycle

import (
	"github.com/opencontainers/cgroups"

	"github.com/berth-engine/berth/kernel/cgroup"
)

// An Event is what Root.Events tells, in the form of runc.
type Event struct {
	Type string `json:"type"` // "stats" or "oom"
	ID   string `json:"id"`
	Data *Stats `json:"data,omitempty"`
}

// Stats are the counters of a container as runc prints them
// (types/events.go there); containerd and others read them.
type Stats struct {
	CPU struct {
		Usage struct {
			// Nanoseconds.
			Total        uint64   `json:"total,omitempty"`
			PerCPU       []uint64 `json:"percpu,omitempty"`
			PerCPUKernel []uint64 `json:"percpu_kernel,omitempty"`
			PerCPUUser   []uint64 `json:"percpu_user,omitempty"`
			Kernel       uint64   `json:"kernel"`
			User         uint64   `json:"user"`
		} `json:"usage"`
		Throttling struct {
			Periods          uint64 `json:"periods,omitempty"`
			ThrottledPeriods uint64 `json:"throttledPeriods,omitempty"`
			ThrottledTime    uint64 `json:"throttledTime,omitempty"`
		} `json:"throttling"`
		PSI *cgroups.PSIStats `json:"psi,omitempty"`
	} `json:"cpu"`
	CPUSet cpuset `json:"cpuset"`
	Memory struct {
		Cache     uint64            `json:"cache,omitempty"`
		Usage     memory            `json:"usage"`
		Swap      memory            `json:"swap"`
		Kernel    memory            `json:"kernel"`
		KernelTCP memory            `json:"kernelTCP"`
		Raw       map[string]uint64 `json:"raw,omitempty"`
		PSI       *cgroups.PSIStats `json:"psi,omitempty"`
	} `json:"memory"`
	Pids struct {
		Current uint64 `json:"current,omitempty"`
		Limit   uint64 `json:"limit,omitempty"`
	} `json:"pids"`
	BlockIO struct {
		ServiceBytes []device          `json:"ioServiceBytesRecursive,omitempty"`
		Serviced     []device          `json:"ioServicedRecursive,omitempty"`
		Queued       []device          `json:"ioQueueRecursive,omitempty"`
		ServiceTime  []device          `json:"ioServiceTimeRecursive,omitempty"`
		WaitTime     []device          `json:"ioWaitTimeRecursive,omitempty"`
		Merged       []device          `json:"ioMergedRecursive,omitempty"`
		Time         []device          `json:"ioTimeRecursive,omitempty"`
		Sectors      []device          `json:"sectorsRecursive,omitempty"`
		PSI          *cgroups.PSIStats `json:"psi,omitempty"`
	} `json:"blkio"`
	HugeTLB map[string]hugePages `json:"hugetlb"`
	// Never filled: it is not supported (docs/runtime.md).
	IntelRDT struct{} `json:"intel_rdt"`
	Networks []any    `json:"network_interfaces"`
}

type cpuset struct {
	CPUs                  []uint16 `json:"cpus,omitempty"`
	CPUExclusive          uint64   `json:"cpu_exclusive"`
	Mems                  []uint16 `json:"mems,omitempty"`
	MemHardwall           uint64   `json:"mem_hardwall"`
	MemExclusive          uint64   `json:"mem_exclusive"`
	MemoryMigrate         uint64   `json:"memory_migrate"`
	MemorySpreadPage      uint64   `json:"memory_spread_page"`
	MemorySpreadSlab      uint64   `json:"memory_spread_slab"`
	MemoryPressure        uint64   `json:"memory_pressure"`
	SchedLoadBalance      uint64   `json:"sched_load_balance"`
	SchedRelaxDomainLevel int64    `json:"sched_relax_domain_level"`
}

type memory struct {
	Limit   uint64 `json:"limit"`
	Usage   uint64 `json:"usage,omitempty"`
	Max     uint64 `json:"max,omitempty"`
	Failcnt uint64 `json:"failcnt"`
}

type hugePages struct {
	Usage   uint64 `json:"usage,omitempty"`
	Max     uint64 `json:"max,omitempty"`
	Failcnt uint64 `json:"failcnt"`
}

type device struct {
	Major uint64 `json:"major,omitempty"`
	Minor uint64 `json:"minor,omitempty"`
	Op    string `json:"op,omitempty"`
	Value uint64 `json:"value,omitempty"`
}

func (c *Container) stats(g *cgroup.Group) (*Event, error) {
	all, err := g.AllStats()
	if err != nil {
		return nil, err
	}
	s := &Stats{CPUSet: cpuset(all.CPUSetStats), HugeTLB: map[string]hugePages{}}
	cpu, used := &all.CpuStats, &s.CPU.Usage
	used.Total, used.User, used.Kernel = cpu.CpuUsage.TotalUsage, cpu.CpuUsage.UsageInUsermode, cpu.CpuUsage.UsageInKernelmode
	used.PerCPU, used.PerCPUKernel, used.PerCPUUser = cpu.CpuUsage.PercpuUsage, cpu.CpuUsage.PercpuUsageInKernelmode, cpu.CpuUsage.PercpuUsageInUsermode
	s.CPU.Throttling.Periods = cpu.ThrottlingData.Periods
	s.CPU.Throttling.ThrottledPeriods = cpu.ThrottlingData.ThrottledPeriods
	s.CPU.Throttling.ThrottledTime = cpu.ThrottlingData.ThrottledTime
	s.CPU.PSI = cpu.PSI
	m := &all.MemoryStats
	s.Memory.Cache, s.Memory.Raw, s.Memory.PSI = m.Cache, m.Stats, m.PSI
	for to, from := range map[*memory]cgroups.MemoryData{
		&s.Memory.Usage: m.Usage, &s.Memory.Swap: m.SwapUsage, &s.Memory.Kernel: m.KernelUsage, &s.Memory.KernelTCP: m.KernelTCPUsage,
	} {
		*to = memory{Limit: from.Limit, Usage: from.Usage, Max: from.MaxUsage, Failcnt: from.Failcnt}
	}
	s.Pids.Current, s.Pids.Limit = all.PidsStats.Current, all.PidsStats.Limit
	io := &all.BlkioStats
	s.BlockIO.PSI = io.PSI
	for to, from := range map[*[]device][]cgroups.BlkioStatEntry{
		&s.BlockIO.ServiceBytes: io.IoServiceBytesRecursive, &s.BlockIO.Serviced: io.IoServicedRecursive,
		&s.BlockIO.Queued: io.IoQueuedRecursive, &s.BlockIO.ServiceTime: io.IoServiceTimeRecursive,
		&s.BlockIO.WaitTime: io.IoWaitTimeRecursive, &s.BlockIO.Merged: io.IoMergedRecursive,
		&s.BlockIO.Time: io.IoTimeRecursive, &s.BlockIO.Sectors: io.SectorsRecursive,
	} {
		for _, e := range from {
			*to = append(*to, device(e))
		}
	}
	for size, h := range all.HugetlbStats {
		s.HugeTLB[size] = hugePages{Usage: h.Usage, Max: h.MaxUsage, Failcnt: h.Failcnt}
	}
	return &Event{Type: "stats", ID: c.ID, Data: s}, nil
}
