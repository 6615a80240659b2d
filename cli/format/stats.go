package format

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/docker/go-units"
	"github.com/moby/moby/api/types/container"
)

// StatsTable is the default format of stats.
const StatsTable = "table {{.ID}}\t{{.Name}}\t{{.CPUPerc}}\t{{.MemUsage}}\t{{.MemPerc}}\t{{.NetIO}}\t{{.BlockIO}}\t{{.PIDs}}"

// StatsHeader titles the columns of stats.
var StatsHeader = Header{
	"Container": "CONTAINER", "Name": "NAME", "ID": "CONTAINER ID", "CPUPerc": "CPU %",
	"MemUsage": "MEM USAGE / LIMIT", "MemPerc": "MEM %", "NetIO": "NET I/O", "BlockIO": "BLOCK I/O", "PIDs": "PIDS",
}

// StatsRow is a container in stats.
type StatsRow struct {
	container string // as the user called it
	sample    *container.StatsResponse
	trunc     bool
}

// Stats makes a row; a nil sample is one that has not come yet.
func Stats(name string, sample *container.StatsResponse, trunc bool) StatsRow {
	return StatsRow{name, sample, trunc}
}

// MarshalJSON gives all fields.
func (r StatsRow) MarshalJSON() ([]byte, error) { return json.Marshal(Fields(r)) }

// unknown stands for a number that is not there yet.
const unknown = "--"

// Container is the name or ID by which the user called it.
func (r StatsRow) Container() string { return r.container }

// Name is the container's name.
func (r StatsRow) Name() string {
	if r.sample == nil || len(r.sample.Name) < 2 {
		return unknown
	}
	return strings.TrimPrefix(r.sample.Name, "/")
}

// ID is the container's ID, short when rows are truncated.
func (r StatsRow) ID() string {
	switch {
	case r.sample == nil:
		return unknown
	case r.trunc:
		return ShortID(r.sample.ID)
	}
	return r.sample.ID
}

// CPUPerc is the share of one processor since the sample before.
func (r StatsRow) CPUPerc() string {
	if r.sample == nil {
		return unknown
	}
	return percent(cpuShare(r.sample))
}

// MemUsage is the memory in use, without the page cache that could be given
// up, and the limit.
func (r StatsRow) MemUsage() string {
	if r.sample == nil {
		return unknown + " / " + unknown
	}
	return bytesSize(memoryInUse(&r.sample.MemoryStats)) + " / " + bytesSize(r.sample.MemoryStats.Limit)
}

// MemPerc is the memory in use as a share of the limit.
func (r StatsRow) MemPerc() string {
	if r.sample == nil {
		return unknown
	}
	m := &r.sample.MemoryStats
	if m.Limit == 0 {
		return percent(0)
	}
	return percent(float64(memoryInUse(m)) / float64(m.Limit) * 100)
}

// NetIO is what was received and sent on all interfaces.
func (r StatsRow) NetIO() string {
	if r.sample == nil {
		return unknown
	}
	var in, out uint64
	for _, n := range r.sample.Networks {
		in, out = in+n.RxBytes, out+n.TxBytes
	}
	return size(int64(in)) + " / " + size(int64(out))
}

// BlockIO is what was read from and written to block devices.
func (r StatsRow) BlockIO() string {
	if r.sample == nil {
		return unknown
	}
	var read, written uint64
	for _, e := range r.sample.BlkioStats.IoServiceBytesRecursive {
		switch {
		case strings.HasPrefix(strings.ToLower(e.Op), "r"):
			read += e.Value
		case strings.HasPrefix(strings.ToLower(e.Op), "w"):
			written += e.Value
		}
	}
	return size(int64(read)) + " / " + size(int64(written))
}

// PIDs is the number of processes and threads.
func (r StatsRow) PIDs() string {
	if r.sample == nil {
		return unknown
	}
	return strconv.FormatUint(r.sample.PidsStats.Current, 10)
}

func cpuShare(s *container.StatsResponse) float64 {
	used := float64(s.CPUStats.CPUUsage.TotalUsage) - float64(s.PreCPUStats.CPUUsage.TotalUsage)
	passed := float64(s.CPUStats.SystemUsage) - float64(s.PreCPUStats.SystemUsage)
	online := float64(s.CPUStats.OnlineCPUs)
	if online == 0 {
		online = float64(len(s.CPUStats.CPUUsage.PercpuUsage))
	}
	if used <= 0 || passed <= 0 {
		return 0
	}
	return used / passed * online * 100
}

// memoryInUse subtracts the inactive part of the page cache: it is named
// differently on cgroup v1 and v2.
func memoryInUse(m *container.MemoryStats) uint64 {
	for _, name := range []string{"total_inactive_file", "inactive_file"} {
		if cache, ok := m.Stats[name]; ok && cache < m.Usage {
			return m.Usage - cache
		}
	}
	return m.Usage
}

func percent(v float64) string { return fmt.Sprintf("%.2f%%", v) }

func bytesSize(n uint64) string { return units.BytesSize(float64(n)) }
