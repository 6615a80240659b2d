package cgroup

import (
	"fmt"
	"slices"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/cgroups"
)

// need is a setting and the controller that it takes.
type need struct {
	set        bool
	field      string // as in the OCI configuration
	controller string // of v1; "" where v2 has none for it
	v2         string
}

// supported refuses what this host's kernel has no controller for: the library
// would leave some of it out silently.
func (h *host) supported(c *cgroups.Resources) error {
	for _, n := range []need{
		{c.Memory != 0, "memory.limit", "memory", "memory"},
		{c.MemorySwap != 0, "memory.swap", "memory", "memory"},
		{c.MemoryReservation != 0, "memory.reservation", "memory", "memory"},
		{c.MemorySwappiness != nil, "memory.swappiness", "memory", ""},
		{c.OomKillDisable, "memory.disableOOMKiller", "memory", ""},
		{c.CpuShares != 0, "cpu.shares", "cpu", "cpu"},
		{c.CpuQuota != 0 || c.CpuPeriod != 0 || c.CpuBurst != nil, "cpu.quota", "cpu", "cpu"},
		{c.CPUIdle != nil, "cpu.idle", "cpu", "cpu"},
		{c.CpuRtRuntime != 0, "cpu.realtimeRuntime", "cpu", ""},
		{c.CpuRtPeriod != 0, "cpu.realtimePeriod", "cpu", ""},
		{c.CpusetCpus != "", "cpu.cpus", "cpuset", "cpuset"},
		{c.CpusetMems != "", "cpu.mems", "cpuset", "cpuset"},
		{c.PidsLimit != nil, "pids.limit", "pids", "pids"},
		{c.BlkioWeight != 0 || len(c.BlkioWeightDevice) > 0, "blockIO.weight", "blkio", "io"},
		{c.BlkioLeafWeight != 0, "blockIO.leafWeight", "blkio", ""},
		{len(c.BlkioThrottleReadBpsDevice)+len(c.BlkioThrottleWriteBpsDevice)+
			len(c.BlkioThrottleReadIOPSDevice)+len(c.BlkioThrottleWriteIOPSDevice) > 0, "blockIO.throttle", "blkio", "io"},
		{len(c.HugetlbLimit) > 0, "hugepageLimits", "hugetlb", "hugetlb"},
		{len(c.Rdma) > 0, "rdma", "rdma", "rdma"},
		{c.NetClsClassid != 0, "network.classID", "net_cls", ""},
		{len(c.NetPrioIfpriomap) > 0, "network.priorities", "net_prio", ""},
	} {
		if !n.set {
			continue
		}
		controller := n.controller
		if h.mode == V2 {
			if controller = n.v2; controller == "" {
				return fmt.Errorf("%s: cgroup v2 has no such setting: %w", n.field, errdefs.ErrNotImplemented)
			}
		}
		if !h.has(controller) {
			return fmt.Errorf("%s: this host has no %s controller: %w", n.field, controller, errdefs.ErrNotImplemented)
		}
	}
	return nil
}

// has tells whether limits of a controller can be set.
func (h *host) has(controller string) bool {
	if h.mode != V2 {
		_, ok := h.dirs[controller]
		return ok
	}
	return slices.Contains(h.controllers, controller)
}
