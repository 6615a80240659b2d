package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/opencontainers/cgroups"
)

// Update changes limits while processes run under them. What r does not
// mention stays; without rules for devices, those stay. On an error all is as
// it was before. In v1, a memory limit that is higher than the one on memory
// and swap is refused unless both are given. A limit below what is in use is
// refused by v1; in v2 it takes effect, and processes may be killed, unless
// Memory.CheckBeforeUpdate is set.
func (g *Group) Update(r *Resources) error {
	_, err := g.Change(r)
	return err
}

// Change is Update with a way back: undo makes the limits what they were,
// except rules for devices.
func (g *Group) Change(r *Resources) (undo func() error, err error) {
	c, err := g.resources(r)
	if err != nil {
		return nil, err
	}
	if g.host.mode == V2 {
		completeV2(c, g.dirs[unified])
	}
	rules := c.Devices
	c.Devices, c.SkipDevices = nil, true
	before := g.remember(c)
	if m := r.Memory; m != nil && m.KernelTCP != nil {
		before.add(g.dirs["memory"], tcpLimit)
	}
	err = g.set(c)
	if err == nil {
		err = g.limitTCP(r)
	}
	if err == nil && len(rules) > 0 {
		// Last, because it cannot be taken back.
		err = g.set(&cgroups.Resources{Devices: rules})
	}
	if err != nil {
		return nil, errors.Join(err, before.restore())
	}
	return before.restore, nil
}

// completeV2 adds the other half of settings that v2 has in one file, or as a
// difference, and that the library would take for unset.
func completeV2(c *cgroups.Resources, dir string) {
	text := func(file string) string {
		b, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			return "" // setting it will say more
		}
		return strings.TrimSpace(string(b))
	}
	if (c.CpuQuota == 0) != (c.CpuPeriod == 0) {
		quota, period, _ := strings.Cut(text("cpu.max"), " ")
		if v, ok := number([]byte(quota)); ok && c.CpuQuota == 0 {
			c.CpuQuota = int64(v)
		}
		if v, ok := number([]byte(period)); ok && c.CpuPeriod == 0 {
			c.CpuPeriod = v
		}
	}
	if c.MemorySwap > 0 && c.Memory == 0 {
		c.Memory = -1
		if v, ok := number([]byte(text("memory.max"))); ok {
			c.Memory = int64(v)
		}
	}
}

// A knob is a file with what it held.
type knob struct {
	dir, file, text string
	// reset are lines that undo those which a file of many lines did not have
	// before.
	reset []string
}

type knobs []knob

// remember reads what set is about to change.
func (g *Group) remember(c *cgroups.Resources) knobs {
	if g.host.mode == V2 {
		return rememberV2(c, g.dirs[unified])
	}
	var k knobs
	for _, f := range []struct {
		set              bool
		controller, file string
	}{
		{c.Memory != 0 || c.MemorySwap != 0, "memory", "memory.limit_in_bytes"},
		{c.Memory != 0 || c.MemorySwap != 0, "memory", "memory.memsw.limit_in_bytes"},
		{c.MemoryReservation != 0, "memory", "memory.soft_limit_in_bytes"},
		{c.MemorySwappiness != nil, "memory", "memory.swappiness"},
		{c.CpuShares != 0, "cpu", "cpu.shares"},
		{c.CpuPeriod != 0, "cpu", "cpu.cfs_period_us"},
		{c.CpuQuota != 0, "cpu", "cpu.cfs_quota_us"},
		{c.CpuBurst != nil, "cpu", "cpu.cfs_burst_us"},
		{c.CPUIdle != nil, "cpu", "cpu.idle"},
		{c.CpuRtPeriod != 0, "cpu", "cpu.rt_period_us"},
		{c.CpuRtRuntime != 0, "cpu", "cpu.rt_runtime_us"},
		{c.CpusetCpus != "", "cpuset", "cpuset.cpus"},
		{c.CpusetMems != "", "cpuset", "cpuset.mems"},
		{c.PidsLimit != nil, "pids", "pids.max"},
		{c.BlkioWeight != 0, "blkio", "blkio.weight"},
		{c.BlkioWeight != 0, "blkio", "blkio.bfq.weight"},
		{c.BlkioLeafWeight != 0, "blkio", "blkio.leaf_weight"},
		{c.NetClsClassid != 0, "net_cls", "net_cls.classid"},
		{len(c.NetPrioIfpriomap) > 0, "net_prio", "net_prio.ifpriomap"},
	} {
		if f.set {
			k.add(g.dirs[f.controller], f.file)
		}
	}
	for _, h := range c.HugetlbLimit {
		k.add(g.dirs["hugetlb"], "hugetlb."+h.Pagesize+".limit_in_bytes")
		k.add(g.dirs["hugetlb"], "hugetlb."+h.Pagesize+".rsvd.limit_in_bytes")
	}
	for name := range c.Rdma {
		k.add(g.dirs["rdma"], "rdma.max", name+" hca_handle=max hca_object=max")
	}
	for file, list := range map[string][]*cgroups.ThrottleDevice{
		"blkio.throttle.read_bps_device": c.BlkioThrottleReadBpsDevice, "blkio.throttle.write_bps_device": c.BlkioThrottleWriteBpsDevice,
		"blkio.throttle.read_iops_device": c.BlkioThrottleReadIOPSDevice, "blkio.throttle.write_iops_device": c.BlkioThrottleWriteIOPSDevice,
	} {
		for _, d := range list {
			k.add(g.dirs["blkio"], file, fmt.Sprintf("%d:%d 0", d.Major, d.Minor))
		}
	}
	return k
}

