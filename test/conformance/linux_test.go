package conformance

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// TestLinux is config-linux.md but for groups and seccomp.
func TestLinux(t *testing.T) {
	hold(t, append(namespaceRows(), []must{
		{"config-linux.md#user-namespace-mappings", "root in the container is another on the host", mappedRoot},
		{"config-linux.md#user-namespace-mappings", "an error for mappings without a user namespace", refused(mapped)},
		{"config-linux.md#user-namespace-mappings", "several, for users and for groups", mappedTwice},
		{"config-linux.md#offset-for-time-namespace", "an error for a clock that is unknown", refused(with(specs.TimeNamespace, ""), linux(func(l *specs.Linux) {
			l.TimeOffsets = map[string]specs.LinuxTimeOffset{"sundial": {Secs: 1}}
		}))},
		{"config-linux.md#offset-for-time-namespace", "monotonic and boottime", inside("monotonic 1000 0 boottime 2000 0", "cat /proc/self/timens_offsets | xargs", with(specs.TimeNamespace, ""),
			linux(func(l *specs.Linux) {
				l.TimeOffsets = map[string]specs.LinuxTimeOffset{"monotonic": {Secs: 1000}, "boottime": {Secs: 2000}}
			}))},
		{"config-linux.md#devices", "a character device with mode and owner", inside("character special file 640 7:8 1:5", "stat -c '%F %a %u:%g %t:%T' /dev/thing", device(specs.LinuxDevice{
			Path: "/dev/thing", Type: "c", Major: 1, Minor: 5, FileMode: new(os.FileMode(0o640)), UID: new(uint32(7)), GID: new(uint32(8)),
		}))},
		{"config-linux.md#devices", "a block device", inside("block special file 7:1", "stat -c '%F %t:%T' /dev/disk", device(specs.LinuxDevice{Path: "/dev/disk", Type: "b", Major: 7, Minor: 1}))},
		{"config-linux.md#devices", "a fifo", inside("fifo", "stat -c %F /dev/pipe", device(specs.LinuxDevice{Path: "/dev/pipe", Type: "p"}))},
		{"config-linux.md#devices", "below a directory that is missing", inside("yes", "[ -c /dev/a/b ] && echo yes", device(specs.LinuxDevice{Path: "/dev/a/b", Type: "c", Major: 1, Minor: 3}))},
		{"config-linux.md#devices", "an error for a type that is unknown", refused(device(specs.LinuxDevice{Path: "/dev/x", Type: "z", Major: 1, Minor: 3}))},
		{"config-linux.md#devices", "an unbuffered device", inside("character special file 1:5", "stat -c '%F %t:%T' /dev/u", device(specs.LinuxDevice{Path: "/dev/u", Type: "u", Major: 1, Minor: 5}))},
		{"config-linux.md#devices", "anywhere", inside("yes", "[ -c /opt/null ] && echo yes", device(specs.LinuxDevice{Path: "/opt/null", Type: "c", Major: 1, Minor: 3}))},
		{"config-linux.md#devices", "an error for another file at the path", deviceConflict},
		{"config-linux.md#devices", "a node that matches is taken", deviceThere},
		{"config-linux.md#default-devices", "null zero full random urandom tty", inside("1:3 1:5 1:7 1:8 1:9 5:0", "stat -c %t:%T /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty | xargs")},
		{"config-linux.md#default-devices", "ptmx is that of devpts", inside("5:2", "stat -L -c %t:%T /dev/ptmx")},
		{"config-linux.md#default-devices", "console with a terminal only", inside("no", "[ -e /dev/console ] && echo yes || echo no")},
		{"config-linux.md#sysctl", "is set", inside("12345", "cat /proc/sys/kernel/shmmni", sysctl("kernel.shmmni", "12345"))},
		{"config-linux.md#sysctl", "an error for one that is unknown", refused(sysctl("kernel.none", "1"))},
		{"config-linux.md#sysctl", "an error for one of the host", refused(sysctl("kernel.panic", "1"))},
		{"config-linux.md#masked-paths", "a file and a directory cannot be read", maskedPaths},
		{"config-linux.md#masked-paths", "an error for a path that is not absolute", refused(linux(func(l *specs.Linux) { l.MaskedPaths = []string{"etc/passwd"} }))},
		{"config-linux.md#readonly-paths", "an error for a path that is not absolute", refused(linux(func(l *specs.Linux) { l.ReadonlyPaths = []string{"etc"} }))},
		{"config-linux.md#readonly-paths", "cannot be written", readonlyPaths},
		{"config-linux.md#rootfs-mount-propagation", "private", inside("private", propagationOf("/"), rootPropagation("private"))},
		{"config-linux.md#rootfs-mount-propagation", "unbindable", inside("unbindable", propagationOf("/"), rootPropagation("unbindable"))},
		{"config-linux.md#rootfs-mount-propagation", "shared", inside("shared", propagationOf("/"), rootPropagation("shared"))},
		{"config-linux.md#rootfs-mount-propagation", "slave", slaveRoot},
		{"config-linux.md#rootfs-mount-propagation", "an error for one that is unknown", refused(rootPropagation("sideways"))},
		{"config-linux.md#mount-label", "an error where there is no SELinux", onlyWithout("/sys/fs/selinux/enforce", refused(linux(func(l *specs.Linux) { l.MountLabel = "system_u:object_r:svirt_sandbox_file_t:s0:c1,c2" })))},
		{"config-linux.md#personality", "LINUX32", inside("i686", "uname -m", linux(func(l *specs.Linux) { l.Personality = &specs.LinuxPersonality{Domain: specs.PerLinux32} }))},
		{"config-linux.md#personality", "an error for a domain that is unknown", refused(linux(func(l *specs.Linux) { l.Personality = &specs.LinuxPersonality{Domain: "SOLARIS"} }))},
		{"config-linux.md#intelrdt", "an error where there is no resctrl", noResctrl(specs.LinuxIntelRdt{})},
		{"config-linux.md#intelrdt", "an error for closID", noResctrl(specs.LinuxIntelRdt{ClosID: "gold"})},
		{"config-linux.md#intelrdt", "an error for the default closID", noResctrl(specs.LinuxIntelRdt{ClosID: "/"})},
		{"config-linux.md#intelrdt", "an error for l3CacheSchema", noResctrl(specs.LinuxIntelRdt{L3CacheSchema: "L3:0=f"})},
		{"config-linux.md#intelrdt", "an error for memBwSchema", noResctrl(specs.LinuxIntelRdt{MemBwSchema: "MB:0=20"})},
		{"config-linux.md#intelrdt", "an error for schemata", noResctrl(specs.LinuxIntelRdt{Schemata: []string{"L3:0=f", "MB:0=20"}})},
		{"config-linux.md#intelrdt", "an error for enableMonitoring", noResctrl(specs.LinuxIntelRdt{EnableMonitoring: true})},
		{"config-linux.md#personality", "an error for a flag, of which there are none", refused(linux(func(l *specs.Linux) {
			l.Personality = &specs.LinuxPersonality{Domain: specs.PerLinux, Flags: []specs.LinuxPersonalityFlag{"ADDR_NO_RANDOMIZE"}}
		}))},
		{"config-linux.md#memory-policy", "mode and nodes", memoryPolicySeen},
		{"config-linux.md#memory-policy", "an error for nodes that are not there", refused(memoryPolicy(specs.LinuxMemoryPolicy{Mode: specs.MpolBind, Nodes: "63"}))},
		{"config-linux.md#memory-policy", "an error for a mode without the nodes it needs", refused(memoryPolicy(specs.LinuxMemoryPolicy{Mode: specs.MpolBind}))},
		{"config-linux.md#memory-policy", "an error for a flag that is unknown", refused(memoryPolicy(specs.LinuxMemoryPolicy{Mode: specs.MpolBind, Nodes: "0", Flags: []specs.MemoryPolicyFlagType{"MPOL_F_LUCKY"}}))},
		{"config-linux.md#memory-policy", "an error for a mode that is unknown", refused(linux(func(l *specs.Linux) { l.MemoryPolicy = &specs.LinuxMemoryPolicy{Mode: "MPOL_FAR"} }))},
		{"config-linux.md#network-devices", "is moved, renamed, keeps its address and is up", netDevice},
		{"config-linux.md#network-devices", "keeps its own name without another", netDeviceNamed("", `cf\d+`)},
		{"config-linux.md#network-devices", "a template gives it one that is free", netDeviceNamed("moved%d", "moved0")},
		{"config-linux.md#network-devices", "an error for a name that is taken, and the device stays", netDeviceTaken},
		{"config-linux.md#network-devices", "an error for a device that is not there", refused(linux(func(l *specs.Linux) { l.NetDevices = map[string]specs.LinuxNetDevice{"none0": {}} }))},
	}...))
}

