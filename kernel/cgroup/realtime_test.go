package cgroup

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestShare(t *testing.T) {
	for _, c := range []struct {
		runtime       int64
		period, other uint64
		want          int64
	}{{10, 100, 100, 10}, {10, 100, 1000, 100}, {1, 3, 100, 34}, {7, 0, 100, 7}} {
		if got := share(c.runtime, c.period, c.other); got != c.want {
			t.Errorf("%d of %d is %d of %d, not %d", c.runtime, c.period, got, c.other, c.want)
		}
	}
}

// Groups get real-time although those above them have none yet, several of them
// and with different periods; more than that is refused.
func TestRealtime(t *testing.T) {
	host, err := detected()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(host.dirs["cpu"], "cpu.rt_runtime_us")); err != nil {
		t.Skip("no real-time in control groups: it takes cgroup v1 and CONFIG_RT_GROUP_SCHED")
	}
	cleanParent(t)
	ask := func(runtime int64, period uint64) *Resources {
		return &Resources{CPU: &specs.LinuxCPU{RealtimeRuntime: &runtime, RealtimePeriod: &period}}
	}
	for i, r := range []*Resources{ask(20000, 1000000), ask(10000, 500000), ask(5000, 1000000)} {
		g, err := Create(parent+"/deep", string(rune('a'+i)), r)
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := g.Destroy(); err != nil {
				t.Error(err)
			}
		}()
		if got := read(t, g, "cpu", "cpu.rt_runtime_us"); got == "0" {
			t.Errorf("group %d has %s", i, got)
		}
	}
	b, err := os.ReadFile(filepath.Join(host.dirs["cpu"], parent, "deep/cpu.rt_runtime_us"))
	if err != nil || strings.TrimSpace(string(b)) != "45000" {
		t.Errorf("the group above has %s, %v", b, err)
	}
	g, err := Create(parent+"/deep", "more", ask(990000, 1000000))
	if err == nil {
		t.Error("there was more than the host has", g.Destroy())
	} else if !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), "no real-time of 990000 µs") {
		t.Error(err)
	}
}
