package stats

import (
	"bytes"
	"os"
	"strconv"
	"sync"

	"github.com/moby/moby/api/types/container"

	"github.com/berth-engine/berth/kernel/pressure"
)

// nanosPerTick: times in /proc/stat are in hundredths of a second on all
// systems that Linux tells user space about.
const nanosPerTick = 1e9 / 100

// host is what a sample says of the host.
type host struct {
	cpu    uint64 // time of all processors since boot, idle or not, in ns
	online uint32
}

// readHost reads /proc/stat; what cannot be read is zero.
func readHost() host {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return host{}
	}
	return parseHost(text)
}

func parseHost(text []byte) (h host) {
	for line := range bytes.Lines(text) {
		rest, isCPU := bytes.CutPrefix(line, []byte("cpu"))
		if !isCPU {
			break // they come first
		}
		if rest[0] != ' ' {
			h.online++
			continue
		}
		// user nice system idle iowait irq softirq; steal and guest are in others.
		for i, field := range bytes.Fields(rest) {
			if v, err := strconv.ParseUint(string(field), 10, 64); err == nil && i < 7 {
				h.cpu += v * nanosPerTick
			}
		}
	}
	return h
}

func (h host) fill(s *container.StatsResponse) {
	s.CPUStats.SystemUsage, s.CPUStats.OnlineCPUs = h.cpu, h.online
}

// machineMemory is the host's memory in bytes: a container without a limit is
// limited by it. 0: unknown.
var machineMemory = sync.OnceValue(pressure.Total)
