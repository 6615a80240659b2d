package cgroup

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/cgroups"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// paperGroup is a group of v2 whose files are ordinary ones, with what the kernel has
// in them at first: what is written can be read on every host.
func paperGroup(t *testing.T, files map[string]string) *Group {
	t.Helper()
	cgroups.TestMode = true
	t.Cleanup(func() { cgroups.TestMode = false })
	dir := t.TempDir()
	files["cgroup.controllers"] = "cpuset cpu io memory pids"
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	h := &host{mode: V2, dirs: map[string]string{unified: dir}, controllers: strings.Fields(files["cgroup.controllers"])}
	return &Group{host: h, name: "/paper", dirs: map[string]string{unified: dir}, made: true}
}

// TestConvert: limits that the specification words as v1 has them, in the files of v2
// (config-linux.md, Memory, CPU, Block IO, PIDs).
func TestConvert(t *testing.T) {
	memory := func(limit, swap int64) specs.LinuxResources {
		m := &specs.LinuxMemory{}
		if limit != 0 {
			m.Limit = &limit
		}
		if swap != 0 {
			m.Swap = &swap
		}
		return specs.LinuxResources{Memory: m}
	}
	shares := func(n uint64) specs.LinuxResources { return specs.LinuxResources{CPU: &specs.LinuxCPU{Shares: &n}} }
	weight := func(n uint16) specs.LinuxResources {
		return specs.LinuxResources{BlockIO: &specs.LinuxBlockIO{Weight: &n}}
	}
	pids := func(n int64) specs.LinuxResources { return specs.LinuxResources{Pids: &specs.LinuxPids{Limit: &n}} }
	device := specs.LinuxWeightDevice{Weight: new(uint16(100))}
	device.Major, device.Minor = 8, 16
	weigh := specs.LinuxResources{BlockIO: &specs.LinuxBlockIO{WeightDevice: []specs.LinuxWeightDevice{device}}}
	throttle := specs.LinuxThrottleDevice{Rate: 4096}
	throttle.Major = 8
	burst := uint64(3000)
	for _, tc := range []struct {
		what      string
		r         specs.LinuxResources
		has, want map[string]string
	}{
		{"the least shares", shares(2), map[string]string{"cpu.weight": ""}, map[string]string{"cpu.weight": "1"}},
		{"the default shares", shares(1024), map[string]string{"cpu.weight": ""}, map[string]string{"cpu.weight": "100"}},
		{"the most shares", shares(262144), map[string]string{"cpu.weight": ""}, map[string]string{"cpu.weight": "10000"}},
		{"no shares", shares(0), map[string]string{"cpu.weight": "100"}, map[string]string{"cpu.weight": "100"}},
		{"the least weight", weight(10), map[string]string{"io.weight": ""}, map[string]string{"io.weight": "1"}},
		{"a weight", weight(500), map[string]string{"io.weight": ""}, map[string]string{"io.weight": "4950"}},
		{"the most weight", weight(1000), map[string]string{"io.weight": ""}, map[string]string{"io.weight": "10000"}},
		{"the weight of bfq is as it is", weight(500), map[string]string{"io.bfq.weight": "", "io.weight": "kept"}, map[string]string{"io.bfq.weight": "500", "io.weight": "kept"}},
		{"the weight of a device", weigh, map[string]string{"io.weight": ""}, map[string]string{"io.weight": "8:16 910"}},
		{
			"memory and swap together", memory(64<<20, 96<<20), map[string]string{"memory.max": "", "memory.swap.max": ""},
			map[string]string{"memory.max": "67108864", "memory.swap.max": "33554432"},
		},
		{
			"no swap", memory(64<<20, 64<<20), map[string]string{"memory.max": "", "memory.swap.max": ""},
			map[string]string{"memory.max": "67108864", "memory.swap.max": "0"},
		},
		{
			"swap without limit", memory(64<<20, -1), map[string]string{"memory.max": "", "memory.swap.max": ""},
			map[string]string{"memory.max": "67108864", "memory.swap.max": "max"},
		},
		{
			"swap as it is", memory(64<<20, 0), map[string]string{"memory.max": "", "memory.swap.max": "kept"},
			map[string]string{"memory.max": "67108864", "memory.swap.max": "kept"},
		},
		{
			"no limit of memory is none of swap", memory(-1, 0), map[string]string{"memory.max": "", "memory.swap.max": ""},
			map[string]string{"memory.max": "max", "memory.swap.max": "max"},
		},
		{
			"swap beside the limit of before", memory(0, 96<<20), map[string]string{"memory.max": "67108864\n", "memory.swap.max": ""},
			map[string]string{"memory.swap.max": "33554432"},
		},
		{
			"quota beside the period of before", specs.LinuxResources{CPU: &specs.LinuxCPU{Quota: new(int64(20000))}},
			map[string]string{"cpu.max": "max 50000\n"}, map[string]string{"cpu.max": "20000 50000"},
		},
		{"no quota", specs.LinuxResources{CPU: &specs.LinuxCPU{Quota: new(int64(-1))}}, map[string]string{"cpu.max": "1 5"}, map[string]string{"cpu.max": "max 5"}},
		{"burst and idle", specs.LinuxResources{CPU: &specs.LinuxCPU{Burst: &burst, Idle: new(int64(1))}}, map[string]string{"cpu.max.burst": "", "cpu.idle": ""}, map[string]string{"cpu.max.burst": "3000", "cpu.idle": "1"}},
		{
			"a device's rate", specs.LinuxResources{BlockIO: &specs.LinuxBlockIO{ThrottleWriteIOPSDevice: []specs.LinuxThrottleDevice{throttle}}},
			map[string]string{"io.max": ""}, map[string]string{"io.max": "8:0 wiops=4096"},
		},
		{"reservation", specs.LinuxResources{Memory: &specs.LinuxMemory{Reservation: new(int64(4096))}}, map[string]string{"memory.low": ""}, map[string]string{"memory.low": "4096"}},
		{"no tasks but the one", pids(0), map[string]string{"pids.max": "max"}, map[string]string{"pids.max": "1"}},
		{"tasks without limit", pids(-1), map[string]string{"pids.max": "7"}, map[string]string{"pids.max": "max"}},
		{"tasks", pids(9), map[string]string{"pids.max": ""}, map[string]string{"pids.max": "9"}},
		{"tasks as they are", specs.LinuxResources{Pids: &specs.LinuxPids{}}, map[string]string{"pids.max": "7"}, map[string]string{"pids.max": "7"}},
	} {
		t.Run(tc.what, func(t *testing.T) {
			g := paperGroup(t, tc.has)
			if err := g.Update(&tc.r); err != nil {
				t.Fatal(err)
			}
			for file, want := range tc.want {
				if got := strings.TrimSpace(read(t, g, "", file)); got != want {
					t.Errorf("%s is %q, want %q", file, got, want)
				}
			}
		})
	}
}