// noResctrl wants an error on hosts that have no such hardware, or do not use it.
func noResctrl(rdt specs.LinuxIntelRdt) func(*testing.T) {
	return onlyWithout("/sys/fs/resctrl/schemata", refused(linux(func(l *specs.Linux) { l.IntelRdt = &rdt })))
}

// namespaceRows has what holds for every kind of namespace.
func namespaceRows() []must {
	const section = "config-linux.md#namespaces"
	rows := []must{
		{section, "an error for a type twice", refused(linux(func(l *specs.Linux) {
			l.Namespaces = append(l.Namespaces, specs.LinuxNamespace{Type: specs.IPCNamespace})
		}))},
		{section, "an error for a path that is not absolute", refused(with(specs.IPCNamespace, "proc/self/ns/ipc"))},
		{section, "an error for a path of another type", refused(with(specs.IPCNamespace, "/proc/self/ns/uts"))},
		{section, "an error for a path that is no namespace", refused(with(specs.IPCNamespace, "/etc/passwd"))},
		{section, "an error for a path that is not there", refused(with(specs.IPCNamespace, "/no/such/path"))},
	}
	for _, n := range []struct {
		kind specs.LinuxNamespaceType
		name string
		flag uintptr
	}{
		{specs.UTSNamespace, "uts", unix.CLONE_NEWUTS},
		{specs.IPCNamespace, "ipc", unix.CLONE_NEWIPC},
		{specs.NetworkNamespace, "net", unix.CLONE_NEWNET},
		{specs.CgroupNamespace, "cgroup", unix.CLONE_NEWCGROUP},
		{specs.PIDNamespace, "pid", unix.CLONE_NEWPID},
		{specs.MountNamespace, "mnt", unix.CLONE_NEWNS},
		{specs.TimeNamespace, "time", unix.CLONE_NEWTIME},
		{specs.UserNamespace, "user", unix.CLONE_NEWUSER},
	} {
		see := "readlink /proc/self/ns/" + n.name
		edits := []edit{sh(see)}
		if n.kind == specs.UserNamespace {
			edits = append(edits, mapped)
		}
		rows = append(rows, must{section, string(n.kind) + " is new without a path", func(t *testing.T) {
			b := newBox(t, append(edits, with(n.kind, ""))...)
			if n.kind == specs.UserNamespace {
				check(t, os.Chown(b.rootfs(""), 100000, 100000))
			}
			if got := strings.TrimSpace(b.run()); got == readlink(t, "/proc/self/ns/"+n.name) {
				t.Error("it is the runtime's")
			}
		}}, must{section, string(n.kind) + " is the runtime's if not listed", func(t *testing.T) {
			inside(readlink(t, "/proc/self/ns/"+n.name), see, without(n.kind))(t)
		}}, must{section, string(n.kind) + " is that at the path", func(t *testing.T) {
			path := namespace(t, n.flag, n.name)
			inside(readlink(t, path), see, with(n.kind, path))(t)
		}})
	}
	return rows
}

