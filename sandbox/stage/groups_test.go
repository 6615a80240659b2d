package stage

import (
	"fmt"
	"strings"
	"testing"

	"github.com/moby/profiles/seccomp"

	"github.com/berth-engine/berth/kernel/cgroup"
	compiler "github.com/berth-engine/berth/sandbox/seccomp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestSeccomp(t *testing.T) {
	for _, nnp := range []bool{false, true} {
		for _, reaper := range []bool{false, true} {
			spec := defaultSpec("/probe", "report")
			spec.Process.NoNewPrivileges = nnp
			spec.Process.User.UID = 1000
			profile, err := seccomp.GetDefaultProfile(spec)
			must(t, err)
			spec.Linux.Seccomp = profile
			b := newBox(t, spec)
			b.config.Reaper = reaper
			b.config.Seccomp, err = compiler.Compile(profile)
			must(t, err)
			r := b.report()
			if r.Status["Seccomp"] != "2" || r.Status["Seccomp_filters"] != "1" {
				t.Errorf("nnp=%v reaper=%v: %v", nnp, reaper, r.Status)
			}
		}
	}
	spec := defaultSpec("/probe", "syscall", "248", "165", "39", "9999") // add_key, mount, getpid, none
	profile, err := seccomp.GetDefaultProfile(spec)
	must(t, err)
	b := newBox(t, spec)
	b.config.Seccomp, err = compiler.Compile(profile)
	must(t, err)
	if out, _ := b.run(); out != "248 1\n165 1\n39 0\n9999 38\n" {
		t.Error(out)
	}
}

func TestControlGroups(t *testing.T) {
	const parent = "/berth-stage-test"
	limit := int64(64 << 20)
	g, err := cgroup.Create(parent, "box", &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &limit}})
	must(t, err)
	t.Cleanup(func() {
		must(t, g.Destroy())
		must(t, cgroup.Prune(parent))
	})
	spec := defaultSpec("/probe", "read", "/proc/self/cgroup", "/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory.max")
	b := newBox(t, spec)
	b.config.CgroupDirs = g.JoinDirs() // for a stage that was forked ahead
	if cgroup.Detect() == cgroup.V2 {
		b.group, err = g.FD()
		must(t, err)
	}
	must(t, b.spawn())
	if pids, err := g.Pids(); err != nil || len(pids) != 1 || pids[0] != b.process.Pid {
		t.Errorf("%v, %v", pids, err)
	}
	must(t, b.process.Start())
	b.wait()
	out := b.stdout.String()
	if !strings.Contains(out, fmt.Sprintf(`"%d\n"`, limit)) || strings.Contains(out, parent) {
		t.Error(out)
	}
	spec.Process.Args = []string{"/probe", "create", "/sys/fs/cgroup/x", "/sys/fs/cgroup/cgroup.procs", "/sys/fs/cgroup/memory/cgroup.procs", "/sys/fs/cgroup/memory/x/y"}
	c := newBox(t, spec)
	c.config.CgroupDirs, c.group = b.config.CgroupDirs, b.group
	if out, _ := c.run(); strings.Contains(out, "true") {
		t.Errorf("writable: %s", out)
	}
}

// A memory limit that is too low for the stage itself is an error that says
// so, and nothing is left.
func TestKilledInSetup(t *testing.T) {
	noLeak(t)
	if cgroup.Detect() == cgroup.V2 {
		t.Log("the limit would count from the clone on; the message is the same")
	}
	limit := int64(16 << 10)
	g, err := cgroup.Create("/berth-stage-test", "small", &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &limit}})
	must(t, err)
	t.Cleanup(func() {
		must(t, g.Destroy())
		must(t, cgroup.Prune("/berth-stage-test"))
	})
	b := newBox(t, defaultSpec("/probe"))
	b.config.CgroupDirs = g.JoinDirs()
	if err := b.spawn(); err == nil || !strings.Contains(err.Error(), "memory limit too low?") {
		t.Errorf("%v", err)
	}
}
