package e2e

import (
	"github.com/moby/moby/api/types/blkiodev"
	"github.com/moby/moby/api/types/container"
)

const (
	discarded  = `does not support`
	noRealtime = `need cgroup v1 and a kernel with`
)

func throttle(r *request) []*blkiodev.ThrottleDevice {
	return []*blkiodev.ThrottleDevice{{Path: r.w.device, Rate: 12345678}}
}

func weighed(r *request) {
	r.HostConfig.BlkioWeightDevice = []*blkiodev.WeightDevice{{Path: r.w.device, Weight: 77}}
}

// limitProbes: what control groups count. Where the kernel cannot limit a thing,
// create warns in Docker's words.
var limitProbes = []probe{
	{field: "Resources.CPUShares", does: "cpu.shares; cpu.weight", run: group("cpu", "cpu.shares", "cpu.weight"), set: func(r *request) { r.HostConfig.CPUShares = 77 }},
	{field: "Resources.Memory", does: "memory.limit_in_bytes; memory.max", run: group("memory", "memory.limit_in_bytes", "memory.max"), want: "33554432", set: func(r *request) { r.HostConfig.Memory = 32 << 20 }},
	{field: "Resources.NanoCPUs", does: "quota of a period of 100 ms", run: group("cpu", "cpu.cfs_quota_us", "cpu.max"), want: "50000", set: func(r *request) { r.HostConfig.NanoCPUs = 5e8 }},
	{field: "Resources.CgroupParent", does: "the group that the container's is made in", look: hostGroup, want: "/probed/", set: func(r *request) { r.HostConfig.CgroupParent = "/berth/probed" }},
	{field: "Resources.BlkioWeight", does: "blkio.weight; io.weight", run: group("blkio", "blkio.bfq.weight", "io.bfq.weight"), or: discarded, set: func(r *request) { r.HostConfig.BlkioWeight = 77 }},
	{
		field: "Resources.BlkioWeightDevice", does: "weight of a device", run: group("blkio", "blkio.bfq.weight_device", "io.bfq.weight"), or: discarded,
		set: func(r *request) {
			r.HostConfig.BlkioWeightDevice = []*blkiodev.WeightDevice{{Path: r.w.device, Weight: 77}}
		},
	},
	{field: "WeightDevice.Path", does: "node of the device on the host", or: discarded, run: group("blkio", "blkio.bfq.weight_device", "io.bfq.weight"), base: weighed, set: func(r *request) { r.HostConfig.BlkioWeightDevice[0].Path = r.w.device2 }},
	{field: "WeightDevice.Path", refused: "no such file", set: func(r *request) {
		r.HostConfig.BlkioWeightDevice = []*blkiodev.WeightDevice{{Path: "/nowhere", Weight: 77}}
	}, or: discarded},
	{field: "WeightDevice.Weight", does: "10 to 1000", or: discarded, run: group("blkio", "blkio.bfq.weight_device", "io.bfq.weight"), want: "88", base: weighed, set: func(r *request) { r.HostConfig.BlkioWeightDevice[0].Weight = 88 }},
	{field: "WeightDevice.Weight", refused: "Range of blkio weight", set: func(r *request) {
		r.HostConfig.BlkioWeightDevice = []*blkiodev.WeightDevice{{Path: r.w.device, Weight: 5}}
	}},
	{field: "Resources.BlkioDeviceReadBps", does: "bytes read in a second", or: discarded, run: group("blkio", "blkio.throttle.read_bps_device", "io.max"), want: "12345678", set: func(r *request) { r.HostConfig.BlkioDeviceReadBps = throttle(r) }},
	{field: "Resources.BlkioDeviceWriteBps", does: "bytes written in a second", or: discarded, run: group("blkio", "blkio.throttle.write_bps_device", "io.max"), want: "12345678", set: func(r *request) { r.HostConfig.BlkioDeviceWriteBps = throttle(r) }},
	{field: "Resources.BlkioDeviceReadIOps", does: "reads in a second", or: discarded, run: group("blkio", "blkio.throttle.read_iops_device", "io.max"), want: "12345678", set: func(r *request) { r.HostConfig.BlkioDeviceReadIOps = throttle(r) }},
	{field: "Resources.BlkioDeviceWriteIOps", does: "writes in a second", or: discarded, run: group("blkio", "blkio.throttle.write_iops_device", "io.max"), want: "12345678", set: func(r *request) { r.HostConfig.BlkioDeviceWriteIOps = throttle(r) }},
	{
		field: "ThrottleDevice.Path", does: "node of the device on the host", or: discarded, base: func(r *request) { r.HostConfig.BlkioDeviceReadBps = throttle(r) }, run: group("blkio", "blkio.throttle.read_bps_device", "io.max"),
		want: "12345678", set: func(r *request) { r.HostConfig.BlkioDeviceReadBps[0].Path = r.w.device2 },
	},
	{field: "ThrottleDevice.Path", refused: "no such file", or: discarded, set: func(r *request) {
		r.HostConfig.BlkioDeviceReadBps = []*blkiodev.ThrottleDevice{{Path: "/nowhere", Rate: 9}}
	}},
	{
		field: "ThrottleDevice.Rate", does: "bytes or operations", or: discarded, base: func(r *request) { r.HostConfig.BlkioDeviceReadBps = throttle(r) }, run: group("blkio", "blkio.throttle.read_bps_device", "io.max"),
		want: "7654321", set: func(r *request) { r.HostConfig.BlkioDeviceReadBps[0].Rate = 7654321 },
	},
	{field: "Resources.CPUPeriod", does: "period of the quota", run: group("cpu", "cpu.cfs_period_us", "cpu.max"), want: "50000", set: func(r *request) { r.HostConfig.CPUPeriod = 50000 }},
	{field: "Resources.CPUQuota", does: "µs of each period", run: group("cpu", "cpu.cfs_quota_us", "cpu.max"), want: "54321", set: func(r *request) { r.HostConfig.CPUQuota = 54321 }},
	{
		field: "Resources.CPURealtimePeriod", does: "v1, where the kernel has CONFIG_RT_GROUP_SCHED: cpu.rt_period_us", or: noRealtime, run: "cat /sys/fs/cgroup/cpu/cpu.rt_period_us", want: "500000",
		set: func(r *request) { r.HostConfig.CPURealtimePeriod = 500000 },
	},
	{
		field: "Resources.CPURealtimeRuntime", does: "v1: cpu.rt_runtime_us; the groups above get as much", or: noRealtime, run: "cat /sys/fs/cgroup/cpu/cpu.rt_runtime_us", want: "20000",
		set: func(r *request) { r.HostConfig.CPURealtimeRuntime = 20000 },
	},
	{field: "Resources.CpusetCpus", does: "processors", run: "grep Cpus_allowed_list /proc/self/status", want: "\t0\n", set: func(r *request) { r.HostConfig.CpusetCpus = "0" }, or: discarded},
	{field: "Resources.CpusetMems", does: "memory nodes", run: group("cpuset", "cpuset.mems", "cpuset.mems"), want: "0", or: `Requested memory nodes are not available`, set: func(r *request) { r.HostConfig.CpusetMems = "1" }},
	{field: "Resources.MemoryReservation", does: "memory.soft_limit_in_bytes; memory.low", run: group("memory", "memory.soft_limit_in_bytes", "memory.low"), or: discarded, want: "16777216", set: func(r *request) { r.HostConfig.MemoryReservation = 16 << 20 }},
	{
		field: "Resources.MemorySwap", does: "memory and swap together; -1: without limit", base: func(r *request) { r.HostConfig.Memory = 32 << 20 }, or: discarded,
		run: group("memory", "memory.memsw.limit_in_bytes", "memory.swap.max"), set: func(r *request) { r.HostConfig.MemorySwap = 48 << 20 },
	},
	{field: "Resources.MemorySwappiness", does: "v1: memory.swappiness", or: discarded, run: group("memory", "memory.swappiness", "memory.swappiness"), want: "17", set: func(r *request) { n := int64(17); r.HostConfig.MemorySwappiness = &n }},
	{
		field: "Resources.OomKillDisable", does: "v1: memory.oom_control", or: discarded, base: func(r *request) { r.HostConfig.Memory = 32 << 20 }, run: group("memory", "memory.oom_control", "memory.oom_control"),
		want: "oom_kill_disable 1", set: func(r *request) { yes := true; r.HostConfig.OomKillDisable = &yes },
	},
	{field: "Resources.PidsLimit", does: "processes and threads", run: group("pids", "pids.max", "pids.max"), want: "77", set: func(r *request) { n := int64(77); r.HostConfig.PidsLimit = &n }},
	{field: "Resources.Ulimits", does: "resource limits; the daemon's where none is asked for", run: "ulimit -n", want: "66", set: func(r *request) {
		r.HostConfig.Ulimits = []*container.Ulimit{{Name: "nofile", Soft: 66, Hard: 66}}
	}},
}