func mapped(s *specs.Spec) {
	ids := []specs.LinuxIDMapping{{ContainerID: 0, HostID: 100000, Size: 65536}}
	s.Linux.UIDMappings, s.Linux.GIDMappings = ids, ids
}

func mappedRoot(t *testing.T) {
	b := newBox(t, sh("id -u; id -g; touch /tmp/mine"), with(specs.UserNamespace, ""), mapped)
	check(t, os.Chmod(b.rootfs("tmp"), 0o777))
	if out := joined(b.run()); out != "0 0" {
		t.Errorf("in the container: %s", out)
	}
	var st unix.Stat_t
	check(t, unix.Stat(b.rootfs("tmp/mine"), &st))
	if st.Uid != 100000 || st.Gid != 100000 {
		t.Errorf("on the host: %d:%d", st.Uid, st.Gid)
	}
}

// mappedTwice has root and a user mapped to different places.
func mappedTwice(t *testing.T) {
	b := newBox(t, sh("awk '{print $1, $2, $3}' /proc/self/uid_map /proc/self/gid_map; touch /tmp/mine"), with(specs.UserNamespace, ""), user(specs.User{UID: 1000, GID: 1000}),
		linux(func(l *specs.Linux) {
			l.UIDMappings = []specs.LinuxIDMapping{{ContainerID: 0, HostID: 100000, Size: 10}, {ContainerID: 1000, HostID: 300000, Size: 1}}
			l.GIDMappings = []specs.LinuxIDMapping{{ContainerID: 0, HostID: 200000, Size: 1}, {ContainerID: 1000, HostID: 400000, Size: 5}}
		}))
	check(t, os.Chmod(b.rootfs("tmp"), 0o777))
	if out := joined(b.run()); out != "0 100000 10 1000 300000 1 0 200000 1 1000 400000 5" {
		t.Errorf("in the container: %s", out)
	}
	var st unix.Stat_t
	check(t, unix.Stat(b.rootfs("tmp/mine"), &st))
	if st.Uid != 300000 || st.Gid != 400000 {
		t.Errorf("on the host: %d:%d", st.Uid, st.Gid)
	}
}

