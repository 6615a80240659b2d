package conformance

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func itoa(n int) string { return strconv.Itoa(n) }

// groupsOf lists the control groups with this name, of every hierarchy.
func groupsOf(id string) []string {
	var all []string
	for _, pattern := range []string{"/sys/fs/cgroup/*", "/sys/fs/cgroup"} {
		found, _ := filepath.Glob(pattern + groupOf() + "/" + id)
		all = append(all, found...)
	}
	return all
}

// unified tells a host with cgroup v2 alone.
func unified() bool {
	_, err := os.Stat("/sys/fs/cgroup/cgroup.controllers")
	return err == nil
}

// TestGroups is config-linux.md's control groups and resources.
func TestGroups(t *testing.T) {
	const section = "config-linux.md#control-groups"
	deny := specs.LinuxDeviceCgroup{Allow: false, Access: "rwm"}
	char := func(allow bool, minor int64, access string) specs.LinuxDeviceCgroup {
		return specs.LinuxDeviceCgroup{Allow: allow, Type: "c", Major: new(int64(1)), Minor: new(minor), Access: access}
	}
	rules := func(list ...specs.LinuxDeviceCgroup) edit {
		return resources(func(r *specs.LinuxResources) { r.Devices = list })
	}
	kmsg := func(s *specs.Spec) {
		s.Process.Capabilities.Bounding = append(s.Process.Capabilities.Bounding, "CAP_SYSLOG")
		s.Process.Capabilities.Permitted = s.Process.Capabilities.Bounding
		s.Process.Capabilities.Effective = s.Process.Capabilities.Bounding
		device(specs.LinuxDevice{Path: "/dev/kmsg", Type: "c", Major: 1, Minor: 11, FileMode: new(os.FileMode(0o666))})(s)
	}
	const open = "(exec 3</dev/kmsg) 2>/dev/null && echo yes || echo no"
	rows := []must{
		{"config-linux.md#cgroups-path", "an absolute one is below the mount point", groupAbsolute},
		{"config-linux.md#cgroups-path", "the same value is the same place", groupSame},
		{"config-linux.md#cgroups-path", "a relative one is taken, and always the same", groupRelative},
		{"config-linux.md#cgroups-path", "none is taken", groupNone},
		{"config-linux.md#cgroup-ownership", "process 1 is in its groups, exec too", groupMembers},
		{"config-linux.md#device-whitelist", "what is denied cannot be opened", inside("no", open, kmsg, rules(deny))},
		{"config-linux.md#device-whitelist", "what is allowed later can be", inside("yes", open, kmsg, rules(deny, char(true, 11, "rwm")))},
		{"config-linux.md#device-whitelist", "in the listed order", inside("no", open, kmsg, rules(deny, char(true, 11, "rwm"), char(false, 11, "r")))},
		{"config-linux.md#memory", "limit", limit("memory", "memory.limit_in_bytes", "memory.max", "67108864", func(r *specs.LinuxResources) {
			r.Memory = &specs.LinuxMemory{Limit: new(int64(64 << 20))}
		})},
		{"config-linux.md#memory", "reservation", limit("memory", "memory.soft_limit_in_bytes", "memory.low", "33554432", func(r *specs.LinuxResources) {
			r.Memory = &specs.LinuxMemory{Limit: new(int64(64 << 20)), Reservation: new(int64(32 << 20))}
		})},
		{"config-linux.md#cpu", "quota and period", limit("cpu", "cpu.cfs_quota_us", "cpu.max", map[bool]string{false: "20000", true: "20000 100000"}[unified()], func(r *specs.LinuxResources) {
			r.CPU = &specs.LinuxCPU{Quota: new(int64(20000)), Period: new(uint64(100000))}
		})},
		{"config-linux.md#cpu", "cpus", limit("cpuset", "cpuset.cpus", "cpuset.cpus", "0", func(r *specs.LinuxResources) {
			r.CPU = &specs.LinuxCPU{Cpus: "0", Mems: "0"}
		})},
		{"config-linux.md#cpu", "an error for processors that are not there", refused(resources(func(r *specs.LinuxResources) { r.CPU = &specs.LinuxCPU{Cpus: "100000"} }))},
		{"config-linux.md#pids", "limit", limit("pids", "pids.max", "pids.max", "77", func(r *specs.LinuxResources) {
			r.Pids = &specs.LinuxPids{Limit: new(int64(77))}
		})},
		{"config-linux.md#pids", "-1 is no limit", limit("pids", "pids.max", "pids.max", "max", func(r *specs.LinuxResources) {
			r.Pids = &specs.LinuxPids{Limit: new(int64(-1))}
		})},
		{"config-linux.md#pids", "0 is a limit: no further task", noFurtherTask},
		{"config-linux.md#memory", "checkBeforeUpdate rejects a limit below what is in use", checkedUpdate},
		{"config-linux.md#cgroups-path", "an error for a group with processes in it, which stay", groupInUse},
		{"config-linux.md#block-io", "an error for a device's entry with neither weight", refused(resources(func(r *specs.LinuxResources) {
			r.BlockIO = &specs.LinuxBlockIO{WeightDevice: []specs.LinuxWeightDevice{weightOf(7, 0)}}
		}))},
		{"config-linux.md#rdma", "an error for an entry with neither limit", refused(resources(func(r *specs.LinuxResources) {
			r.Rdma = map[string]specs.LinuxRdma{"mlx5_1": {}}
		}))},
		{"config-linux.md#memory", "an error for a swappiness above 100", refused(resources(func(r *specs.LinuxResources) {
			r.Memory = &specs.LinuxMemory{Swappiness: new(uint64(101))}
		}))},
		{"config-linux.md#device-whitelist", "an error for a type that is unknown", refused(rules(specs.LinuxDeviceCgroup{Allow: true, Type: "z", Access: "r"}))},
		{"config-linux.md#device-whitelist", "an error for an access that is unknown", refused(rules(specs.LinuxDeviceCgroup{Allow: true, Type: "c", Access: "x"}))},
		{"config-linux.md#huge-page-limits", "an error for a page size that is not there", refused(resources(func(r *specs.LinuxResources) {
			r.HugepageLimits = []specs.LinuxHugepageLimit{{Pagesize: "3KB", Limit: 4096}}
		}))},
		{section, "a limit of nothing is an error or works", memoryTooSmall},
	}
	if unified() {
		rows = append(rows, must{"config-linux.md#unified", "files are written", limit("", "", "memory.high", "50331648", func(r *specs.LinuxResources) {
			r.Unified = map[string]string{"memory.high": "50331648"}
		})}, must{"config-linux.md#unified", "an error for a controller that is not there", refused(resources(func(r *specs.LinuxResources) {
			r.Unified = map[string]string{"wishes.max": "1"}
		}))}, must{"config-linux.md#cpu", "the default shares are the default weight", limit("", "", "cpu.weight", "100", func(r *specs.LinuxResources) {
			r.CPU = &specs.LinuxCPU{Shares: new(uint64(1024))}
		})}, must{"config-linux.md#memory", "swap is counted together with memory", limit("", "", "memory.swap.max", "33554432", func(r *specs.LinuxResources) {
			r.Memory = &specs.LinuxMemory{Limit: new(int64(64 << 20)), Swap: new(int64(96 << 20))}
		})})
	} else {
		rows = append(rows, must{"config-linux.md#memory", "swap is counted together with memory", limit("memory", "memory.memsw.limit_in_bytes", "", "100663296", func(r *specs.LinuxResources) {
			r.Memory = &specs.LinuxMemory{Limit: new(int64(64 << 20)), Swap: new(int64(96 << 20))}
		})}, must{"config-linux.md#unified", "an error where there is no cgroup v2", refused(resources(func(r *specs.LinuxResources) {
			r.Unified = map[string]string{"memory.high": "50331648"}
		}))}, must{"config-linux.md#cpu", "shares", limit("cpu", "cpu.shares", "", "512", func(r *specs.LinuxResources) {
			r.CPU = &specs.LinuxCPU{Shares: new(uint64(512))}
		})})
	}
	hold(t, rows)
}