func rememberV2(c *cgroups.Resources, dir string) knobs {
	var k knobs
	for _, f := range []struct {
		set  bool
		file string
	}{
		{c.Memory != 0 || c.MemorySwap != 0, "memory.max"},
		{c.Memory != 0 || c.MemorySwap != 0, "memory.swap.max"},
		{c.MemoryReservation != 0, "memory.low"},
		{c.CpuWeight != 0, "cpu.weight"},
		{c.CpuQuota != 0 || c.CpuPeriod != 0, "cpu.max"},
		{c.CpuBurst != nil, "cpu.max.burst"},
		{c.CPUIdle != nil, "cpu.idle"},
		{c.CpusetCpus != "", "cpuset.cpus"},
		{c.CpusetMems != "", "cpuset.mems"},
		{c.PidsLimit != nil, "pids.max"},
		{c.BlkioWeight != 0, "io.weight"},
		{c.BlkioWeight != 0, "io.bfq.weight"},
	} {
		if f.set {
			k.add(dir, f.file)
		}
	}
	for _, h := range c.HugetlbLimit {
		k.add(dir, "hugetlb."+h.Pagesize+".max")
		k.add(dir, "hugetlb."+h.Pagesize+".rsvd.max")
	}
	for name := range c.Rdma {
		k.add(dir, "rdma.max", name+" hca_handle=max hca_object=max")
	}
	for _, d := range slices.Concat(c.BlkioThrottleReadBpsDevice, c.BlkioThrottleWriteBpsDevice, c.BlkioThrottleReadIOPSDevice, c.BlkioThrottleWriteIOPSDevice) {
		k.add(dir, "io.max", fmt.Sprintf("%d:%d rbps=max wbps=max riops=max wiops=max", d.Major, d.Minor))
	}
	for _, d := range c.BlkioWeightDevice {
		for _, file := range []string{"io.weight", "io.bfq.weight"} {
			k.add(dir, file, fmt.Sprintf("%d:%d default", d.Major, d.Minor))
		}
	}
	for file := range c.Unified {
		k.add(dir, file)
	}
	return k
}

func (k *knobs) add(dir, file string, reset ...string) {
	if text, err := os.ReadFile(filepath.Join(dir, file)); err == nil {
		*k = append(*k, knob{dir, file, strings.TrimSpace(string(text)), reset})
	}
}

// restore writes back what differs. Limits that bound each other may need the
// other one to be back first: what cannot be written is tried again at the end.
func (k knobs) restore() error {
	var failed knobs
	for _, one := range k {
		if one.restore() != nil {
			failed = append(failed, one)
		}
	}
	var errs []error
	for _, one := range failed {
		if err := one.restore(); err != nil {
			errs = append(errs, fmt.Errorf("restore %s: %w", filepath.Join(one.dir, one.file), err))
		}
	}
	return errors.Join(errs...)
}

func (k knob) restore() error {
	now, err := os.ReadFile(filepath.Join(k.dir, k.file))
	if err != nil || strings.TrimSpace(string(now)) == k.text {
		return err
	}
	for _, line := range k.reset {
		if err := write(k.dir, k.file, line+"\n"); err != nil {
			return err
		}
	}
	for line := range strings.SplitSeq(k.text, "\n") {
		if line == "" && len(k.reset) > 0 {
			continue
		}
		if err := write(k.dir, k.file, line+"\n"); err != nil {
			return err
		}
	}
	return nil
}