func device(d specs.LinuxDevice) edit {
	return linux(func(l *specs.Linux) { l.Devices = append(l.Devices, d) })
}

func deviceConflict(t *testing.T) {
	b := newBox(t, device(specs.LinuxDevice{Path: "/etc/thing", Type: "c", Major: 1, Minor: 5}))
	check(t, os.WriteFile(b.rootfs("etc/thing"), []byte("a file"), 0o644))
	if b.create() == nil {
		t.Error("create succeeds")
	}
	if data, err := os.ReadFile(b.rootfs("etc/thing")); err != nil || string(data) != "a file" {
		t.Errorf("the file is %q, %v", data, err)
	}
}

func deviceThere(t *testing.T) {
	b := newBox(t, sh("stat -c '%F %t:%T' /opt/thing"), device(specs.LinuxDevice{Path: "/opt/thing", Type: "c", Major: 1, Minor: 5}))
	check(t, os.Mkdir(b.rootfs("opt"), 0o755))
	check(t, unix.Mknod(b.rootfs("opt/thing"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 5))))
	if out := b.run(); out != "character special file 1:5\n" {
		t.Errorf("got %q", out)
	}
}

func memoryPolicy(p specs.LinuxMemoryPolicy) edit {
	return linux(func(l *specs.Linux) { l.MemoryPolicy = &p })
}

// memoryPolicySeen reads the policy of the program's mappings; a kernel without
// NUMA has none, and the runtime refuses it.
func memoryPolicySeen(t *testing.T) {
	bind := memoryPolicy(specs.LinuxMemoryPolicy{Mode: specs.MpolBind, Nodes: "0"})
	if _, err := os.Stat("/proc/self/numa_maps"); err != nil {
		refused(bind)(t)
		return
	}
	inside("bind:0", "awk '{print $2}' /proc/self/numa_maps | sort -u", bind)(t)
}

// slaveRoot has the root file system be a shared mount of the host's.
func slaveRoot(t *testing.T) {
	b := newBox(t, sh(propagationOf("/")), rootPropagation("slave"))
	check(t, unix.Mount(b.rootfs(""), b.rootfs(""), "", unix.MS_BIND, ""))
	t.Cleanup(func() { _ = unix.Unmount(b.rootfs(""), unix.MNT_DETACH) })
	host(t, "mount", "--make-shared", b.rootfs(""))
	if out := b.run(); out != "slave\n" {
		t.Errorf("it is %q", out)
	}
}