// limit reads a file of the container's group.
func limit(controller, v1, v2, want string, set func(*specs.LinuxResources)) func(*testing.T) {
	return func(t *testing.T) {
		b := newBox(t, waits, resources(set))
		b.mustCreate()
		path := filepath.Join("/sys/fs/cgroup", controller, b.spec.Linux.CgroupsPath, v1)
		if unified() {
			path = filepath.Join("/sys/fs/cgroup", b.spec.Linux.CgroupsPath, v2)
		}
		data, err := os.ReadFile(path)
		check(t, err)
		if got := strings.TrimSpace(string(data)); got != want {
			t.Errorf("%s: %s, not %s", path, got, want)
		}
	}
}

// noFurtherTask gives the container no task but its first.
func noFurtherTask(t *testing.T) {
	b := newBox(t, sh("echo began; true & wait; echo $(true)"), resources(func(r *specs.LinuxResources) {
		r.Pids = &specs.LinuxPids{Limit: new(int64(0))}
	}))
	b.mustCreate()
	b.mustStart()
	if code := b.wait(); code == 0 || b.output() != "began\n" {
		t.Errorf("it ends with %d and prints %q", code, b.output())
	}
}

// checkedUpdate lowers the limit of a container below what it uses. The kernel of v1
// rejects that by itself.
func checkedUpdate(t *testing.T) {
	b := newBox(t, sh("head -c 20000000 /dev/zero >/mem/full; echo ready; exec sleep 1000"), mounts("/mem", "tmpfs", "tmpfs"), resources(func(r *specs.LinuxResources) { r.Memory = &specs.LinuxMemory{Limit: new(int64(64 << 20))} }))
	b.mustCreate()
	b.mustStart()
	eventually(t, "the container uses memory", func() bool { return b.output() == "ready\n" })
	file := filepath.Join(b.bundle, "resources.json")
	for _, tc := range []struct {
		limit string
		taken bool
	}{{"10000000", false}, {"60000000", true}} {
		check(t, os.WriteFile(file, []byte(`{"memory":{"checkBeforeUpdate":true,"limit":`+tc.limit+`}}`), 0o600))
		if _, err := b.do("update", "--resources", file, b.id); (err == nil) != tc.taken {
			t.Errorf("a limit of %s: %v", tc.limit, err)
		}
	}
	if s := b.state(); s.Status != specs.StateRunning {
		t.Errorf("the container is %s", s.Status)
	}
}