// TestNotConverted: what has no meaning in v2 is refused by name, and nothing is written.
func TestNotConverted(t *testing.T) {
	leaf := specs.LinuxWeightDevice{LeafWeight: new(uint16(100))}
	heavy := specs.LinuxWeightDevice{Weight: new(uint16(1001))}
	for _, tc := range []struct {
		r    specs.LinuxResources
		kind func(error) bool
		text string
	}{
		{specs.LinuxResources{BlockIO: &specs.LinuxBlockIO{Weight: new(uint16(9))}}, errdefs.IsInvalidArgument, "blockIO.weight: 9 is not between 10 and 1000"},
		{specs.LinuxResources{BlockIO: &specs.LinuxBlockIO{WeightDevice: []specs.LinuxWeightDevice{heavy}}}, errdefs.IsInvalidArgument, "blockIO.weightDevice of 0:0: 1001 is not between"},
		{specs.LinuxResources{BlockIO: &specs.LinuxBlockIO{WeightDevice: []specs.LinuxWeightDevice{leaf}}}, errdefs.IsNotImplemented, "blockIO.weightDevice.leafWeight: cgroup v2 has no such setting"},
		{specs.LinuxResources{BlockIO: &specs.LinuxBlockIO{LeafWeight: new(uint16(100))}}, errdefs.IsNotImplemented, "blockIO.leafWeight: cgroup v2 has no such setting"},
		{specs.LinuxResources{CPU: &specs.LinuxCPU{RealtimeRuntime: new(int64(5))}}, errdefs.IsNotImplemented, "cpu.realtimeRuntime: cgroup v2 has no such setting"},
		{specs.LinuxResources{Network: &specs.LinuxNetwork{ClassID: new(uint32(5))}}, errdefs.IsNotImplemented, "network.classID: cgroup v2 has no such setting"},
		{specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: new(int64(100)), Swap: new(int64(50))}}, func(error) bool { return true }, "memory+swap limit should be >= memory limit"},
	} {
		g := paperGroup(t, map[string]string{"memory.max": "kept", "memory.swap.max": "kept", "io.weight": "kept"})
		err := g.Update(&tc.r)
		if err == nil || !strings.Contains(err.Error(), tc.text) || !tc.kind(err) {
			t.Errorf("%v, want %s", err, tc.text)
		}
		for _, file := range []string{"memory.max", "memory.swap.max", "io.weight"} {
			if got := read(t, g, "", file); got != "kept" {
				t.Errorf("%s: %s is %q", tc.text, file, got)
			}
		}
	}
}

// TestCheckBeforeUpdate: v2's kernel would take a limit below what is in use, and kill.
func TestCheckBeforeUpdate(t *testing.T) {
	for _, tc := range []struct {
		limit, swap int64
		check       bool
		refused     bool
	}{
		{1000, 0, true, false},
		{100, 0, true, true},
		{99, 0, true, true},
		{99, 0, false, false},
		{-1, 0, true, false},
		{0, 100, true, true},
	} {
		g := paperGroup(t, map[string]string{"memory.current": "100\n", "memory.max": "kept", "memory.swap.max": "kept"})
		m := &specs.LinuxMemory{CheckBeforeUpdate: &tc.check}
		if tc.limit != 0 {
			m.Limit = &tc.limit
		}
		if tc.swap != 0 {
			m.Swap = &tc.swap
		}
		err := g.Update(&specs.LinuxResources{Memory: m})
		if (err != nil) != tc.refused {
			t.Errorf("%+v: %v", tc, err)
		}
		if got := read(t, g, "", "memory.max"); (got == "kept") != tc.refused {
			t.Errorf("%+v: memory.max is %q", tc, got)
		}
	}
}
