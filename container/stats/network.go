package stats

import (
	"bytes"
	"os"
	"strconv"

	"github.com/moby/moby/api/types/container"
)

// Networks reads the counters of the interfaces in the network namespace of a
// process, except the loopback; nil if there are none.
func Networks(pid int) (map[string]container.NetworkStats, error) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/net/dev")
	if err != nil {
		return nil, err
	}
	return parseNetworks(text), nil
}

// parseNetworks reads /proc/net/dev: two lines of headers, then
//
//	eth0: bytes packets errs drop fifo frame compressed multicast bytes packets errs drop …
func parseNetworks(text []byte) map[string]container.NetworkStats {
	var out map[string]container.NetworkStats
	for line := range bytes.Lines(text) {
		name, rest, ok := bytes.Cut(line, []byte{':'})
		name = bytes.TrimSpace(name)
		fields := bytes.Fields(rest)
		if !ok || len(fields) < 16 || string(name) == "lo" {
			continue
		}
		number := func(i int) uint64 {
			v, _ := strconv.ParseUint(string(fields[i]), 10, 64) // the kernel writes numbers
			return v
		}
		if out == nil {
			out = map[string]container.NetworkStats{}
		}
		out[string(name)] = container.NetworkStats{
			RxBytes: number(0), RxPackets: number(1), RxErrors: number(2), RxDropped: number(3),
			TxBytes: number(8), TxPackets: number(9), TxErrors: number(10), TxDropped: number(11),
		}
	}
	return out
}
