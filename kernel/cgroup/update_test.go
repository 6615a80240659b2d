package cgroup

import (
	"strings"
	"testing"

	"github.com/containerd/errdefs"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// files maps what v1 and v2 call the same.
var files = map[string][2]string{
	"memory": {"memory.limit_in_bytes", "memory.max"}, "swap": {"memory.memsw.limit_in_bytes", "memory.swap.max"},
	"soft": {"memory.soft_limit_in_bytes", "memory.low"}, "quota": {"cpu.cfs_quota_us", "cpu.max"},
	"shares": {"cpu.shares", "cpu.weight"}, "cpus": {"cpuset.cpus", "cpuset.cpus"}, "pids": {"pids.max", "pids.max"},
}

func setting(t *testing.T, g *Group, name string) string {
	t.Helper()
	if Detect() == V2 {
		return read(t, g, "", files[name][1])
	}
	file := files[name][0]
	controller, _, _ := strings.Cut(file, ".")
	return read(t, g, controller, file)
}

func TestUpdate(t *testing.T) {
	cleanParent(t)
	mem := func(limit, swap int64) *specs.LinuxResources {
		m := &specs.LinuxMemory{Limit: &limit}
		if swap != 0 {
			m.Swap = &swap
		}
		return &specs.LinuxResources{Memory: m}
	}
	g, err := Create(parent, "update", mem(64<<20, 64<<20))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = g.Destroy() }() // it may be gone
	sleeper(t, g)
	defer func() {
		if err := g.Kill(); err != nil {
			t.Error(err)
		}
	}()
	check := func(want map[string][2]string) {
		t.Helper()
		for name, values := range want {
			v := values[0]
			if Detect() == V2 {
				v = values[1]
			}
			if got := setting(t, g, name); got != v {
				t.Errorf("%s is %s, want %s", name, got, v)
			}
		}
	}
	update := func(r *specs.LinuxResources) {
		t.Helper()
		if err := g.Update(r); err != nil {
			t.Fatal(err)
		}
	}
	// Up, beyond the old limit on both; down, below the old one; and without.
	update(mem(128<<20, 256<<20))
	check(map[string][2]string{"memory": {"134217728", "134217728"}, "swap": {"268435456", "134217728"}})
	update(mem(32<<20, 48<<20))
	check(map[string][2]string{"memory": {"33554432", "33554432"}, "swap": {"50331648", "16777216"}})
	update(mem(-1, -1))
	check(map[string][2]string{"memory": {"9223372036854771712", "max"}, "swap": {"9223372036854771712", "max"}})
	update(&specs.LinuxResources{
		Memory: &specs.LinuxMemory{Reservation: new(int64(8 << 20))},
		CPU:    &specs.LinuxCPU{Shares: new(uint64(2048)), Quota: new(int64(20000)), Period: new(uint64(50000)), Cpus: "0"},
		Pids:   &specs.LinuxPids{Limit: new(int64(44))},
	})
	want := map[string][2]string{
		"soft": {"8388608", "8388608"}, "quota": {"20000", "20000 50000"}, "shares": {"2048", "174"}, "cpus": {"0", "0"}, "pids": {"44", "44"},
	}
	check(want)
	// Half of a pair keeps the other.
	update(&specs.LinuxResources{CPU: &specs.LinuxCPU{Quota: new(int64(30000))}})
	want["quota"] = [2]string{"30000", "30000 50000"}
	check(want)

	// One impossible wish: nothing changes.
	err = g.Update(&specs.LinuxResources{
		Memory:  &specs.LinuxMemory{Limit: new(int64(100 << 20)), Swap: new(int64(100 << 20)), Reservation: new(int64(9 << 20))},
		CPU:     &specs.LinuxCPU{Shares: new(uint64(300)), Quota: new(int64(10000)), Cpus: "4000"},
		Pids:    &specs.LinuxPids{Limit: new(int64(45))},
		BlockIO: &specs.LinuxBlockIO{ThrottleReadBpsDevice: []specs.LinuxThrottleDevice{{Rate: 1}}},
	})
	if err == nil {
		t.Error("a processor that does not exist")
	}
	want["memory"], want["swap"] = [2]string{"9223372036854771712", "max"}, [2]string{"9223372036854771712", "max"}
	check(want)
}

