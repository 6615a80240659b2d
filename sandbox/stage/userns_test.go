package stage

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/moby/profiles/seccomp"
	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/kernel/ns"
	compiler "github.com/berth-engine/berth/sandbox/seccomp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// base is the host's user that is root in the user namespaces of these tests.
const base = 100000

func userSpec(args ...string) *specs.Spec {
	spec := defaultSpec(args...)
	spec.Linux.Namespaces = append(spec.Linux.Namespaces, specs.LinuxNamespace{Type: "user"})
	ids := []specs.LinuxIDMapping{{ContainerID: 0, HostID: base, Size: 65536}}
	spec.Linux.UIDMappings, spec.Linux.GIDMappings = ids, ids
	return spec
}

func newUserBox(t testing.TB, spec *specs.Spec) *box {
	t.Helper()
	b := newBox(t, spec)
	b.owner = base
	return b
}

func TestUserNamespace(t *testing.T) {
	noLeak(t)
	spec := userSpec("/probe", "report")
	spec.Process.User.AdditionalGids = []uint32{7}
	b := newUserBox(t, spec)
	r := b.report()
	if r.UID != 0 || r.GID != 0 || !reflect.DeepEqual(r.Groups, []int{7}) || r.Pid != 1 || r.Hostname != "box" {
		t.Errorf("%+v", r)
	}
	for name, want := range map[string]string{"CapEff": "00000000a80425fb", "CapBnd": "00000000a80425fb", "CapInh": "0000000000000000"} {
		if r.Status[name] != want {
			t.Errorf("%s: %s, want %s", name, r.Status[name], want)
		}
	}
	if len(r.Fds) != 3 {
		t.Errorf("descriptors %q", r.Fds)
	}
	for point, want := range map[string]string{
		"/": "- overlay", "/proc": "nosuid,nodev,noexec", "/dev": "- tmpfs", "/dev/pts": "- devpts", "/sys": "ro,nosuid,nodev,noexec",
		"/sys/fs/cgroup": "ro,nosuid", "/proc/sys": "ro,nosuid", "/dev/mqueue": "- mqueue", "/dev/null": "devtmpfs", "/proc/keys": "devtmpfs",
		"/sys/firmware": "ro,",
	} {
		if line := r.mount(point); line == "" || !strings.Contains(line, want) {
			t.Errorf("mount %s: %q, want %q", point, line, want)
		}
	}
	for _, line := range r.Mounts {
		if strings.Contains(line, "shared:") || strings.Contains(line, "master:") {
			t.Errorf("not private: %s", line)
		}
	}
}

// The limit of open files is what it is for other containers, and not what Go
// makes of its own. It takes a program that is not Go's to see that.
func TestUserNamespaceOpenFiles(t *testing.T) {
	busybox, err := exec.LookPath("busybox")
	must(t, err)
	program, err := os.ReadFile(busybox)
	must(t, err)
	var out [2]string
	for i, b := range []*box{newBox(t, defaultSpec("/busybox", "sh", "-c", "ulimit -n")), newUserBox(t, userSpec("/busybox", "sh", "-c", "ulimit -n"))} {
		must(t, os.WriteFile(filepath.Join(b.dir, "busybox"), program, 0o755))
		out[i], _ = b.run()
	}
	if out[0] != out[1] || out[0] == "" {
		t.Errorf("%q, with a user namespace %q", out[0], out[1])
	}
}

