package spec

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// input is a container as Create would leave it.
func input(change func(*Input)) *Input {
	in := &Input{
		ID:           strings.Repeat("a", 64),
		Config:       &container.Config{Hostname: "aaaaaaaaaaaa", Entrypoint: []string{"/bin/app"}, Cmd: []string{"-x"}, Env: []string{"A=1"}},
		Host:         &container.HostConfig{NetworkMode: "bridge", IpcMode: "private", CgroupnsMode: "private"},
		Capabilities: append(slices.Clone(DefaultCapabilities), "CAP_SYS_ADMIN", "CAP_NET_ADMIN"),
		Mounts:       []specs.Mount{{Destination: "/etc/hosts", Type: "bind", Source: "/state/hosts", Options: []string{"rbind", "rprivate"}}},
		NoMqueue:     true,
	}
	if change != nil {
		change(in)
	}
	return in
}

// TestAppArmor: what is asked for counts, then the daemon's profile, from which
// --privileged frees.
func TestAppArmor(t *testing.T) {
	for _, c := range []struct {
		asked, daemon string
		privileged    bool
		want          string
	}{
		{"", "", false, ""},
		{"", "", true, ""},
		{"own", "", false, "own"}, // the sandbox refuses it
		{"", "docker-default", false, "docker-default"},
		{"", "docker-default", true, "unconfined"},
		{"own", "docker-default", true, "own"},
		{"unconfined", "docker-default", false, "unconfined"},
	} {
		s, err := Build(input(func(in *Input) {
			in.AppArmor, in.Host.Privileged = c.daemon, c.privileged
			if c.asked != "" {
				in.Host.SecurityOpt = []string{"apparmor=" + c.asked}
			}
		}))
		if err != nil || s.Process.ApparmorProfile != c.want {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func TestGolden(t *testing.T) {
	yes, limit, weight := true, int64(100), uint16(300)
	for name, change := range map[string]func(*Input){
		"default": nil,
		"user": func(in *Input) {
			in.User = User{UID: 1000, GID: 1000, Additional: []uint32{1000, 2000}, Home: "/home/u"}
			in.Config.Tty, in.Config.WorkingDir, in.Config.Env = true, "/srv/../w", []string{"TERM=vt100", "PATH"}
			in.Host.ConsoleSize = [2]uint{24, 80}
			in.Host.CapDrop, in.Host.CapAdd = []string{"ALL"}, []string{"net_bind_service"}
			in.Host.SecurityOpt = []string{"no-new-privileges"}
		},
		"privileged": func(in *Input) {
			in.Host.Privileged, in.Host.PidMode, in.Host.IpcMode, in.Host.UTSMode = true, "host", "host", "host"
			in.Host.NetworkMode, in.Host.CgroupnsMode = "host", "host"
		},
		"limits": func(in *Input) {
			h := in.Host
			h.Memory, h.MemorySwap, h.NanoCPUs, h.PidsLimit, h.BlkioWeight = 64<<20, 128<<20, 1.5e9, &limit, weight
			h.OomKillDisable, h.OomScoreAdj, h.CpusetCpus, h.ShmSize = &yes, 500, "0", 1<<20
			h.Ulimits = []*container.Ulimit{{Name: "nofile", Soft: 10, Hard: 20}, {Name: "core", Soft: -1, Hard: -1}}
			h.Sysctls = map[string]string{"net.ipv4.ip_unprivileged_port_start": "1024"}
			h.DeviceCgroupRules, h.SecurityOpt = []string{"c 42:* rw"}, []string{"seccomp=unconfined"}
			h.MaskedPaths, h.ReadonlyPaths, h.ReadonlyRootfs = []string{}, []string{"/proc/sys"}, true
			in.Mounts = append(in.Mounts, specs.Mount{Destination: "/a/b", Type: "bind", Source: "/v2"}, specs.Mount{Destination: "/a", Type: "bind", Source: "/v1", Options: []string{"rbind", "rslave"}})
			in.CgroupsPath = "/other/id"
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := Build(input(change))
			if err != nil {
				t.Fatal(err)
			}
			if s.Linux.Seccomp != nil {
				// The profile has tests of its own; here only that it is there.
				s.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: s.Linux.Seccomp.DefaultAction}
			}
			got, err := json.MarshalIndent(s, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join("testdata", name+".json")
			if *update {
				if err := os.WriteFile(file, append(got, '\n'), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if string(want) != string(got)+"\n" {
				t.Errorf("differs from %s (rewrite with -update):\n%s", file, got)
			}
		})
	}
}

func TestCapabilities(t *testing.T) {
	all := append(slices.Clone(DefaultCapabilities), "CAP_SYS_ADMIN")
	for _, c := range []struct {
		add, drop, want []string
	}{
		{nil, nil, DefaultCapabilities},
		{[]string{"ALL"}, nil, all},
		{[]string{"all"}, []string{"sys_admin"}, DefaultCapabilities},
		{nil, []string{"ALL"}, nil},
		{[]string{"CAP_CHOWN"}, []string{"ALL"}, []string{"CAP_CHOWN"}},
		{[]string{"CAP_NET_ADMIN"}, []string{"ALL"}, nil}, // the kernel has it not
	} {
		got, err := Capabilities(&container.HostConfig{CapAdd: c.add, CapDrop: c.drop}, all)
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("add %v, drop %v: %v, %v", c.add, c.drop, got, err)
		}
	}
}

func TestSeccompFollowsCapabilities(t *testing.T) {
	has := func(in *Input, call string) bool {
		s, err := Build(in)
		if err != nil {
			t.Fatal(err)
		}
		for _, rule := range s.Linux.Seccomp.Syscalls {
			if slices.Contains(rule.Names, call) && rule.Action == specs.ActAllow && len(rule.Args) == 0 {
				return true
			}
		}
		return false
	}
	if has(input(nil), "setns") {
		t.Error("the default profile allows setns")
	}
	if !has(input(func(in *Input) { in.Host.CapAdd = []string{"SYS_ADMIN"} }), "setns") {
		t.Error("CAP_SYS_ADMIN does not bring setns")
	}
	_, err := Build(input(func(in *Input) { in.Host.SecurityOpt = []string{"seccomp={"} }))
	if !errdefs.IsInvalidArgument(err) {
		t.Errorf("a broken profile: %v", err)
	}
}

func TestThrottlesAreMasked(t *testing.T) {
	root := t.TempDir()
	for _, cpu := range []string{"cpu0", "cpu11", "cpufreq"} {
		if err := os.MkdirAll(filepath.Join(root, "sys/devices/system/cpu", cpu, "thermal_throttle"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{"/sys/devices/system/cpu/cpu0/thermal_throttle", "/sys/devices/system/cpu/cpu11/thermal_throttle"}
	if got := processors(root); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

// TestPidsLimit: Docker's 0 and its negative numbers are no limit; to the runtime 0
// would be one.
func TestPidsLimit(t *testing.T) {
	for _, tc := range []struct {
		asked       *int64
		made, after *int64
	}{
		{nil, nil, nil},
		{new(int64(0)), nil, new(int64(-1))},
		{new(int64(-1)), nil, new(int64(-1))},
		{new(int64(-7)), nil, new(int64(-1))},
		{new(int64(9)), new(int64(9)), new(int64(9))},
	} {
		s, err := Build(input(func(in *Input) { in.Host.PidsLimit = tc.asked }))
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Linux.Resources.Pids; (got == nil) != (tc.made == nil) || got != nil && *got.Limit != *tc.made {
			t.Errorf("%v: made with %+v", tc.asked, got)
		}
		r := Limits(&container.HostConfig{Resources: container.Resources{PidsLimit: tc.asked}}, &container.Resources{PidsLimit: tc.asked})
		if (r == nil) != (tc.after == nil) || r != nil && *r.Pids.Limit != *tc.after {
			t.Errorf("%v: changed to %+v", tc.asked, r)
		}
	}
}
