package spec

import (
	"github.com/moby/moby/api/types/container"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Size of one period of the CPU scheduler in µs, for NanoCPUs.
const cpuPeriod = 100_000

// DefaultShmSize of /dev/shm in bytes.
const DefaultShmSize = 64 << 20

func resources(in *Input) *specs.LinuxResources {
	h := in.Host
	r := &specs.LinuxResources{
		Devices: deviceRules(in),
		Memory:  memory(h),
		CPU:     cpu(h),
	}
	if h.PidsLimit != nil && *h.PidsLimit > 0 {
		r.Pids = &specs.LinuxPids{Limit: h.PidsLimit}
	}
	b := in.Blkio
	if h.BlkioWeight != 0 || len(b.Weight)+len(b.ReadBps)+len(b.WriteBps)+len(b.ReadIOps)+len(b.WriteIOps) > 0 {
		r.BlockIO = &specs.LinuxBlockIO{
			WeightDevice:           b.Weight,
			ThrottleReadBpsDevice:  b.ReadBps,
			ThrottleWriteBpsDevice: b.WriteBps, ThrottleReadIOPSDevice: b.ReadIOps, ThrottleWriteIOPSDevice: b.WriteIOps,
		}
		if h.BlkioWeight != 0 {
			r.BlockIO.Weight = &h.BlkioWeight
		}
	}
	return r
}

// Limits are those of h's limits that a request to change them is about. Limits
// that the kernel counts together come together. Nil: it is about none.
func Limits(h *container.HostConfig, asked *container.Resources) *specs.LinuxResources {
	r := &specs.LinuxResources{}
	if asked.Memory != 0 || asked.MemorySwap != 0 || asked.MemoryReservation != 0 {
		if r.Memory = memory(h); r.Memory != nil {
			// How the kernel goes about it stays as it is.
			r.Memory.Swappiness, r.Memory.DisableOOMKiller = nil, nil
		}
	}
	if asked.CPUShares != 0 || asked.NanoCPUs != 0 || asked.CPUPeriod != 0 || asked.CPUQuota != 0 ||
		asked.CpusetCpus != "" || asked.CpusetMems != "" {
		r.CPU = cpu(h)
	}
	if asked.PidsLimit != nil {
		limit := int64(-1) // what Docker calls 0, or any negative number, is no limit
		if h.PidsLimit != nil && *h.PidsLimit > 0 {
			limit = *h.PidsLimit
		}
		r.Pids = &specs.LinuxPids{Limit: &limit}
	}
	if asked.BlkioWeight != 0 && h.BlkioWeight != 0 {
		r.BlockIO = &specs.LinuxBlockIO{Weight: &h.BlkioWeight}
	}
	if r.Memory == nil && r.CPU == nil && r.Pids == nil && r.BlockIO == nil {
		return nil
	}
	return r
}

func memory(h *container.HostConfig) *specs.LinuxMemory {
	m := &specs.LinuxMemory{DisableOOMKiller: h.OomKillDisable}
	some := h.OomKillDisable != nil && *h.OomKillDisable
	if h.Memory > 0 {
		m.Limit, some = &h.Memory, true
	}
	if h.MemoryReservation > 0 {
		m.Reservation, some = &h.MemoryReservation, true
	}
	if h.MemorySwap != 0 {
		m.Swap, some = &h.MemorySwap, true
	}
	if s := h.MemorySwappiness; s != nil && *s >= 0 {
		u := uint64(*s)
		m.Swappiness, some = &u, true
	}
	if !some {
		return nil
	}
	return m
}

func cpu(h *container.HostConfig) *specs.LinuxCPU {
	c := &specs.LinuxCPU{Cpus: h.CpusetCpus, Mems: h.CpusetMems}
	if h.CPUShares != 0 {
		s := uint64(h.CPUShares)
		c.Shares = &s
	}
	if h.NanoCPUs > 0 {
		period, quota := uint64(cpuPeriod), h.NanoCPUs*cpuPeriod/1e9
		c.Period, c.Quota = &period, &quota
	}
	if h.CPUPeriod != 0 {
		p := uint64(h.CPUPeriod)
		c.Period = &p
	}
	if h.CPUQuota != 0 {
		c.Quota = &h.CPUQuota
	}
	if h.CPURealtimePeriod != 0 {
		p := uint64(h.CPURealtimePeriod)
		c.RealtimePeriod = &p
	}
	if h.CPURealtimeRuntime != 0 {
		c.RealtimeRuntime = &h.CPURealtimeRuntime
	}
	if *c == (specs.LinuxCPU{}) {
		return nil
	}
	return c
}

// deviceRules: nothing, then making nodes, then the devices that every
// container has, then the request's.
func deviceRules(in *Input) []specs.LinuxDeviceCgroup {
	if in.Host.Privileged {
		return []specs.LinuxDeviceCgroup{{Allow: true, Access: "rwm"}}
	}
	char := func(major, minor int64) specs.LinuxDeviceCgroup {
		return specs.LinuxDeviceCgroup{Allow: true, Type: "c", Major: &major, Minor: &minor, Access: "rwm"}
	}
	rules := []specs.LinuxDeviceCgroup{
		atFirst,
		{Allow: true, Type: "c", Access: "m"},
		{Allow: true, Type: "b", Access: "m"},
		char(1, 3), char(1, 5), char(1, 7), char(1, 8), char(1, 9),
		char(5, 0), char(5, 1), char(5, 2),
	}
	pts := int64(136)
	rules = append(rules, specs.LinuxDeviceCgroup{Allow: true, Type: "c", Major: &pts, Access: "rwm"})
	for i := range in.Devices {
		d := &in.Devices[i]
		rules = append(rules, specs.LinuxDeviceCgroup{Allow: true, Type: d.Type, Major: &d.Major, Minor: &d.Minor, Access: d.Access})
	}
	for _, text := range in.Host.DeviceCgroupRules {
		// Checked when the container was made.
		if r, err := ParseDeviceRule(text); err == nil {
			rules = append(rules, r)
		}
	}
	return rules
}

func nodes(devices []Device) []specs.LinuxDevice {
	var out []specs.LinuxDevice
	for _, d := range devices {
		out = append(out, d.LinuxDevice)
	}
	return out
}