// All other new namespaces belong to the user namespace.
func TestUserNamespaceOwns(t *testing.T) {
	b := newUserBox(t, userSpec("/probe", "pause"))
	must(t, b.spawn())
	user := link(t, b.process.Pid, "user")
	if user == link(t, os.Getpid(), "user") {
		t.Error("the host's user namespace")
	}
	for kind, flag := range map[string]int{
		"mnt": unix.CLONE_NEWNS, "pid": unix.CLONE_NEWPID, "net": unix.CLONE_NEWNET, "ipc": unix.CLONE_NEWIPC, "uts": unix.CLONE_NEWUTS, "cgroup": unix.CLONE_NEWCGROUP,
	} {
		f, err := ns.Open(fmt.Sprintf("/proc/%d/ns/%s", b.process.Pid, kind), flag)
		must(t, err)
		fd, err := unix.IoctlRetInt(int(f.Fd()), unix.NS_GET_USERNS)
		must(t, err)
		owner, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
		must(t, err)
		must(t, errors.Join(unix.Close(fd), f.Close()))
		if owner != user {
			t.Errorf("%s namespace belongs to %s, not %s", kind, owner, user)
		}
	}
	for file, want := range map[string]string{"uid_map": "0 100000 65536", "gid_map": "0 100000 65536", "setgroups": "allow"} {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", b.process.Pid, file))
		must(t, err)
		if strings.Join(strings.Fields(string(text)), " ") != want {
			t.Errorf("%s: %s", file, text)
		}
	}
}

func TestUserNamespaceUser(t *testing.T) {
	spec := userSpec("/probe", "report")
	spec.Process.User = specs.User{UID: 1000, GID: 1001, AdditionalGids: []uint32{5}}
	spec.Process.NoNewPrivileges = true
	r := newUserBox(t, spec).report()
	if r.UID != 1000 || r.GID != 1001 || !reflect.DeepEqual(r.Groups, []int{5}) || r.Status["CapEff"] != "0000000000000000" {
		t.Errorf("%+v", r)
	}
	spec.Process.Args = []string{"/probe", "write", "/dev/stdout", "/dev/null"}
	if out, _ := newUserBox(t, spec).run(); strings.Contains(out, "false") {
		t.Errorf("root: %s", out)
	}
	// On the host, it is another user.
	spec.Process.Args = []string{"/probe", "pause"}
	b := newUserBox(t, spec)
	must(t, b.spawn())
	must(t, b.process.Start())
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", b.process.Pid))
	must(t, err)
	if !strings.Contains(string(status), "Uid:\t101000\t101000\t101000\t101000\n") || !strings.Contains(string(status), "Gid:\t101001\t") {
		t.Errorf("%s", status)
	}
}

// Device nodes cannot be made there: the host's are mounted.
func TestUserNamespaceDevices(t *testing.T) {
	spec := userSpec("/probe", "stat", "/dev/null", "/dev/zero", "/dev/tty", "/dev/full", "/dev/urandom", "/dev/kmsg", "/dev/fifo")
	spec.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/kmsg", Type: "c", Major: 1, Minor: 11}, {Path: "/dev/fifo", Type: "p"}}
	out, _ := newUserBox(t, spec).run()
	for _, want := range []string{"/dev/null 20666 1:3", "/dev/zero 20666 1:5", "/dev/tty 20666 5:0", "/dev/full 20666 1:7", "/dev/urandom 20666 1:9", " 1:11", "/dev/fifo 10666"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %s in\n%s", want, out)
		}
	}
	spec.Linux.Devices[0].Minor = 3
	if err := newUserBox(t, spec).spawn(); err == nil || !strings.Contains(err.Error(), "another device") {
		t.Error(err)
	}
}

// Sources are opened with the host's rights: where they lie is not the
// container's business.
func TestUserNamespaceBinds(t *testing.T) {
	noLeak(t)
	private := hostTmpfs(t, filepath.Join(t.TempDir(), "private"))
	must(t, os.Mkdir(filepath.Join(private, "volume"), 0o755))
	must(t, os.Chmod(private, 0o700))
	volume := hostTmpfs(t, filepath.Join(private, "volume"))
	below := hostTmpfs(t, filepath.Join(volume, "below"))
	for _, dir := range []string{volume, below} {
		must(t, os.Chown(dir, base, base))
	}
	must(t, os.WriteFile(filepath.Join(private, "file"), []byte("data"), 0o644))
	spec := userSpec("/probe", "create", "/rw/new", "/ro/new", "/rw/below/new")
	spec.Mounts = append(spec.Mounts, bindMount(volume, "/rw"), bindMount(volume, "/ro", "ro"), bindMount(filepath.Join(private, "file"), "/etc/file"))
	if out, _ := newUserBox(t, spec).run(); out != "/rw/new true\n/ro/new false\n/rw/below/new true\n" {
		t.Error(out)
	}
	var st unix.Stat_t
	must(t, unix.Stat(filepath.Join(volume, "new"), &st))
	if st.Uid != base || st.Gid != base {
		t.Errorf("made by %d:%d", st.Uid, st.Gid)
	}
	spec.Mounts = append(spec.Mounts, bindMount("/nosuch/source", "/x"))
	if err := newUserBox(t, spec).spawn(); err == nil || !strings.Contains(err.Error(), "bind source path does not exist: /nosuch/source") {
		t.Error(err)
	}
}

