package main

import (
	"strings"
	"testing"
)

// TestWhereTime: the chapter has the phases of the newest run that tells them, the
// longest first, with what is short in one, and the kernel's part.
func TestWhereTime(t *testing.T) {
	old, traced, other := &report{Commit: "old"}, &report{Commit: "traced"}, &report{Commit: "other"}
	other.add(benchCase{name: "something", unit: "ms"}, "berth", 1)
	for _, r := range []*report{old, traced} {
		for name, ms := range map[string]float64{"create: all": 99, "create: record": 3, "start: execute": 6, "start: answer": 0.05, "exit: events": 0.05, "exec start: write": 2, "pull: resolve": 7, "build: exporting layers": 8, "step: execute": 1} {
			r.add(benchCase{name: name, unit: "ms"}, "berth", ms)
		}
		r.add(benchCase{name: "floor: tear-down", unit: "ms"}, floorName, 4)
		for _, ms := range []float64{0, 0, 6} {
			r.add(benchCase{name: "API run" + inKernel, unit: "ms"}, "berth", ms)
			r.add(benchCase{name: "API run" + inPrograms, unit: "ms"}, "berth", 1)
		}
	}
	var out strings.Builder
	renderWhereTime(&out, []*report{other, traced, old})
	want := []string{
		"commit traced", "| start: execute | 6.00 ms | 66 % |", "| create: record | 3.00 ms | 33 % |", "| 2 others | 0.10 ms | 1 % |", "| all | 9.10 ms | |",
		"| floor: tear-down | 4.00 ms | 100 % |", "| exec start: write | 2.00 ms | 100 % |",
		"### A pull", "| pull: resolve | 7.00 ms | 100 % |", "| build: exporting layers | 8.00 ms | 100 % |", "| step: execute | 1.00 ms | 100 % |",
		"| API run | berth | 1.00 ms | 2.00 ms | 67 % |",
	}
	rest := out.String()
	for _, part := range want {
		_, after, ok := strings.Cut(rest, part)
		if !ok {
			t.Fatalf("%q is not where it belongs in\n%s", part, out.String())
		}
		rest = after
	}
	out.Reset()
	renderWhereTime(&out, []*report{other})
	if out.Len() > 0 {
		t.Errorf("without traces: %s", out.String())
	}
}
