package cgroup

import (
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Features are the limits that groups of this host can have.
type Features struct {
	Memory, MemorySwap, MemoryReservation, MemorySwappiness bool
	OOMKillDisable                                          bool
	CPUShares, CPUQuota, CPURealtime, Cpuset                bool
	Pids                                                    bool
	BlkioWeight, BlkioWeightDevice                          bool
	BlkioReadBps, BlkioWriteBps                             bool
	BlkioReadIOps, BlkioWriteIOps                           bool
	// CPUs and Mems are lists of the processors and memory nodes that there
	// are, such as "0-3,8".
	CPUs, Mems string
}

// Features looks at the files that the group has. It must not be a root.
func (g *Group) Features() Features {
	if g.host.mode == V2 {
		has := func(file string) bool { return g.can(unified, file) }
		io := has("io.max")
		return Features{
			Memory: has("memory.max"), MemorySwap: has("memory.swap.max"), MemoryReservation: has("memory.low"),
			CPUShares: has("cpu.weight"), CPUQuota: has("cpu.max"), Cpuset: has("cpuset.cpus"), Pids: has("pids.max"),
			BlkioWeight: has("io.weight") || has("io.bfq.weight"), BlkioWeightDevice: has("io.bfq.weight"),
			BlkioReadBps: io, BlkioWriteBps: io, BlkioReadIOps: io, BlkioWriteIOps: io,
			CPUs: g.text(unified, "cpuset.cpus.effective"), Mems: g.text(unified, "cpuset.mems.effective"),
		}
	}
	memory := func(file string) bool { return g.can("memory", "memory."+file) }
	blkio := func(file string) bool { return g.can("blkio", "blkio."+file) }
	return Features{
		Memory: memory("limit_in_bytes"), MemorySwap: memory("memsw.limit_in_bytes"),
		MemoryReservation: memory("soft_limit_in_bytes"), MemorySwappiness: memory("swappiness"), OOMKillDisable: memory("oom_control"),
		CPUShares: g.can("cpu", "cpu.shares"), CPUQuota: g.can("cpu", "cpu.cfs_quota_us"),
		CPURealtime: g.can("cpu", "cpu.rt_runtime_us"),
		Cpuset:      g.can("cpuset", "cpuset.cpus"), Pids: g.can("pids", "pids.max"),
		BlkioWeight:       blkio("weight") || blkio("bfq.weight"),
		BlkioWeightDevice: blkio("weight_device") || blkio("bfq.weight_device"),
		BlkioReadBps:      blkio("throttle.read_bps_device"), BlkioWriteBps: blkio("throttle.write_bps_device"),
		BlkioReadIOps: blkio("throttle.read_iops_device"), BlkioWriteIOps: blkio("throttle.write_iops_device"),
		CPUs: g.text("cpuset", "cpuset.effective_cpus"), Mems: g.text("cpuset", "cpuset.effective_mems"),
	}
}

func (g *Group) can(controller, file string) bool {
	dir := g.Path(controller)
	return dir != "" && unix.Access(filepath.Join(dir, file), unix.F_OK) == nil
}

func (g *Group) text(controller, file string) string {
	text, err := os.ReadFile(filepath.Join(g.Path(controller), file))
	if err != nil {
		return "" // nobody can tell
	}
	return strings.TrimSpace(string(text))
}