// idmap without mappings takes the container's: files of the host's root are
// root's in the container.
func TestUserNamespaceIDMap(t *testing.T) {
	host := hostBind(t, t.TempDir())
	must(t, os.WriteFile(filepath.Join(host, "file"), nil, 0o644))
	spec := userSpec("/probe", "details", "/plain/file", "/mapped/file")
	spec.Mounts = append(spec.Mounts, bindMount(host, "/plain"), bindMount(host, "/mapped", "idmap"))
	out, _ := newUserBox(t, spec).run()
	if !strings.Contains(out, "/plain/file 100644 65534:65534") || !strings.Contains(out, "/mapped/file 100644 0:0") {
		t.Error(out)
	}
}

// What a container mounts on a shared volume does not get to the host.
func TestUserNamespacePropagation(t *testing.T) {
	host := hostTmpfs(t, t.TempDir())
	must(t, unix.Mount("", host, "", unix.MS_SHARED, ""))
	spec := userSpec("/probe", "report")
	spec.Mounts = append(spec.Mounts, bindMount(host, "/shared", "shared"), bindMount(host, "/slave", "slave"), bindMount(host, "/private"))
	r := newUserBox(t, spec).report()
	for point, want := range map[string][2]bool{"/shared": {true, true}, "/slave": {true, false}, "/private": {false, false}} {
		line := r.mount(point)
		if strings.Contains(line, "master:") != want[0] || strings.Contains(line, "shared:") != want[1] {
			t.Errorf("%s: %s", point, line)
		}
	}
}

func TestUserNamespaceTerminal(t *testing.T) {
	spec := userSpec("/probe", "stat", "/dev/console", "/dev/tty")
	spec.Process.Terminal = true
	b := newUserBox(t, spec)
	must(t, b.spawn())
	must(t, b.process.Start())
	buf := make([]byte, 4096)
	n, err := b.process.Console.Read(buf)
	must(t, err)
	if !strings.Contains(string(buf[:n]), "/dev/console 206") {
		t.Errorf("%q", buf[:n])
	}
}

func TestUserNamespaceSettings(t *testing.T) {
	spec := userSpec("/probe", "read", "/proc/sys/net/ipv4/ip_forward", "/proc/self/oom_score_adj")
	spec.Linux.Sysctl = map[string]string{"net.ipv4.ip_forward": "1"}
	score := 500
	spec.Process.OOMScoreAdj = &score
	if out, _ := newUserBox(t, spec).run(); !strings.Contains(out, `ip_forward "1\n"`) || !strings.Contains(out, `"500\n"`) {
		t.Error(out)
	}
}

// The reaper and a filter that is loaded without no_new_privs need rights over
// the user namespace only.
func TestUserNamespaceReaperAndFilter(t *testing.T) {
	spec := userSpec("/probe", "report")
	profile, err := seccomp.GetDefaultProfile(spec)
	must(t, err)
	spec.Linux.Seccomp = profile
	b := newUserBox(t, spec)
	b.config.Reaper = true
	b.config.Seccomp, err = compiler.Compile(profile)
	must(t, err)
	if r := b.report(); r.Pid == 1 || r.Status["Seccomp"] != "2" {
		t.Errorf("%+v", r)
	}
}

