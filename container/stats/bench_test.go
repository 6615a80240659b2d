package stats

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/moby/moby/api/types/container"
)

// BenchmarkEncode is what the server does with each sample.
func BenchmarkEncode(b *testing.B) {
	s := &container.StatsResponse{ID: "0123", Name: "/name"}
	s.MemoryStats.Stats = map[string]uint64{}
	for i := range 45 {
		s.MemoryStats.Stats[fmt.Sprintf("some_counter_%d", i)] = uint64(i) << 30
	}
	s.Networks = map[string]container.NetworkStats{"eth0": {RxBytes: 1 << 40}}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := json.Marshal(s); err != nil {
			b.Fatal(err)
		}
	}
}
