package container

import (
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/moby/api/types/container"
)

// minMemory is the least memory limit in bytes: less cannot start a process.
const minMemory = 6 << 20

// validateResources checks limits, with Docker's words.
func validateResources(h *container.HostConfig) (warnings []string, err error) {
	for _, check := range []func(*container.HostConfig) error{checkMemory, checkCPU, checkBlkio} {
		if err := check(h); err != nil {
			return nil, err
		}
	}
	if h.OomScoreAdj < -1000 || h.OomScoreAdj > 1000 {
		return nil, invalid("Invalid value %d, range for oom score adj is [-1000, 1000]", h.OomScoreAdj)
	}
	if h.OomKillDisable != nil && *h.OomKillDisable && h.Memory == 0 {
		warnings = append(warnings, "OOM killer is disabled for the container, but no memory limit is set, this can result in the system running out of resources.")
	}
	if h.ShmSize < 0 {
		return nil, invalid("SHM size can not be less than 0")
	}
	for _, u := range h.Ulimits {
		if u == nil {
			return nil, invalid("invalid ulimit: empty")
		}
		if _, err := u.GetRlimit(); err != nil {
			return nil, invalid("%v", err)
		}
		if uint64(u.Soft) > uint64(u.Hard) { // -1, without limit, is the most
			return nil, invalid("ulimit soft limit must be less than or equal to hard limit: %d > %d", u.Soft, u.Hard)
		}
	}
	if h.CgroupParent != "" {
		if strings.Contains(h.CgroupParent, "..") || strings.ContainsAny(h.CgroupParent, "\n\x00 ") {
			return nil, invalid("invalid cgroup parent: %q", h.CgroupParent)
		}
	}
	if h.Umask != nil && *h.Umask > 0o777 {
		return nil, invalid("invalid umask %o", *h.Umask)
	}
	return warnings, nil
}

func checkMemory(h *container.HostConfig) error {
	switch {
	case h.Memory != 0 && h.Memory < minMemory:
		return invalid("Minimum memory limit allowed is 6MB")
	case h.Memory > 0 && h.MemorySwap > 0 && h.MemorySwap < h.Memory:
		return invalid("Minimum memoryswap limit should be larger than memory limit, see usage")
	case h.Memory == 0 && h.MemorySwap > 0:
		return invalid("You should always set the Memory limit when using Memoryswap limit, see usage")
	case h.MemorySwap < -1:
		return invalid("invalid memory swap limit: %d", h.MemorySwap)
	case h.MemorySwappiness != nil && (*h.MemorySwappiness < -1 || *h.MemorySwappiness > 100):
		return invalid("Invalid value: %v, valid memory swappiness range is 0-100", *h.MemorySwappiness)
	case h.MemoryReservation != 0 && h.MemoryReservation < minMemory:
		return invalid("Minimum memory reservation allowed is 6MB")
	case h.Memory > 0 && h.MemoryReservation > 0 && h.Memory < h.MemoryReservation:
		return invalid("Minimum memory limit can not be less than memory reservation limit, see usage")
	}
	return nil
}

func checkCPU(h *container.HostConfig) error {
	switch n := int64(runtime.NumCPU()); {
	case h.NanoCPUs > 0 && h.CPUPeriod > 0:
		return invalid("Conflicting options: Nano CPUs and CPU Period cannot both be set")
	case h.NanoCPUs > 0 && h.CPUQuota > 0:
		return invalid("Conflicting options: Nano CPUs and CPU Quota cannot both be set")
	case h.NanoCPUs < 0 || h.NanoCPUs > n*1e9:
		return invalid("range of CPUs is from 0.01 to %d.00, as there are only %d CPUs available", n, n)
	case h.CPUShares < 0:
		return invalid("invalid CPU shares (%d): value must be a positive integer", h.CPUShares)
	case h.CPUPeriod != 0 && (h.CPUPeriod < 1000 || h.CPUPeriod > 1000000):
		return invalid("CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)")
	case h.CPUQuota > 0 && h.CPUQuota < 1000:
		return invalid("CPU cfs quota can not be less than 1ms (i.e. 1000)")
	case h.CPURealtimePeriod < 0 || h.CPURealtimeRuntime < 0:
		return invalid("invalid CPU real-time period or runtime: must not be negative")
	case h.CPURealtimePeriod != 0 && h.CPURealtimeRuntime > h.CPURealtimePeriod:
		return invalid("cpu real-time runtime cannot be higher than cpu real-time period")
	case h.CPUQuota < -1:
		return invalid("invalid CPU cfs quota: %d", h.CPUQuota)
	}
	if err := checkSet(h.CpusetCpus); err != nil {
		return invalid("Invalid value %s for cpuset cpus", h.CpusetCpus)
	}
	if err := checkSet(h.CpusetMems); err != nil {
		return invalid("Invalid value %s for cpuset mems", h.CpusetMems)
	}
	return nil
}

// checkSet accepts lists like "0-2,7"; whether the host has them, the kernel
// decides.
func checkSet(list string) error {
	if list == "" {
		return nil
	}
	for part := range strings.SplitSeq(list, ",") {
		from, to, ranged := strings.Cut(part, "-")
		a, err := strconv.ParseUint(from, 10, 13)
		if err != nil {
			return err
		}
		if !ranged {
			continue
		}
		if b, err := strconv.ParseUint(to, 10, 13); err != nil || b < a {
			return fmt.Errorf("bad range %q", part)
		}
	}
	return nil
}

func checkBlkio(h *container.HostConfig) error {
	if h.BlkioWeight > 0 && (h.BlkioWeight < 10 || h.BlkioWeight > 1000) {
		return invalid("Range of blkio weight is from 10 to 1000")
	}
	for _, w := range h.BlkioWeightDevice {
		if w == nil || (w.Weight > 0 && (w.Weight < 10 || w.Weight > 1000)) {
			return invalid("Range of blkio weight is from 10 to 1000")
		}
	}
	for _, d := range slices.Concat(h.BlkioDeviceReadBps, h.BlkioDeviceWriteBps, h.BlkioDeviceReadIOps, h.BlkioDeviceWriteIOps) {
		if d == nil || d.Path == "" {
			return invalid("invalid throttle device: no path")
		}
	}
	return nil
}
