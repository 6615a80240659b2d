package server

import (
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
)

// host is what /info tells about the machine.
type host struct {
	memory, swap, cpu, cpuShares, cpuset, pids, oomKillDisable, forwarding bool

	osName, osVersion, machine string
	memTotal                   int64 // bytes
}

// readHost reads the machine's state as it is now.
func readHost(cgroupVersion string) host {
	h := host{osName: "Linux", machine: runtime.GOARCH, forwarding: firstLine("/proc/sys/net/ipv4/ip_forward") == "1"}
	if m, ok := map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[h.machine]; ok {
		h.machine = m
	}
	for _, f := range []string{"/etc/os-release", "/usr/lib/os-release"} {
		release := assignments(f, "=")
		if name := quoted(release["PRETTY_NAME"]); name != "" {
			h.osName, h.osVersion = name, quoted(release["VERSION_ID"])
			break
		}
	}
	total, _ := strconv.ParseInt(strings.TrimSuffix(assignments("/proc/meminfo", ":")["MemTotal"], " kB"), 10, 64)
	h.memTotal = total << 10

	if cgroupVersion == "2" {
		c := strings.Fields(firstLine("/sys/fs/cgroup/cgroup.controllers"))
		h.memory, h.pids, h.cpuset = slices.Contains(c, "memory"), slices.Contains(c, "pids"), slices.Contains(c, "cpuset")
		h.cpu = slices.Contains(c, "cpu")
		h.cpuShares = h.cpu
		swap, _ := filepath.Glob("/sys/fs/cgroup/*/memory.swap.max")
		h.swap = len(swap) > 0
		return h
	}
	h.memory = exists("/sys/fs/cgroup/memory/memory.limit_in_bytes")
	h.swap = exists("/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes")
	h.oomKillDisable = exists("/sys/fs/cgroup/memory/memory.oom_control")
	h.cpu = exists("/sys/fs/cgroup/cpu/cpu.cfs_quota_us")
	h.cpuShares = exists("/sys/fs/cgroup/cpu/cpu.shares")
	h.cpuset = exists("/sys/fs/cgroup/cpuset/cpuset.cpus")
	h.pids = exists("/sys/fs/cgroup/pids")
	return h
}

func kernelVersion() string { return firstLine("/proc/sys/kernel/osrelease") }

func openFiles() int {
	fds, _ := os.ReadDir("/proc/self/fd")
	return len(fds)
}

// moduleVersion is the version of a module linked into this program.
func moduleVersion(path string) string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, m := range info.Deps {
		if m.Path == path {
			return strings.TrimPrefix(m.Version, "v")
		}
	}
	return ""
}

// proxyOf is a proxy from the environment, without its password.
func proxyOf(name string) string {
	v := os.Getenv(name)
	if v == "" {
		v = os.Getenv(strings.ToLower(name))
	}
	if u, err := url.Parse(v); err == nil && u.User != nil {
		u.User = url.UserPassword("xxxxx", "xxxxx")
		return u.String()
	}
	return v
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func firstLine(path string) string {
	data, _ := os.ReadFile(path)
	line, _, _ := strings.Cut(string(data), "\n")
	return line
}

// assignments reads lines of a name, a separator and a value.
func assignments(path, sep string) map[string]string {
	data, _ := os.ReadFile(path)
	m := map[string]string{}
	for line := range strings.Lines(string(data)) {
		if k, v, ok := strings.Cut(line, sep); ok {
			m[strings.TrimSpace(k)] = strings.TrimSpace(v)
		}
	}
	return m
}
