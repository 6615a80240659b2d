package container

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/blkiodev"
	"github.com/moby/moby/api/types/container"
)

// Every field of a request is in one of these lists: honoured by this engine,
// or refused with an error that names it. A new field of the API fails the
// test until somebody decides.
var (
	honoured = words(`
		Hostname Domainname User AttachStdin AttachStdout AttachStderr ExposedPorts Tty OpenStdin StdinOnce Env Cmd
		Image Healthcheck Volumes WorkingDir Entrypoint NetworkDisabled OnBuild Labels StopSignal StopTimeout Shell
		Binds ContainerIDFile LogConfig NetworkMode PortBindings RestartPolicy AutoRemove VolumeDriver VolumesFrom ConsoleSize Annotations
		CapAdd CapDrop CgroupnsMode DNS DNSOptions DNSSearch ExtraHosts GroupAdd IpcMode OomScoreAdj PidMode Privileged
		Links DeviceRequests PublishAllPorts ReadonlyRootfs SecurityOpt StorageOpt Tmpfs UTSMode UsernsMode ShmSize Sysctls Runtime Umask Isolation
		CPUShares Memory NanoCPUs CgroupParent BlkioWeight BlkioWeightDevice BlkioDeviceReadBps BlkioDeviceWriteBps
		BlkioDeviceReadIOps BlkioDeviceWriteIOps CPUPeriod CPUQuota CPURealtimePeriod CPURealtimeRuntime CpusetCpus CpusetMems Devices DeviceCgroupRules
		MemoryReservation MemorySwap MemorySwappiness OomKillDisable PidsLimit Ulimits Mounts MaskedPaths ReadonlyPaths Init`)
	refused = map[string]func(*container.Config, *container.HostConfig){
		"ArgsEscaped":        func(c *container.Config, _ *container.HostConfig) { c.ArgsEscaped = true },
		"Cgroup":             func(_ *container.Config, h *container.HostConfig) { h.Cgroup = "container:x" },
		"CPUCount":           func(_ *container.Config, h *container.HostConfig) { h.CPUCount = 1 },
		"CPUPercent":         func(_ *container.Config, h *container.HostConfig) { h.CPUPercent = 1 },
		"IOMaximumIOps":      func(_ *container.Config, h *container.HostConfig) { h.IOMaximumIOps = 1 },
		"IOMaximumBandwidth": func(_ *container.Config, h *container.HostConfig) { h.IOMaximumBandwidth = 1 },
	}
)

func words(s string) []string { return strings.Fields(s) }

func TestNoFieldIsIgnored(t *testing.T) {
	var all []string
	for _, v := range []any{container.Config{}, container.HostConfig{}} {
		for _, f := range reflect.VisibleFields(reflect.TypeOf(v)) {
			if !f.Anonymous {
				all = append(all, f.Name)
			}
		}
	}
	for _, name := range all {
		set, isRefused := refused[name]
		if slices.Contains(honoured, name) == isRefused {
			t.Errorf("field %s is in neither list, or in both", name)
		}
		if !isRefused {
			continue
		}
		c, h := &container.Config{}, &container.HostConfig{}
		set(c, h)
		err := validateConfig(c)
		if err == nil {
			_, err = validateHostConfig(c, h)
		}
		if !errdefs.IsNotImplemented(err) && !errdefs.IsInvalidArgument(err) {
			t.Errorf("%s: %v", name, err)
		} else if !strings.Contains(strings.ToLower(err.Error()), strings.ToLower(name)) {
			t.Errorf("%s: the error does not name it: %v", name, err)
		}
	}
	for _, name := range honoured {
		if !slices.Contains(all, name) {
			t.Errorf("%s is not a field", name)
		}
	}
}

