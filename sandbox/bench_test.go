package sandbox

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// BenchmarkRun is a whole life: launch, attach, start, output, wait, remove.
func BenchmarkRun(b *testing.B) {
	for _, warm := range []int{2, -1} {
		b.Run(fmt.Sprintf("warm=%d", max(warm, 0)), func(b *testing.B) {
			r := runtimeFor(b, Options{Warm: warm})
			ctx := context.Background()
			var phases [5]time.Duration
			for b.Loop() {
				b.StopTimer()
				bd := bundle(b, "bench", "exit", "0")
				b.StartTimer()
				t0 := time.Now()
				s, err := r.Launch(ctx, bd)
				if err != nil {
					b.Fatal(err)
				}
				t1 := time.Now()
				st, err := s.Attach(ctx, both)
				if err != nil {
					b.Fatal(err)
				}
				t2 := time.Now()
				if err := s.Start(ctx); err != nil {
					b.Fatal(err)
				}
				t3 := time.Now()
				if _, err := s.Wait(ctx); err != nil {
					b.Fatal(err)
				}
				t4 := time.Now()
				if err := st.Close(); err != nil {
					b.Fatal(err)
				}
				if err := s.Remove(ctx); err != nil {
					b.Fatal(err)
				}
				for i, d := range []time.Duration{t1.Sub(t0), t2.Sub(t1), t3.Sub(t2), t4.Sub(t3), time.Since(t4)} {
					phases[i] += d
				}
			}
			for i, name := range []string{"launch", "attach", "start", "wait", "remove"} {
				b.ReportMetric(float64(phases[i].Microseconds())/float64(b.N), "µs-"+name)
			}
		})
	}
}

// BenchmarkMemory reports the memory of the monitors of 20 idle containers.
func BenchmarkMemory(b *testing.B) {
	r := runtimeFor(b, Options{Warm: -1})
	const n = 20
	var all []*Sandbox
	for i := range n {
		s := r.launch(b, bundle(b, fmt.Sprint("memory", i), "sleep"))
		s.startTest(b)
		all = append(all, s)
	}
	for b.Loop() {
	}
	pss := 0
	for _, s := range all {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", s.process.pid))
		if err != nil {
			b.Fatal(err)
		}
		for line := range strings.Lines(string(data)) {
			var kb int
			if _, err := fmt.Sscanf(line, "Pss: %d kB", &kb); err == nil {
				pss += kb
			}
		}
	}
	b.ReportMetric(float64(pss)/n, "kB-PSS/monitor")
	b.ReportMetric(0, "ns/op")
}
