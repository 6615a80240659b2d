package stage

import (
	"os"
	"reflect"
	"sync"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func fullOrder() *order {
	score, mode, id, seconds := -500, os.FileMode(0o640), uint32(3), 5
	spec := defaultSpec("/probe", "a\nb", "")
	spec.Domainname, spec.Root.Readonly, spec.Root.Path = "d", true, "r"
	spec.Hooks = &specs.Hooks{
		Prestart:      []specs.Hook{{Path: "/p", Args: []string{"a", ""}, Env: []string{"E=1"}, Timeout: &seconds}}, //nolint:staticcheck // deprecated, but in use
		CreateRuntime: []specs.Hook{{Path: "/1"}}, CreateContainer: []specs.Hook{{Path: "/2"}}, StartContainer: []specs.Hook{{Path: "/3"}, {Path: "/4"}},
		Poststart: []specs.Hook{{Path: "/5"}}, Poststop: []specs.Hook{{Path: "/6"}},
	}
	spec.Process.OOMScoreAdj, spec.Process.ConsoleSize = &score, &specs.Box{Height: 1, Width: 1 << 40}
	spec.Process.User = specs.User{UID: 1<<32 - 1, GID: 7, Umask: &id, AdditionalGids: []uint32{1, 0}}
	spec.Process.Rlimits = []specs.POSIXRlimit{specsLimit("RLIMIT_AS", 0, 1<<64-1)}
	spec.Process.SelinuxLabel, spec.Linux.MountLabel = "l", "m"
	spec.Linux.NetDevices = map[string]specs.LinuxNetDevice{"eth7": {Name: "eth%d"}, "eth8": {}}
	spec.Process.Scheduler = &specs.Scheduler{
		Policy: specs.SchedFIFO, Nice: -20, Priority: 5, Flags: []specs.LinuxSchedulerFlag{specs.SchedFlagResetOnFork}, Runtime: 1 << 60, Deadline: 2, Period: 3,
	}
	spec.Process.IOPriority = &specs.LinuxIOPriority{Class: specs.IOPRIO_CLASS_BE, Priority: 7}
	spec.Process.ExecCPUAffinity = &specs.CPUAffinity{Initial: "0-1", Final: "2"}
	spec.Linux.MemoryPolicy = &specs.LinuxMemoryPolicy{Mode: specs.MpolBind, Nodes: "0", Flags: []specs.MemoryPolicyFlagType{specs.MpolFStaticNodes}}
	spec.Process.ApparmorProfile, spec.Process.NoNewPrivileges, spec.Process.Terminal = "p", true, true
	spec.Linux.Sysctl = map[string]string{"a": "b", "c": ""}
	spec.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/x", Type: "c", Major: -1, Minor: 5, FileMode: &mode, UID: &id, GID: &id}, {}}
	spec.Linux.Seccomp = &specs.LinuxSeccomp{Flags: []specs.LinuxSeccompFlag{"X"}, ListenerPath: "/l", ListenerMetadata: "m"}
	spec.Linux.RootfsPropagation = "rslave"
	spec.Linux.Personality = &specs.LinuxPersonality{Domain: "LINUX32"}
	ids := []specs.LinuxIDMapping{{ContainerID: 1, HostID: 1<<32 - 2, Size: 1}}
	spec.Mounts = append(spec.Mounts, specs.Mount{Type: "bind", Source: "/", Destination: "/m", Options: []string{"idmap"}, UIDMappings: ids, GIDMappings: ids})
	return &order{
		Config: Config{Spec: spec, Seccomp: []byte{0, 255}, CgroupDirs: []string{"/x"}, Reaper: true, State: &specs.State{Version: "1", ID: "i", Bundle: "/b", Annotations: map[string]string{"k": "v"}}},
		NetNS:  true, Join: []joined{{"/p", 1 << 40}}, CgroupNS: true, NewNet: true, Notify: true, MountNS: "/m", Opened: true,
	}
}

func TestCodec(t *testing.T) {
	want := fullOrder()
	b := encode(want.describe)
	var got order
	if err := decode(b, got.describe); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(&got, want) {
		t.Errorf("%+v\n%+v\n%+v\n%+v", got, want, got.Spec.Process, want.Spec.Process)
	}
	for i := range b {
		if err := decode(b[:i], new(order).describe); err == nil {
			t.Errorf("%d of %d bytes are enough", i, len(b))
		}
	}
	if err := decode(append(b, 0), new(order).describe); err == nil {
		t.Error("a byte too many")
	}
}

// TestEncodeTouchesNothing: others may read what is being written, such as the
// record that a Config's pointers lead to. The race detector says if it is touched.
func TestEncodeTouchesNothing(t *testing.T) {
	o := fullOrder()
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() { encode(o.describe) })
	}
	wg.Wait()
}

// TestPrepare: what the stage gets is the Config, and what would be lost on
// the way is refused.
func TestPrepare(t *testing.T) {
	want := fullOrder().Config
	want.Spec.Process.Scheduler.Runtime, want.Spec.Process.Scheduler.Deadline, want.Spec.Process.Scheduler.Period = 0, 0, 0
	want.Spec.Linux.Sysctl = map[string]string{"net.ipv4.ip_forward": "1", "kernel.msgmax": ""}
	plan, text, err := Prepare(&want, true)
	if err != nil {
		t.Fatal(err)
	}
	if !plan.OwnPids() || !plan.Terminal || plan.PidNS != "" || plan.Groups != nil {
		t.Errorf("%+v", plan)
	}
	var got order
	if err := decode(text, got.describe); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got.Config, want) || !got.NetNS || got.NewNet || !got.CgroupNS {
		t.Errorf("%+v", got)
	}
	if _, text, err = Prepare(&want, false); err != nil || decode(text, got.describe) != nil || got.NetNS || !got.NewNet {
		t.Errorf("%+v, %v", got, err)
	}
	want.State = nil
	if _, _, err := Prepare(&want, true); err == nil {
		t.Error("hooks without a state")
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(encode(fullOrder().describe))
	f.Fuzz(func(t *testing.T, b []byte) {
		var o order
		if decode(b, o.describe) == nil {
			again := encode(o.describe)
			var p order
			if err := decode(again, p.describe); err != nil {
				t.Error(err)
			}
		}
	})
}
