package spec

import (
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/moby/moby/api/types/container"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// The paths of procfs and sysfs that say too much about the host, or change
// it: Docker's, and dynamic_debug, by which root of a container could have the
// kernel fill the host's log.
var (
	maskedPaths = []string{
		"/proc/acpi", "/proc/asound", "/proc/dynamic_debug", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
		"/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats", "/sys/devices/virtual/powercap",
		"/sys/firmware",
	}
	readonlyPaths = []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}
)

// MaskedPaths of the container; a request's own list, even an empty one,
// replaces the default.
func MaskedPaths(h *container.HostConfig) []string {
	return chosen(h, h.MaskedPaths, append(slices.Clone(maskedPaths), throttles()...))
}

// throttles are counters of each processor of this host, where it has them. They
// tell what others make it do; Docker masks them since 28.2.
var throttles = sync.OnceValue(func() []string { return processors("/") })

func processors(root string) []string {
	found, err := filepath.Glob(filepath.Join(root, "sys/devices/system/cpu/cpu[0-9]*/thermal_throttle"))
	if err != nil {
		return nil // the pattern is sound
	}
	for i := range found {
		found[i] = "/" + strings.TrimPrefix(strings.TrimPrefix(found[i], root), "/")
	}
	return found
}

// ReadonlyPaths of the container.
func ReadonlyPaths(h *container.HostConfig) []string {
	return chosen(h, h.ReadonlyPaths, readonlyPaths)
}

func chosen(h *container.HostConfig, asked, standard []string) []string {
	switch {
	case h.Privileged:
		return nil
	case asked != nil:
		return asked
	}
	return slices.Clone(standard)
}

// ShmSize is the size of /dev/shm in bytes.
func ShmSize(h *container.HostConfig) int64 {
	if h.ShmSize > 0 {
		return h.ShmSize
	}
	return DefaultShmSize
}

func defaultMounts(in *Input, writableCgroups bool) []specs.Mount {
	h := in.Host
	ro := "ro"
	if h.Privileged {
		ro = "rw"
	}
	groups := ro
	if writableCgroups {
		groups = "rw"
	}
	all := []specs.Mount{
		{Destination: "/proc", Type: "proc", Source: "proc", Options: []string{"nosuid", "noexec", "nodev"}},
		{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "strictatime", "mode=755", "size=65536k"}},
		{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
		{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: []string{"nosuid", "noexec", "nodev", ro}},
		{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: []string{groups, "nosuid", "noexec", "nodev"}},
	}
	if h.IpcMode.IsHost() {
		opts := []string{"rbind", "nosuid", "noexec", "nodev"}
		if !in.NoMqueue {
			all = append(all, specs.Mount{Destination: "/dev/mqueue", Type: "bind", Source: "/dev/mqueue", Options: opts})
		}
		return append(all, specs.Mount{Destination: "/dev/shm", Type: "bind", Source: "/dev/shm", Options: opts})
	}
	all = append(all, specs.Mount{Destination: "/dev/mqueue", Type: "mqueue", Source: "mqueue", Options: []string{"nosuid", "noexec", "nodev"}})
	if h.IpcMode.IsNone() || h.IpcMode.IsContainer() {
		return all // the other container's is among the given mounts
	}
	size := strconv.FormatInt(ShmSize(h), 10)
	return append(all, specs.Mount{Destination: "/dev/shm", Type: "tmpfs", Source: "shm", Options: []string{"nosuid", "noexec", "nodev", "mode=1777", "size=" + size}})
}

// mounts merges the default mounts with the request's, parents first. A mount
// of the request replaces the default one at its place; one at /dev also what
// would be mounted below it.
func mounts(in *Input, writableCgroups bool) []specs.Mount {
	taken := map[string]bool{}
	for _, m := range in.Mounts {
		taken[path.Clean(m.Destination)] = true
	}
	var all []specs.Mount
	for _, m := range defaultMounts(in, writableCgroups) {
		if taken[m.Destination] || taken["/dev"] && strings.HasPrefix(m.Destination, "/dev/") {
			continue
		}
		all = append(all, m)
	}
	user := slices.Clone(in.Mounts)
	slices.SortStableFunc(user, func(a, b specs.Mount) int { return depth(a.Destination) - depth(b.Destination) })
	return append(all, user...)
}

func depth(p string) int { return strings.Count(path.Clean(p), "/") }

// rootPropagation: what the container shares back with the host, the root must
// allow.
func rootPropagation(mounts []specs.Mount) string {
	result := ""
	for _, m := range mounts {
		switch {
		case slices.Contains(m.Options, "shared") || slices.Contains(m.Options, "rshared"):
			return "shared"
		case slices.Contains(m.Options, "slave") || slices.Contains(m.Options, "rslave"):
			result = "rslave"
		}
	}
	return result
}