// TestUserNamespaceLimits: nobody in a user namespace may raise a limit, so that it is
// raised from outside, where the host lets us.
func TestUserNamespaceLimits(t *testing.T) {
	var rights [2]unix.CapUserData
	must(t, unix.Capget(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &rights[0]))
	mayRaise := rights[0].Effective&(1<<unix.CAP_SYS_RESOURCE) != 0
	limit := specsLimit("RLIMIT_MSGQUEUE", 3_000_000, 3_000_001)
	check := func(out string, warnings []string) {
		t.Helper()
		isRaised := strings.Contains(out, "Max msgqueue size         3000000              3000001 ")
		isTold := len(warnings) == 1 && strings.Contains(warnings[0], "RLIMIT_MSGQUEUE")
		if isRaised != mayRaise || isTold == mayRaise {
			t.Errorf("may raise %v, warnings %q:\n%s", mayRaise, warnings, strings.ReplaceAll(out, `\n`, "\n"))
		}
	}
	spec := userSpec("/probe", "read", "/proc/self/limits")
	spec.Process.Rlimits = []specs.POSIXRlimit{limit}
	b := newUserBox(t, spec)
	out, _ := b.run()
	check(out, b.process.Warnings)

	b = newUserBox(t, userSpec("/probe", "pause"))
	must(t, b.spawn())
	must(t, b.process.Start())
	r, w, err := os.Pipe()
	must(t, err)
	defer r.Close()
	e, err := b.enter(spec.Process, w)
	w.Close()
	must(t, err)
	defer e.Close()
	must(t, e.Start())
	text, err := io.ReadAll(r)
	must(t, err)
	_, err = wait(e.Pid, nil)
	must(t, err)
	check(string(text), e.Warnings)
}

// TestOutsideCodec: all that the parent has to know arrives.
func TestOutsideCodec(t *testing.T) {
	ids := []specs.LinuxIDMapping{{ContainerID: 1, HostID: 2, Size: 3}}
	want := outside{
		User: true, UserNS: "u", UIDs: ids, GIDs: ids, Time: true, TimeNS: "t", Offsets: []ns.TimeOffset{{Clock: "c", Seconds: -1, Nanoseconds: 2}},
		Join: []joined{{"j", 1}}, NetNS: true, MountNS: "m", Root: "r", Mounts: []specs.Mount{bindMount("a", "b", "c")}, CgroupDirs: []string{"g"}, CgroupNS: true,
		Limits: []specs.POSIXRlimit{specsLimit("RLIMIT_CORE", 1, 2)},
	}
	for i := range reflect.TypeOf(want).NumField() {
		if reflect.ValueOf(want).Field(i).IsZero() {
			t.Errorf("%s is not tested", reflect.TypeOf(want).Field(i).Name)
		}
	}
	var got outside
	if err := decode(encode(want.describe), got.describe); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v: %+v", err, got)
	}
}

// A container may share the user namespace of another and have or share the
// others.
func TestUserNamespaceJoined(t *testing.T) {
	a := newUserBox(t, userSpec("/probe", "pause"))
	must(t, a.spawn())
	path := func(kind string) string { return fmt.Sprintf("/proc/%d/ns/%s", a.process.Pid, kind) }
	spec := defaultSpec("/probe", "report")
	spec.Linux.Namespaces = append(spec.Linux.Namespaces, specs.LinuxNamespace{Type: "user", Path: path("user")})
	b := newUserBox(t, spec)
	must(t, b.spawn())
	for _, kind := range []string{"user"} {
		if link(t, b.process.Pid, kind) != link(t, a.process.Pid, kind) {
			t.Errorf("%s namespace is not joined", kind)
		}
	}
	for _, kind := range []string{"mnt", "pid", "net", "ipc", "uts"} {
		if l := link(t, b.process.Pid, kind); l == link(t, a.process.Pid, kind) || l == link(t, os.Getpid(), kind) {
			t.Errorf("%s namespace is not its own", kind)
		}
	}
	must(t, b.process.Start())
	if code := b.wait(); code != 0 || !strings.Contains(b.stdout.String(), `"UID":0,"GID":0,"Pid":1`) {
		t.Errorf("exit %d: %s", code, b.stdout.String())
	}

	spec = defaultSpec("/probe", "report")
	spec.Hostname = ""
	spec.Linux.Namespaces = []specs.LinuxNamespace{
		{Type: "mount"},
		{Type: "user", Path: path("user")},
		{Type: "pid", Path: path("pid")},
		{Type: "network", Path: path("net")},
		{Type: "ipc", Path: path("ipc")},
		{Type: "uts", Path: path("uts")},
		{Type: "cgroup", Path: path("cgroup")},
	}
	c := newUserBox(t, spec)
	must(t, c.spawn())
	for _, kind := range []string{"user", "pid", "net", "ipc", "uts", "cgroup"} {
		if link(t, c.process.Pid, kind) != link(t, a.process.Pid, kind) {
			t.Errorf("%s namespace is not joined", kind)
		}
	}
	must(t, c.process.Start())
	if code := c.wait(); code != 0 || !strings.Contains(c.stdout.String(), `"Hostname":"box"`) {
		t.Errorf("exit %d: %s", code, c.stdout.String())
	}
}