// The devices that may be used change under a process that runs.
func TestUpdateDevicesLast(t *testing.T) {
	cleanParent(t)
	g, err := Create(parent, "devices", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = g.Destroy() }() // it may be gone
	rules := []specs.LinuxDeviceCgroup{{Access: "rwm"}, {Allow: true, Type: "c", Major: new(int64(1)), Minor: new(int64(5)), Access: "r"}}
	if err := g.Update(&specs.LinuxResources{Devices: rules, Pids: &specs.LinuxPids{Limit: new(int64(9))}}); err != nil {
		t.Fatal(err)
	}
	if got := setting(t, g, "pids"); got != "9" {
		t.Errorf("pids: %s", got)
	}
	if Detect() != V2 {
		if got := read(t, g, "devices", "devices.list"); got != "c 1:5 r" {
			t.Errorf("devices: %s", got)
		}
	}
}

// TestKernelTCP: the limit that the library leaves out, and its way back.
func TestKernelTCP(t *testing.T) {
	limit := func(n int64) *specs.LinuxResources {
		return &specs.LinuxResources{Memory: &specs.LinuxMemory{KernelTCP: &n}}
	}
	cleanParent(t)
	g, err := Create(parent, "tcp", limit(1<<20))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = g.Destroy() }() // it may be gone
	if Detect() == V2 {
		t.Log("cgroup v2 has no such limit; it is no error there")
		return
	}
	const file = "memory.kmem.tcp.limit_in_bytes"
	if got := read(t, g, "memory", file); got != "1048576" {
		t.Errorf("made with %s", got)
	}
	undo, err := g.Change(limit(2 << 20))
	if err != nil {
		t.Fatal(err)
	}
	if got := read(t, g, "memory", file); got != "2097152" {
		t.Errorf("changed to %s", got)
	}
	if err := undo(); err != nil || read(t, g, "memory", file) != "1048576" {
		t.Errorf("taken back: %v, %s", err, read(t, g, "memory", file))
	}
	if err := g.Update(limit(-1 << 62)); err == nil || !strings.Contains(err.Error(), "memory.kernelTCP") {
		t.Errorf("a limit that the kernel does not take: %v", err)
	}
}

// What the kernel has no file for is refused by name.
func TestUnsupported(t *testing.T) {
	h := &host{mode: V1, dirs: map[string]string{"memory": "/m"}}
	v2 := &host{mode: V2, controllers: []string{"memory", "cpu"}}
	for _, tc := range []struct {
		h    *host
		r    specs.LinuxResources
		text string
	}{
		{h, specs.LinuxResources{HugepageLimits: []specs.LinuxHugepageLimit{{Pagesize: "2MB", Limit: 1}}}, "hugepageLimits: this host has no hugetlb controller"},
		{h, specs.LinuxResources{Network: &specs.LinuxNetwork{ClassID: new(uint32(1))}}, "network.classID: this host has no net_cls controller"},
		{h, specs.LinuxResources{Rdma: map[string]specs.LinuxRdma{"mlx": {HcaObjects: new(uint32(1))}}}, "rdma: this host has no rdma controller"},
		{v2, specs.LinuxResources{Memory: &specs.LinuxMemory{Swappiness: new(uint64(3))}}, "memory.swappiness: cgroup v2 has no such setting"},
		{v2, specs.LinuxResources{Pids: &specs.LinuxPids{Limit: new(int64(3))}}, "pids.limit: this host has no pids controller"},
	} {
		c, err := convert(&tc.r, tc.h.mode)
		if err != nil {
			t.Fatal(err)
		}
		if err := tc.h.supported(c); !errdefs.IsNotImplemented(err) || !strings.HasPrefix(err.Error(), tc.text) {
			t.Errorf("%v, want %s", err, tc.text)
		}
	}
	c, err := convert(&specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: new(int64(1))}}, V1)
	if err != nil || h.supported(c) != nil {
		t.Errorf("memory: %v", err)
	}
}