func TestValidate(t *testing.T) {
	i64 := func(n int64) *int64 { return &n }
	type change = func(*container.Config, *container.HostConfig)
	for text, set := range map[string]change{
		"can't create 'AutoRemove' container with restart policy": func(_ *container.Config, h *container.HostConfig) {
			h.AutoRemove, h.RestartPolicy.Name = true, "always"
		},
		"invalid restart policy: maximum retry count can only be used with 'on-failure'": func(_ *container.Config, h *container.HostConfig) {
			h.RestartPolicy = container.RestartPolicy{Name: "always", MaximumRetryCount: 2}
		},
		"invalid restart policy: unknown policy 'x'":         func(_ *container.Config, h *container.HostConfig) { h.RestartPolicy.Name = "x" },
		"Minimum memory limit allowed is 6MB":                func(_ *container.Config, h *container.HostConfig) { h.Memory = -1 },
		"Minimum memoryswap limit should be larger":          func(_ *container.Config, h *container.HostConfig) { h.Memory, h.MemorySwap = 1<<30, 1<<20 },
		"You should always set the Memory limit":             func(_ *container.Config, h *container.HostConfig) { h.MemorySwap = 1 << 30 },
		"valid memory swappiness range is 0-100":             func(_ *container.Config, h *container.HostConfig) { h.MemorySwappiness = i64(101) },
		"Nano CPUs and CPU Period cannot both be set":        func(_ *container.Config, h *container.HostConfig) { h.NanoCPUs, h.CPUPeriod = 1e9, 1e5 },
		"range of CPUs is from 0.01 to":                      func(_ *container.Config, h *container.HostConfig) { h.NanoCPUs = 1e15 },
		"CPU cfs quota can not be less than 1ms":             func(_ *container.Config, h *container.HostConfig) { h.CPUQuota = 5 },
		"Invalid value 9-1 for cpuset cpus":                  func(_ *container.Config, h *container.HostConfig) { h.CpusetCpus = "9-1" },
		"Range of blkio weight is from 10 to 1000":           func(_ *container.Config, h *container.HostConfig) { h.BlkioWeight = 5 },
		"range for oom score adj is [-1000, 1000]":           func(_ *container.Config, h *container.HostConfig) { h.OomScoreAdj = 1001 },
		"SHM size can not be less than 0":                    func(_ *container.Config, h *container.HostConfig) { h.ShmSize = -1 },
		"invalid hostname format: a\nb":                      func(c *container.Config, _ *container.HostConfig) { c.Hostname = "a\nb" },
		"invalid domainname format":                          func(c *container.Config, _ *container.HostConfig) { c.Domainname = "-" },
		"invalid environment variable: =x":                   func(c *container.Config, _ *container.HostConfig) { c.Env = []string{"=x"} },
		"the working directory 'x' is invalid":               func(c *container.Config, _ *container.HostConfig) { c.WorkingDir = "x" },
		"invalid signal: SIGNOPE":                            func(c *container.Config, _ *container.HostConfig) { c.StopSignal = "SIGNOPE" },
		"NUL byte":                                           func(c *container.Config, _ *container.HostConfig) { c.Cmd = []string{"a\x00b"} },
		"invalid IPC mode: x":                                func(_ *container.Config, h *container.HostConfig) { h.IpcMode = "x" },
		"invalid PID mode: x":                                func(_ *container.Config, h *container.HostConfig) { h.PidMode = "x" },
		"invalid UTS mode: x":                                func(_ *container.Config, h *container.HostConfig) { h.UTSMode = "x" },
		"conflicting options: hostname and the UTS mode":     func(c *container.Config, h *container.HostConfig) { c.Hostname, h.UTSMode = "h", "host" },
		"conflicting options: hostname and the network mode": func(c *container.Config, h *container.HostConfig) { c.Hostname, h.NetworkMode = "h", "container:x" },
		`bad format for add-host: "x"`:                       func(_ *container.Config, h *container.HostConfig) { h.ExtraHosts = []string{"x"} },
		`invalid IP address in add-host: "y"`:                func(_ *container.Config, h *container.HostConfig) { h.ExtraHosts = []string{"x:y"} },
		`unknown capability: "FLY"`:                          func(_ *container.Config, h *container.HostConfig) { h.CapAdd = []string{"FLY"} },
		`invalid --security-opt 2: "x=y"`:                    func(_ *container.Config, h *container.HostConfig) { h.SecurityOpt = []string{"x=y"} },
		"invalid device cgroup rule format":                  func(_ *container.Config, h *container.HostConfig) { h.DeviceCgroupRules = []string{"x"} },
		"no log driver named 'splunk' is registered":         func(_ *container.Config, h *container.HostConfig) { h.LogConfig.Type = "splunk" },
		"unknown log opt 'x' for local log driver": func(_ *container.Config, h *container.HostConfig) {
			h.LogConfig = container.LogConfig{Type: "local", Config: map[string]string{"x": "y"}}
		},
		"max-file cannot be less than 1": func(_ *container.Config, h *container.HostConfig) {
			h.LogConfig.Config = map[string]string{"max-file": "0"}
		},
		"invalid throttle device": func(_ *container.Config, h *container.HostConfig) {
			h.BlkioDeviceReadBps = []*blkiodev.ThrottleDevice{nil}
		},
		"invalid ulimit":        func(_ *container.Config, h *container.HostConfig) { h.Ulimits = []*container.Ulimit{{Name: "x"}} },
		"invalid cgroup parent": func(_ *container.Config, h *container.HostConfig) { h.CgroupParent = "/../x" },
		"more than one line":    func(_ *container.Config, h *container.HostConfig) { h.Sysctls = map[string]string{"net.x": "1\n2"} },
	} {
		c, h := &container.Config{}, &container.HostConfig{}
		set(c, h)
		err := validateConfig(c)
		if err == nil {
			_, err = validateHostConfig(c, h)
		}
		if !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), text) {
			t.Errorf("want %q, got %v", text, err)
		}
	}
}

func TestMountSpecs(t *testing.T) {
	for _, bad := range []string{"", ":", "a:", ":/b", "/a:b", "/a:/", "a:/b:c", "/a:/b:ro,rw", "/a:/b:nocopy", "/a:/b:ro:x", "x:/y:rslave", "../x:/y"} {
		if m, err := parseBind(bad); !errdefs.IsInvalidArgument(err) {
			t.Errorf("parseBind(%q) = %+v, %v", bad, m, err)
		}
	}
	m, err := parseBind("/a/../b:/c/:ro,rslave,z")
	if err != nil || m.Source != "/b" || m.Destination != "/c" || !m.ReadOnly || m.Propagation != "rslave" {
		t.Errorf("%+v, %v", m, err)
	}
	for _, bad := range []string{"exec=1", "size=", "bogus"} {
		if _, err := parseTmpfs("/x", bad); !errdefs.IsInvalidArgument(err) {
			t.Errorf("tmpfs %q: %v", bad, err)
		}
	}
	h := &container.HostConfig{Binds: []string{"/a:/x", "bb:/x/"}}
	if _, err := planMounts(&container.Config{}, h, nil); err == nil || err.Error() != "Duplicate mount point: /x" {
		t.Errorf("duplicate: %v", err)
	}
}