func sysctl(name, value string) edit {
	return linux(func(l *specs.Linux) { l.Sysctl = map[string]string{name: value} })
}

func rootPropagation(p string) edit {
	return linux(func(l *specs.Linux) { l.RootfsPropagation = p })
}

func maskedPaths(t *testing.T) {
	b := newBox(t, sh("cat /secret; ls /hidden; true"), linux(func(l *specs.Linux) { l.MaskedPaths = []string{"/secret", "/hidden", "/not/there"} }))
	check(t, os.WriteFile(b.rootfs("secret"), []byte("secret"), 0o644))
	check(t, os.MkdirAll(b.rootfs("hidden/secret"), 0o755))
	if out := b.run(); out != "" {
		t.Errorf("seen: %q", out)
	}
}

func readonlyPaths(t *testing.T) {
	b := newBox(t, sh("for f in /ro/x /rofile; do (echo 1 >$f) 2>/dev/null && echo yes || echo no; done"), linux(func(l *specs.Linux) { l.ReadonlyPaths = []string{"/ro", "/rofile", "/not/there"} }))
	check(t, os.WriteFile(b.rootfs("rofile"), nil, 0o644))
	check(t, os.Mkdir(b.rootfs("ro"), 0o755))
	if out := joined(b.run()); out != "no no" {
		t.Errorf("written: %s", out)
	}
}

// veth makes a pair of devices of the host's and returns the name of one.
func veth(t *testing.T) string {
	t.Helper()
	name := "cf" + itoa(os.Getpid()%100000)
	host(t, "ip", "link", "add", name, "type", "veth", "peer", "name", name+"p")
	t.Cleanup(func() {
		_ = hostTry("ip", "link", "del", name+"p") // with its peer, wherever that is
	})
	return name
}

func netDevice(t *testing.T) {
	name := veth(t)
	host(t, "ip", "link", "set", name, "mtu", "1400")
	host(t, "ip", "addr", "add", "192.0.2.7/24", "dev", name)
	host(t, "ip", "addr", "add", "192.0.2.8/24", "dev", name, "valid_lft", "1000", "preferred_lft", "1000") // not permanent
	host(t, "ip", "addr", "add", "169.254.1.1/16", "dev", name, "scope", "link")
	host(t, "ip", "addr", "add", "2001:db8::7/64", "dev", name, "nodad")
	b := newBox(t, sh("ip -o addr show dev eth7 | awk '{print $4}' | grep -v '^fe80:' | sort | xargs; ip link show eth7 | grep -oE '[<,]UP[,>]|mtu [0-9]+' | xargs"), linux(func(l *specs.Linux) {
		l.NetDevices = map[string]specs.LinuxNetDevice{name: {Name: "eth7"}}
	}))
	lines := strings.Split(b.run(), "\n")
	if lines[0] != "192.0.2.7/24 2001:db8::7/64" {
		t.Errorf("addresses in the container: %q", lines[0])
	}
	if !strings.Contains(lines[1], "UP") || !strings.Contains(lines[1], "mtu 1400") {
		t.Errorf("in the container: %q", lines[1])
	}
	if _, err := os.Stat(filepath.Join("/sys/class/net", name)); err == nil {
		t.Error("it is still the host's")
	}
}

// netDeviceNamed looks what name a device gets.
func netDeviceNamed(name, want string) func(*testing.T) {
	return func(t *testing.T) {
		b := newBox(t, sh("ls /sys/class/net | grep -v '^lo$'"), linux(func(l *specs.Linux) {
			l.NetDevices = map[string]specs.LinuxNetDevice{veth(t): {Name: name}}
		}))
		if out := strings.TrimSpace(b.run()); !regexp.MustCompile("^" + want + "$").MatchString(out) {
			t.Errorf("it is %q", out)
		}
	}
}

func netDeviceTaken(t *testing.T) {
	name := veth(t)
	refused(linux(func(l *specs.Linux) { l.NetDevices = map[string]specs.LinuxNetDevice{name: {Name: "lo"}} }))(t)
	if _, err := os.Stat(filepath.Join("/sys/class/net", name)); err != nil {
		t.Error("it is no longer the host's")
	}
}