// A network namespace that was made beforehand is the host's property, and so
// is its sysfs: it shows that network's devices all the same.
func TestUserNamespaceGivenNetwork(t *testing.T) {
	noLeak(t)
	netns, err := ns.NewNetNS()
	must(t, err)
	defer netns.Close()
	spec := userSpec("/probe", "list", "/sys/class/net")
	b := newUserBox(t, spec)
	b.files.NetNS = netns
	must(t, b.spawn())
	in, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", b.process.Pid))
	must(t, err)
	defer in.Close()
	if same, err := ns.Same(in, netns); err != nil || !same {
		t.Errorf("not in the given network namespace: %v", err)
	}
	must(t, b.process.Start())
	if b.wait(); b.stdout.String() != "lo\n" {
		t.Errorf("/sys/class/net: %s", b.stdout.String())
	}
}

// The same with those of the host.
func TestUserNamespaceHostNetwork(t *testing.T) {
	spec := userSpec("/probe", "report")
	spec.Linux.Namespaces = slices.DeleteFunc(spec.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == "network" || n.Type == "ipc" })
	r := newUserBox(t, spec).report()
	for point, want := range map[string]string{"/sys": " ro,nosuid,nodev,noexec,relatime - sysfs", "/dev/mqueue": " rw,nosuid,nodev,noexec,relatime - mqueue"} {
		if line := r.mount(point); !strings.Contains(line, want) {
			t.Errorf("%s: %s", point, line)
		}
	}
}

func TestUserNamespaceContradictions(t *testing.T) {
	for want, change := range map[string]func(s *specs.Spec){
		"need a user namespace": func(s *specs.Spec) { s.Linux.Namespaces = s.Linux.Namespaces[:6] },
		"needs uidMappings":     func(s *specs.Spec) { s.Linux.UIDMappings = nil },
		"must have a containerID 0": func(s *specs.Spec) {
			s.Linux.GIDMappings = []specs.LinuxIDMapping{{ContainerID: 1, HostID: 1, Size: 1}}
		},
		"user 65536 is not":  func(s *specs.Spec) { s.Process.User.UID = 65536 },
		"group 70000 is not": func(s *specs.Spec) { s.Process.User.AdditionalGids = []uint32{1, 70000} },
		"overlap":            func(s *specs.Spec) { s.Linux.UIDMappings = append(s.Linux.UIDMappings, s.Linux.UIDMappings[0]) },
		"listed twice": func(s *specs.Spec) {
			s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: "user"})
		},
		`the path "ns/user" is not absolute`: func(s *specs.Spec) { s.Linux.Namespaces[6].Path = "ns/user" },
	} {
		spec := userSpec("/probe")
		change(spec)
		var e *InvalidSpecError
		if err := newUserBox(t, spec).spawn(); !errors.As(err, &e) || !strings.Contains(e.Text, want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}