// members are the groups that a process is in: "controllers:path", sorted.
func members(t *testing.T, pid int) []string {
	t.Helper()
	data, err := os.ReadFile("/proc/" + itoa(pid) + "/cgroup")
	check(t, err)
	var all []string
	for line := range strings.Lines(string(data)) {
		_, rest, _ := strings.Cut(strings.TrimSpace(line), ":")
		all = append(all, rest)
	}
	slices.Sort(all)
	return all
}

func groupAbsolute(t *testing.T) {
	b := newBox(t, waits)
	b.mustCreate()
	in := 0
	for _, m := range members(t, b.last) {
		if _, path, _ := strings.Cut(m, ":"); strings.HasSuffix(path, b.spec.Linux.CgroupsPath) {
			in++
		}
	}
	if in == 0 || in < len(groupsOf(b.id)) {
		t.Errorf("in %d of %d groups: %v", in, len(groupsOf(b.id)), members(t, b.last))
	}
}

// groupsTwice creates two containers one after the other and returns the groups
// of both.
func groupsTwice(t *testing.T, path string) (first, second []string) {
	t.Helper()
	var all [2][]string
	for i := range all {
		b := newBox(t, waits, linux(func(l *specs.Linux) { l.CgroupsPath = path }))
		b.id = "conf-group-" + itoa(os.Getpid())
		b.mustCreate()
		all[i] = members(t, b.last)
		_, err := b.do("delete", "--force", b.id)
		check(t, err)
	}
	return all[0], all[1]
}

func groupSame(t *testing.T) {
	if a, b := groupsTwice(t, groupOf()+"/same"); !slices.Equal(a, b) {
		t.Errorf("%v, then %v", a, b)
	}
}

func groupRelative(t *testing.T) {
	if a, b := groupsTwice(t, strings.TrimPrefix(groupOf(), "/")+"/relative"); !slices.Equal(a, b) {
		t.Errorf("%v, then %v", a, b)
	}
}

func groupNone(t *testing.T) {
	if a, b := groupsTwice(t, ""); !slices.Equal(a, b) {
		t.Errorf("%v, then %v", a, b)
	}
}

func weightOf(major, minor int64) (d specs.LinuxWeightDevice) {
	d.Major, d.Minor = major, minor
	return d
}

// groupInUse names the group of another container.
func groupInUse(t *testing.T) {
	first := newBox(t, waits)
	first.mustCreate()
	before := members(t, first.last)
	second := newBox(t, waits, linux(func(l *specs.Linux) { l.CgroupsPath = first.spec.Linux.CgroupsPath }))
	if second.create() == nil {
		t.Error("create succeeds")
	}
	if after := members(t, first.last); !slices.Equal(before, after) || first.state().Status != specs.StateCreated {
		t.Errorf("the first is %s, in %v", first.state().Status, after)
	}
}

func groupMembers(t *testing.T) {
	b := newBox(t, waits, with(specs.CgroupNamespace, ""))
	b.mustCreate()
	b.mustStart()
	inner, err := b.do("exec", b.id, "cat", "/proc/self/cgroup")
	check(t, err)
	var own int
	for line := range strings.Lines(inner) {
		if strings.HasSuffix(strings.TrimSpace(line), ":/") {
			own++
		}
	}
	if lines := strings.Count(inner, "\n"); own == 0 || own < len(groupsOf(b.id)) {
		t.Errorf("in %d of %d groups:\n%s", own, lines, inner)
	}
}

func memoryTooSmall(t *testing.T) {
	b := newBox(t, waits, resources(func(r *specs.LinuxResources) { r.Memory = &specs.LinuxMemory{Limit: new(int64(4096))} }))
	if b.create() == nil {
		b.state()
		return
	}
	if b.exists() || len(groupsOf(b.id)) > 0 {
		t.Error("a refused container is left")
	}
}
