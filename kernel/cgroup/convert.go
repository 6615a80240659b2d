package cgroup

import (
	"fmt"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/cgroups"
	devices "github.com/opencontainers/cgroups/devices/config"
)

// convert turns OCI resources into the library's. Nothing is left out
// silently, except what the OCI specification has declared void (kernel
// memory, use_hierarchy).
func convert(r *Resources, mode Mode) (*cgroups.Resources, error) {
	c := &cgroups.Resources{}
	if r == nil {
		return c, nil
	}
	rules, err := convertDevices(r)
	if err != nil {
		return nil, err
	}
	c.Devices = rules
	convertMemory(c, r)
	convertCPU(c, r, mode)
	if err := convertBlockIO(c, r, mode); err != nil {
		return nil, err
	}
	if r.Pids != nil {
		// Negative: no limit. 0 is one like any other (config-linux.md, PIDs), and the
		// library writes it as 1, which forbids just as much: the container is one task.
		c.PidsLimit = r.Pids.Limit
	}
	for _, h := range r.HugepageLimits {
		c.HugetlbLimit = append(c.HugetlbLimit, &cgroups.HugepageLimit{Pagesize: h.Pagesize, Limit: h.Limit})
	}
	if n := r.Network; n != nil {
		if n.ClassID != nil {
			c.NetClsClassid = *n.ClassID
		}
		for _, p := range n.Priorities {
			c.NetPrioIfpriomap = append(c.NetPrioIfpriomap, &cgroups.IfPrioMap{Interface: p.Name, Priority: int64(p.Priority)})
		}
	}
	for name, l := range r.Rdma {
		if l.HcaHandles == nil && l.HcaObjects == nil {
			return nil, fmt.Errorf("rdma of %s: neither hcaHandles nor hcaObjects is given: %w", name, errdefs.ErrInvalidArgument)
		}
		if c.Rdma == nil {
			c.Rdma = map[string]cgroups.LinuxRdma{}
		}
		c.Rdma[name] = cgroups.LinuxRdma{HcaHandles: l.HcaHandles, HcaObjects: l.HcaObjects}
	}
	if len(r.Unified) > 0 {
		if mode != V2 {
			return nil, fmt.Errorf("invalid configuration: unified resources on a %s host: %w", mode, errdefs.ErrInvalidArgument)
		}
		c.Unified = r.Unified
	}
	return c, nil
}

func convertMemory(c *cgroups.Resources, r *Resources) {
	m := r.Memory
	if m == nil {
		return
	}
	put(&c.Memory, m.Limit)
	put(&c.MemoryReservation, m.Reservation)
	put(&c.MemorySwap, m.Swap)
	c.MemorySwappiness = m.Swappiness
	put(&c.OomKillDisable, m.DisableOOMKiller)
	put(&c.MemoryCheckBeforeUpdate, m.CheckBeforeUpdate)
}

func convertCPU(c *cgroups.Resources, r *Resources, mode Mode) {
	p := r.CPU
	if p == nil {
		return
	}
	put(&c.CpuShares, p.Shares)
	if mode == V2 {
		c.CpuWeight = cgroups.ConvertCPUSharesToCgroupV2Value(c.CpuShares)
	}
	put(&c.CpuQuota, p.Quota)
	c.CpuBurst = p.Burst
	put(&c.CpuPeriod, p.Period)
	put(&c.CpuRtRuntime, p.RealtimeRuntime)
	put(&c.CpuRtPeriod, p.RealtimePeriod)
	c.CpusetCpus, c.CpusetMems = p.Cpus, p.Mems
	c.CPUIdle = p.Idle
}

func put[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}

func convertBlockIO(c *cgroups.Resources, r *Resources, mode Mode) error {
	b := r.BlockIO
	if b == nil {
		return nil
	}
	if err := weightsFit(b, mode); err != nil {
		return err
	}
	put(&c.BlkioWeight, b.Weight)
	put(&c.BlkioLeafWeight, b.LeafWeight)
	for _, d := range b.WeightDevice {
		if d.Weight == nil && d.LeafWeight == nil {
			return fmt.Errorf("blockIO.weightDevice of %d:%d: neither weight nor leafWeight is given: %w", d.Major, d.Minor, errdefs.ErrInvalidArgument)
		}
		var weight, leaf uint16
		put(&weight, d.Weight)
		put(&leaf, d.LeafWeight)
		c.BlkioWeightDevice = append(c.BlkioWeightDevice, cgroups.NewWeightDevice(d.Major, d.Minor, weight, leaf))
	}
	for _, d := range b.ThrottleReadBpsDevice {
		c.BlkioThrottleReadBpsDevice = append(c.BlkioThrottleReadBpsDevice, cgroups.NewThrottleDevice(d.Major, d.Minor, d.Rate))
	}
	for _, d := range b.ThrottleWriteBpsDevice {
		c.BlkioThrottleWriteBpsDevice = append(c.BlkioThrottleWriteBpsDevice, cgroups.NewThrottleDevice(d.Major, d.Minor, d.Rate))
	}
	for _, d := range b.ThrottleReadIOPSDevice {
		c.BlkioThrottleReadIOPSDevice = append(c.BlkioThrottleReadIOPSDevice, cgroups.NewThrottleDevice(d.Major, d.Minor, d.Rate))
	}
	for _, d := range b.ThrottleWriteIOPSDevice {
		c.BlkioThrottleWriteIOPSDevice = append(c.BlkioThrottleWriteIOPSDevice, cgroups.NewThrottleDevice(d.Major, d.Minor, d.Rate))
	}
	return nil
}

func convertDevices(r *Resources) ([]*devices.Rule, error) {
	var out []*devices.Rule
	for _, d := range r.Devices {
		rule := &devices.Rule{
			Allow: d.Allow, Major: devices.Wildcard, Minor: devices.Wildcard,
			Permissions: devices.Permissions(d.Access), Type: devices.WildcardDevice,
		}
		put(&rule.Major, d.Major)
		put(&rule.Minor, d.Minor)
		switch d.Type {
		case "", "a":
		case "b":
			rule.Type = devices.BlockDevice
		case "c", "u":
			rule.Type = devices.CharDevice
		default:
			return nil, fmt.Errorf("device type %q: %w", d.Type, errdefs.ErrInvalidArgument)
		}
		if d.Access == "" {
			rule.Permissions = "rwm"
		}
		if !rule.Permissions.IsValid() {
			return nil, fmt.Errorf("device access %q: %w", d.Access, errdefs.ErrInvalidArgument)
		}
		out = append(out, rule)
	}
	return out, nil
}

// defaultDevices are what every container may use: all nodes may be made, the
// harmless ones and terminals be opened.
func defaultDevices() []*devices.Rule {
	rules := []*devices.Rule{
		{Type: devices.WildcardDevice, Major: devices.Wildcard, Minor: devices.Wildcard, Permissions: "rwm"},
		{Type: devices.CharDevice, Major: devices.Wildcard, Minor: devices.Wildcard, Permissions: "m", Allow: true},
		{Type: devices.BlockDevice, Major: devices.Wildcard, Minor: devices.Wildcard, Permissions: "m", Allow: true},
	}
	for _, d := range [][2]int64{
		{1, 3}, {1, 5}, {1, 7}, {1, 8}, {1, 9}, // null zero full random urandom
		{5, 0}, {5, 1}, {5, 2}, {136, devices.Wildcard}, // tty console ptmx pts
	} {
		rules = append(rules, &devices.Rule{Type: devices.CharDevice, Major: d[0], Minor: d[1], Permissions: "rwm", Allow: true})
	}
	return rules
}
