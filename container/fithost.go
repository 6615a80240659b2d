package container

import (
	"strconv"
	"strings"

	"github.com/moby/moby/api/types/container"

	"github.com/berth-engine/berth/kernel/cgroup"
)

// fitHost takes out of a request what this host's kernel cannot limit, and says
// so in Docker's words; what cannot be left out is an error.
func fitHost(r *container.Resources, f cgroup.Features) (warnings []string, err error) {
	discard := func(asked, can bool, clear func(), text string) {
		if asked && !can {
			clear()
			warnings = append(warnings, "Your kernel does not support "+text)
		}
	}
	if r.NanoCPUs > 0 && !f.CPUQuota {
		return nil, invalid("NanoCPUs can not be set, as your kernel does not support CPU CFS scheduler or the cgroup is not mounted")
	}
	if (r.CPURealtimePeriod != 0 || r.CPURealtimeRuntime != 0) && !f.CPURealtime {
		return nil, invalid("Your kernel does not support CPU real-time scheduler: " +
			"CpuRealtimePeriod and CpuRealtimeRuntime need cgroup v1 and a kernel with CONFIG_RT_GROUP_SCHED")
	}
	discard(r.Memory > 0, f.Memory, func() { r.Memory, r.MemorySwap = 0, -1 },
		"memory limit capabilities or the cgroup is not mounted. Limitation discarded.")
	discard(r.Memory > 0 && r.MemorySwap != -1, f.MemorySwap, func() { r.MemorySwap = -1 },
		"swap limit capabilities or the cgroup is not mounted. Memory limited without swap.")
	if !f.MemorySwap { // not even that there is none can be written
		r.MemorySwap = 0
	}
	discard(r.MemorySwappiness != nil && *r.MemorySwappiness != -1, f.MemorySwappiness, func() { r.MemorySwappiness = nil },
		"memory swappiness capabilities or the cgroup is not mounted. Memory swappiness discarded.")
	discard(r.MemoryReservation > 0, f.MemoryReservation, func() { r.MemoryReservation = 0 },
		"memory soft limit capabilities or the cgroup is not mounted. Limitation discarded.")
	discard(r.OomKillDisable != nil && *r.OomKillDisable, f.OOMKillDisable, func() { r.OomKillDisable = nil },
		"OomKillDisable. OomKillDisable discarded.")
	discard(r.PidsLimit != nil && *r.PidsLimit > 0, f.Pids, func() { r.PidsLimit = nil },
		"PIDs limit capabilities or the cgroup is not mounted. PIDs limit discarded.")
	discard(r.CPUShares > 0, f.CPUShares, func() { r.CPUShares = 0 },
		"CPU shares or the cgroup is not mounted. Shares discarded.")
	discard(r.CPUPeriod != 0 || r.CPUQuota != 0, f.CPUQuota, func() { r.CPUPeriod, r.CPUQuota = 0, 0 },
		"CPU CFS scheduler. CPU period/quota discarded.")
	discard(r.CpusetCpus != "" || r.CpusetMems != "", f.Cpuset, func() { r.CpusetCpus, r.CpusetMems = "", "" },
		"cpuset or the cgroup is not mounted. Cpuset discarded.")
	discard(r.BlkioWeight > 0, f.BlkioWeight, func() { r.BlkioWeight = 0 },
		"Block I/O weight or the cgroup is not mounted. Weight discarded.")
	discard(len(r.BlkioWeightDevice) > 0, f.BlkioWeightDevice, func() { r.BlkioWeightDevice = nil },
		"Block I/O weight_device or the cgroup is not mounted. Weight-device discarded.")
	discard(len(r.BlkioDeviceReadBps) > 0, f.BlkioReadBps, func() { r.BlkioDeviceReadBps = nil },
		"BPS Block I/O read limit or the cgroup is not mounted. Block I/O BPS read limit discarded.")
	discard(len(r.BlkioDeviceWriteBps) > 0, f.BlkioWriteBps, func() { r.BlkioDeviceWriteBps = nil },
		"BPS Block I/O write limit or the cgroup is not mounted. Block I/O BPS write limit discarded.")
	discard(len(r.BlkioDeviceReadIOps) > 0, f.BlkioReadIOps, func() { r.BlkioDeviceReadIOps = nil },
		"IOPS Block read limit or the cgroup is not mounted. Block I/O IOPS read limit discarded.")
	discard(len(r.BlkioDeviceWriteIOps) > 0, f.BlkioWriteIOps, func() { r.BlkioDeviceWriteIOps = nil },
		"IOPS Block write limit or the cgroup is not mounted. Block I/O IOPS write limit discarded.")
	return warnings, available(r, f)
}

// available refuses processors and memory nodes that there are not.
func available(r *container.Resources, f cgroup.Features) error {
	if f.CPUs != "" && !contains(f.CPUs, r.CpusetCpus) {
		return invalid("Requested CPUs are not available - requested %s, available: %s", r.CpusetCpus, f.CPUs)
	}
	if f.Mems != "" && !contains(f.Mems, r.CpusetMems) {
		return invalid("Requested memory nodes are not available - requested %s, available: %s", r.CpusetMems, f.Mems)
	}
	return nil
}

// contains tells whether all numbers of a list like "0-2,7" are in another.
func contains(all, some string) bool {
	have := numbers(all)
	for n := range numbers(some) {
		if !have[n] {
			return false
		}
	}
	return true
}

func numbers(list string) map[uint64]bool {
	out := map[uint64]bool{}
	for part := range strings.SplitSeq(list, ",") {
		from, to, ranged := strings.Cut(part, "-")
		if !ranged {
			to = from
		}
		a, errFrom := strconv.ParseUint(from, 10, 13) // as checkSet allows
		b, errTo := strconv.ParseUint(to, 10, 13)
		if errFrom != nil || errTo != nil {
			continue
		}
		for ; a <= b; a++ {
			out[a] = true
		}
	}
	return out
}
