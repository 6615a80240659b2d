package cgroup

import (
	"bufio"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/containerd/errdefs"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

const parent = "/berth-cgroup-test"

func cleanParent(t *testing.T) {
	t.Helper()
	t.Cleanup(func() {
		if err := Prune(parent + "/deep"); err != nil {
			t.Error(err)
		}
		if err := Prune(parent); err != nil {
			t.Error(err)
		}
		h, err := detected()
		if err != nil {
			t.Fatal(err)
		}
		for _, dir := range h.dirs {
			if _, err := os.Stat(filepath.Join(dir, parent)); err == nil {
				t.Errorf("left: %s%s", dir, parent)
			}
		}
	})
}

func read(t *testing.T, g *Group, controller, file string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(g.Path(controller), file))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

// sleeper starts a process in the group that waits for its standard input.
func sleeper(t *testing.T, g *Group, args ...string) *exec.Cmd {
	t.Helper()
	if args == nil {
		args = []string{"cat"}
	}
	cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()
	})
	for _, dir := range g.JoinDirs() {
		if err := write(dir, "cgroup.procs", strconv.Itoa(cmd.Process.Pid)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := io.WriteString(in, "joined\n"); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "joined\n" {
		t.Fatalf("%q, %v", line, err)
	}
	return cmd
}

func TestLife(t *testing.T) {
	cleanParent(t)
	g, err := Create(parent+"/deep", "one", &specs.LinuxResources{
		Memory: &specs.LinuxMemory{Limit: new(int64(64 << 20)), Swap: new(int64(128 << 20))},
		CPU:    &specs.LinuxCPU{Shares: new(uint64(512)), Quota: new(int64(50000)), Period: new(uint64(100000))},
		Pids:   &specs.LinuxPids{Limit: new(int64(33))},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = g.Destroy() }() // it may be gone
	if Detect() != V2 {
		for _, v := range [][3]string{
			{"memory", "memory.limit_in_bytes", "67108864"},
			{"memory", "memory.memsw.limit_in_bytes", "134217728"},
			{"cpu", "cpu.shares", "512"},
			{"cpu", "cpu.cfs_quota_us", "50000"},
			{"pids", "pids.max", "33"},
		} {
			if got := read(t, g, v[0], v[1]); got != v[2] {
				t.Errorf("%s: %s", v[1], got)
			}
		}
		if read(t, g, "cpuset", "cpuset.cpus") == "" || read(t, g, "cpuset", "cpuset.mems") == "" {
			t.Error("empty cpuset")
		}
		if list := read(t, g, "devices", "devices.list"); !strings.Contains(list, "c 1:3 rwm") || strings.Contains(list, "a *:*") {
			t.Errorf("devices: %s", list)
		}
		if f, err := g.FD(); err == nil {
			f.Close()
		} else if Detect() != V1 || !errdefs.IsNotImplemented(err) {
			t.Errorf("FD: %v", err)
		}
	}
	if _, err := Create(parent+"/deep", "one", nil); err != nil {
		t.Errorf("an empty group that is left is not replaced: %v", err)
	}
	cmd := sleeper(t, g)
	if pids, err := g.Pids(); err != nil || len(pids) != 1 || pids[0] != cmd.Process.Pid {
		t.Errorf("%v, %v", pids, err)
	}
	if _, err := Create(parent+"/deep", "one", nil); !errdefs.IsAlreadyExists(err) {
		t.Errorf("second: %v", err)
	}
	loaded, err := Load(parent+"/deep", "one")
	if err != nil {
		t.Fatal(err)
	}
	if err := loaded.Update(&specs.LinuxResources{Pids: &specs.LinuxPids{Limit: new(int64(-1))}}); err != nil {
		t.Error(err)
	}
	if got := read(t, g, "pids", "pids.max"); got != "max" {
		t.Errorf("pids.max: %s", got)
	}
	if err := loaded.Destroy(); !errors.Is(err, syscall.EBUSY) {
		t.Errorf("destroyed with a process: %v", err)
	}
	if err := loaded.Kill(); err != nil {
		t.Error(err)
	}
	_ = cmd.Wait() // killed
	if err := loaded.Destroy(); err != nil {
		t.Error(err)
	}
	if _, err := Load(parent+"/deep", "one"); !errdefs.IsNotFound(err) {
		t.Errorf("after removal: %v", err)
	}
	if err := g.Destroy(); err != nil {
		t.Errorf("again: %v", err)
	}
	if pids, err := g.Pids(); err != nil || pids != nil {
		t.Errorf("after removal: %v, %v", pids, err)
	}
}

func TestNothingStaysOnError(t *testing.T) {
	cleanParent(t)
	for name, r := range map[string]*specs.LinuxResources{
		"shares":  {CPU: &specs.LinuxCPU{Cpus: "1000"}},
		"device":  {Devices: []specs.LinuxDeviceCgroup{{Type: "x"}}},
		"access":  {Devices: []specs.LinuxDeviceCgroup{{Type: "c", Access: "q"}}},
		"unified": {Unified: map[string]string{"no.such": "1"}},
	} {
		if _, err := Create(parent, name, r); err == nil {
			t.Errorf("%s: no error", name)
		}
		if _, err := Load(parent, name); !errdefs.IsNotFound(err) {
			t.Errorf("%s: something stays: %v", name, err)
		}
	}
	for _, id := range []string{"", ".", "..", "a/b", "a\nb"} {
		if _, err := Create(parent, id, nil); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%q: %v", id, err)
		}
	}
	if _, err := Create("system.slice:berth:x", "x", nil); !errdefs.IsNotImplemented(err) {
		t.Errorf("systemd: %v", err)
	}
}

func TestDevices(t *testing.T) {
	cleanParent(t)
	g, err := Create(parent, "devices", &specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{
		{Allow: false, Access: "rwm"}, {Allow: true, Type: "c", Major: new(int64(1)), Minor: new(int64(3)), Access: "rwm"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = g.Destroy() }() // it may be gone
	// A node of another device cannot be opened from inside the group.
	cmd := exec.CommandContext(t.Context(), "sh", "-c", "read x; : <>/dev/null && echo null; (: </dev/zero) 2>&1; read x")
	check := func() string {
		in, _ := cmd.StdinPipe()
		out, _ := cmd.StdoutPipe()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for _, dir := range g.JoinDirs() {
			if err := write(dir, "cgroup.procs", strconv.Itoa(cmd.Process.Pid)); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := io.WriteString(in, "go\nend\n"); err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(out)
		_ = cmd.Wait() // what it printed tells
		return string(b)
	}
	if out := check(); !strings.Contains(out, "null\n") || !strings.Contains(out, "ermi") {
		t.Errorf("devices:\n%s", out)
	}
	if err := g.Update(&specs.LinuxResources{Pids: &specs.LinuxPids{Limit: new(int64(5))}}); err != nil {
		t.Error(err)
	}
	if Detect() != V2 {
		if list := read(t, g, "devices", "devices.list"); list != "c 1:3 rwm" {
			t.Errorf("after update: %s", list)
		}
	}
}

// TestDevicesAsListed: on v1 the group's list has the rules in their order, with
// those after a second denial merged by the library.
func TestDevicesAsListed(t *testing.T) {
	if Detect() == V2 {
		return // there they become a program, in their order (TestUnifiedDevices)
	}
	rule := func(allow bool, kind string, major, minor int64, access string) specs.LinuxDeviceCgroup {
		return specs.LinuxDeviceCgroup{Allow: allow, Type: kind, Major: &major, Minor: &minor, Access: access}
	}
	none := specs.LinuxDeviceCgroup{Access: "rwm"}
	for _, row := range []struct {
		rules []specs.LinuxDeviceCgroup
		want  string
	}{
		{[]specs.LinuxDeviceCgroup{none, rule(true, "c", 10, 229, "rwm"), rule(true, "b", 8, 20, "rw"), rule(true, "b", 10, 200, "r"), rule(true, "c", 1, 3, "rwm")},
			"c 10:229 rwm\nb 8:20 rw\nb 10:200 r\nc 1:3 rwm"},
		{[]specs.LinuxDeviceCgroup{none, rule(true, "c", 5, 2, "rwm"), rule(true, "c", 1, 3, "rwm"), rule(false, "c", 5, 2, "w")}, "c 5:2 rm\nc 1:3 rwm"},
		{[]specs.LinuxDeviceCgroup{rule(true, "c", 5, 2, "r"), none, rule(true, "c", 1, 3, "r")}, "c 1:3 r"},
	} {
		cleanParent(t)
		g, err := Create(parent, "listed", &specs.LinuxResources{Devices: row.rules})
		if err != nil {
			t.Fatal(err)
		}
		if list := read(t, g, "devices", "devices.list"); list != row.want {
			t.Errorf("%v:\n%s\nnot\n%s", row.rules, list, row.want)
		}
		if err := g.Destroy(); err != nil {
			t.Error(err)
		}
	}
}

func TestLone(t *testing.T) {
	cleanParent(t)
	g, err := Lone(parent, "monitor")
	if err != nil {
		t.Fatal(err)
	}
	if Detect() != V2 {
		if list := read(t, g, "devices", "devices.list"); list != "a *:* rwm" {
			t.Errorf("devices: %s", list)
		}
	}
	cmd := sleeper(t, g)
	if again, err := Lone(parent, "monitor"); err != nil || len(again.JoinDirs()) != len(g.JoinDirs()) {
		t.Errorf("with a process in it: %v", err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = cmd.Wait() // killed
	if err := g.Kill(); err != nil {
		t.Error(err)
	}
	if err := g.Destroy(); err != nil {
		t.Error(err)
	}
}

// Without cgroup.kill, a group whose processes fork without end is killed,
// too, and so are groups below.
func TestKillEach(t *testing.T) {
	cleanParent(t)
	g, err := Create(parent, "bomb", &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: new(int64(50))}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = g.Destroy() }() // it may be gone
	cmd := sleeper(t, g, "sh", "-c", "read x; echo joined; while :; do (while :; do (:); done) & done 2>/dev/null")
	if err := g.killEach(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed
	if err := g.Destroy(); err != nil {
		t.Error(err)
	}
}

func TestOOMKills(t *testing.T) {
	cleanParent(t)
	g, err := Create(parent, "oom", &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: new(int64(16 << 20))}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = g.Destroy() }() // it may be gone
	if n, err := g.OOMKills(); err != nil || n != 0 {
		t.Errorf("%d, %v", n, err)
	}
	cmd := sleeper(t, g, "sh", "-c", "read x; echo joined; exec tail /dev/zero")
	_ = cmd.Wait() // killed
	if n, err := g.OOMKills(); err != nil || n != 1 {
		t.Errorf("%d, %v", n, err)
	}
}

func TestParseHost(t *testing.T) {
	const v1 = "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n33 31 0:30 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,release_agent=/x,name=systemd\n"
	for text, want := range map[string]Mode{
		v1: V1,
		v1 + "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:3 - cgroup2 cgroup2 rw\n": Hybrid,
		"30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n":                     V2,
	} {
		h, err := parseHost(strings.NewReader(text))
		if err != nil || h.mode != want {
			t.Errorf("%v, %v", h, err)
		}
		if want != V2 && (h.dirs["cpuacct"] != "/sys/fs/cgroup/cpu,cpuacct" || h.dirs["name=systemd"] == "" || len(h.dirs) > 4) {
			t.Errorf("%v", h.dirs)
		}
	}
	if _, err := parseHost(strings.NewReader("")); err == nil {
		t.Error("no hierarchies")
	}
}

func BenchmarkCreate(b *testing.B) {
	rules := []specs.LinuxDeviceCgroup{{Access: "rwm"}, {Allow: true, Type: "c", Access: "m"}, {Allow: true, Type: "b", Access: "m"}}
	for _, d := range [][2]int64{{1, 3}, {1, 5}, {1, 7}, {1, 8}, {1, 9}, {5, 0}, {5, 1}, {5, 2}} {
		rules = append(rules, specs.LinuxDeviceCgroup{Allow: true, Type: "c", Major: &d[0], Minor: &d[1], Access: "rwm"})
	}
	for b.Loop() {
		g, err := Create(parent, "bench", &specs.LinuxResources{Devices: rules})
		if err != nil {
			b.Fatal(err)
		}
		if err := g.Destroy(); err != nil {
			b.Fatal(err)
		}
	}
	if err := Prune(parent); err != nil {
		b.Fatal(err)
	}
}
