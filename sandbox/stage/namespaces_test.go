package stage

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/berth-engine/berth/kernel/ns"
)

func link(t *testing.T, pid int, kind string) string {
	t.Helper()
	target, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", pid, kind))
	must(t, err)
	return target
}

func TestNamespaces(t *testing.T) {
	netns, err := ns.NewNetNS()
	must(t, err)
	defer netns.Close()
	b := newBox(t, defaultSpec("/probe", "pause"))
	b.files.NetNS = netns
	must(t, b.spawn())
	for _, kind := range []string{"mnt", "pid", "net", "ipc", "uts", "cgroup"} {
		if link(t, b.process.Pid, kind) == link(t, os.Getpid(), kind) {
			t.Errorf("%s namespace is the host's", kind)
		}
	}
	in, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", b.process.Pid))
	must(t, err)
	defer in.Close()
	if same, err := ns.Same(in, netns); err != nil || !same {
		t.Errorf("not in the given network namespace: %v", err)
	}

	// A second one shares namespaces of the first, and the host's for uts.
	spec := defaultSpec("/probe", "list", "/proc")
	spec.Hostname = ""
	spec.Linux.Namespaces = []specs.LinuxNamespace{
		{Type: "mount"},
		{Type: "pid", Path: fmt.Sprintf("/proc/%d/ns/pid", b.process.Pid)},
		{Type: "network", Path: fmt.Sprintf("/proc/%d/ns/net", b.process.Pid)},
		{Type: "ipc", Path: fmt.Sprintf("/proc/%d/ns/ipc", b.process.Pid)},
	}
	c := newBox(t, spec)
	must(t, c.spawn())
	for _, kind := range []string{"pid", "net", "ipc"} {
		if link(t, c.process.Pid, kind) != link(t, b.process.Pid, kind) {
			t.Errorf("%s namespace is not joined", kind)
		}
	}
	for _, kind := range []string{"uts", "cgroup"} {
		if link(t, c.process.Pid, kind) != link(t, os.Getpid(), kind) {
			t.Errorf("%s namespace is not the host's", kind)
		}
	}
	must(t, c.process.Start())
	if c.wait() != 0 || !strings.HasPrefix(c.stdout.String(), "1\n") {
		t.Errorf("/proc:\n%s", c.stdout.String())
	}
}

// TestIntelRdt: every field of it is refused by its name.
func TestIntelRdt(t *testing.T) {
	for what, rdt := range map[string]specs.LinuxIntelRdt{
		"linux.intelRdt: Intel RDT":                    {},
		"linux.intelRdt (closID): Intel RDT":           {ClosID: "gold"},
		"linux.intelRdt (schemata): Intel RDT":         {Schemata: []string{"L3:0=f"}},
		"linux.intelRdt (l3CacheSchema): Intel RDT":    {L3CacheSchema: "L3:0=f"},
		"linux.intelRdt (memBwSchema): Intel RDT":      {MemBwSchema: "MB:0=20"},
		"linux.intelRdt (enableMonitoring): Intel RDT": {EnableMonitoring: true},
		"linux.intelRdt (closID, schemata, l3CacheSchema, memBwSchema, enableMonitoring): Intel RDT": {
			ClosID: "/", Schemata: []string{"L2:0=f"}, L3CacheSchema: "L3:0=f", MemBwSchema: "MB:0=20", EnableMonitoring: true,
		},
	} {
		spec := defaultSpec("/probe")
		spec.Linux.IntelRdt = &rdt
		var e *NotImplementedError
		if err := newBox(t, spec).spawn(); !errors.As(err, &e) || e.What != what {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestAbandonedBeforeStart(t *testing.T) {
	noLeak(t)
	b := newBox(t, defaultSpec("/probe"))
	must(t, b.spawn())
	must(t, b.process.Close())
	if code := b.wait(); code != 1 {
		t.Errorf("exit %d", code)
	}
}

func BenchmarkSpawn(b *testing.B) {
	for b.Loop() {
		x := newBox(b, defaultSpec("/probe", "exit", "0"))
		must(b, x.spawn())
		must(b, x.process.Start())
		x.wait()
		x.process.Close()
	}
}
