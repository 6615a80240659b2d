package cgroup

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestUnified is about hosts with cgroup v2 alone.
func TestUnified(t *testing.T) {
	if Detect() != V2 {
		t.Skip("the controllers are not in cgroup v2 here")
	}
	cleanParent(t)
	g, err := Create(parent, "v2", &specs.LinuxResources{
		Memory:  &specs.LinuxMemory{Limit: new(int64(64 << 20)), Swap: new(int64(96 << 20)), Reservation: new(int64(32 << 20))},
		CPU:     &specs.LinuxCPU{Shares: new(uint64(1024)), Quota: new(int64(50000)), Period: new(uint64(100000)), Cpus: "0"},
		Pids:    &specs.LinuxPids{Limit: new(int64(33))},
		BlockIO: &specs.LinuxBlockIO{Weight: new(uint16(500))},
		Unified: map[string]string{"memory.high": "50331648"},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = g.Destroy() }()
	checkLimits := func(when string) {
		t.Helper()
		for file, want := range map[string]string{
			"memory.max": "67108864", "memory.swap.max": "33554432", "memory.low": "33554432", "memory.high": "50331648",
			"cpu.max": "50000 100000", "cpuset.cpus": "0", "pids.max": "33",
		} {
			if got := read(t, g, "memory", file); got != want {
				t.Errorf("%s: %s is %s, want %s", when, file, got, want)
			}
		}
		// 1024 shares are what a group has by default, and so is weight 100.
		if got := read(t, g, "cpu", "cpu.weight"); got != "100" {
			t.Errorf("%s: cpu.weight is %s", when, got)
		}
	}
	checkLimits("made")

	dir, err := g.FD()
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	cmd := exec.CommandContext(t.Context(), "cat")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(dir.Fd())}
	if err := cmd.Start(); err != nil {
		t.Fatalf("clone into the group: %v", err)
	}
	if pids, err := g.Pids(); err != nil || len(pids) != 1 || pids[0] != cmd.Process.Pid {
		t.Errorf("%v, %v", pids, err)
	}

	// systemd takes controllers away from groups that it thinks do not need
	// them; the root's are in use here.
	if _, err := os.Stat("/run/systemd/system"); err == nil {
		for _, args := range [][]string{
			{"systemctl", "daemon-reload"},
			{"systemd-run", "--wait", "--quiet", "-p", "MemoryMax=64M", "-p", "CPUWeight=10", "-p", "AllowedCPUs=0", "true"},
		} {
			if text, err := exec.CommandContext(t.Context(), args[0], args[1:]...).CombinedOutput(); err != nil {
				t.Fatalf("%s: %v\n%s", args, err, text)
			}
		}
		checkLimits("after systemd's work")
		if other, err := Create(parent, "later", &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: new(int64(5))}}); err != nil {
			t.Error(err)
		} else if err := other.Destroy(); err != nil {
			t.Error(err)
		}
	}
	if err := in.Close(); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

// Devices are filtered by a program, which an update must replace and not
// stack: all programs of a group have to agree.
func TestUnifiedDevices(t *testing.T) {
	if Detect() != V2 {
		t.Skip("the controllers are not in cgroup v2 here")
	}
	cleanParent(t)
	rule := func(minor int64) specs.LinuxDeviceCgroup {
		return specs.LinuxDeviceCgroup{Allow: true, Type: "c", Major: new(int64(1)), Minor: &minor, Access: "rwm"}
	}
	g, err := Create(parent, "filter", &specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{{Access: "rwm"}, rule(3)}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = g.Destroy() }()
	open := func() string {
		t.Helper()
		script := "echo $$ >" + strconv.Quote(g.Path("")+"/cgroup.procs") + "; for d in null zero full; do (: </dev/$d) 2>&- && printf '%s ' $d; done; true"
		out, err := exec.CommandContext(t.Context(), "sh", "-c", script).CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return strings.TrimSpace(string(out))
	}
	if got := open(); got != "null" {
		t.Errorf("%q can be opened", got)
	}
	for range 3 {
		if err := g.Update(&specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{{Access: "rwm"}, rule(3), rule(5)}}); err != nil {
			t.Fatal(err)
		}
	}
	if got := open(); got != "null zero" {
		t.Errorf("after updates, %q can be opened", got)
	}
}
