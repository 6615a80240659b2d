package stage

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/kernel/mount"
	"github.com/berth-engine/berth/kernel/ns"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestDefaultContainer(t *testing.T) {
	noLeak(t)
	b := newBox(t, defaultSpec("/probe", "report"))
	r := b.report()
	if r.Pid != 1 || r.Hostname != "box" || r.Cwd != "/" || r.UID != 0 || r.Umask != 0o022 {
		t.Errorf("process: %+v", r)
	}
	if !reflect.DeepEqual(r.Env, []string{"PATH=/bin:/", "A=b"}) {
		t.Errorf("environment %q", r.Env)
	}
	for name, want := range map[string]string{
		"CapInh": "0000000000000000", "CapPrm": "00000000a80425fb", "CapEff": "00000000a80425fb",
		"CapBnd": "00000000a80425fb", "CapAmb": "0000000000000000", "NoNewPrivs": "0", "Seccomp": "0",
	} {
		if r.Status[name] != want {
			t.Errorf("%s: %s, want %s", name, r.Status[name], want)
		}
	}
	if len(r.Fds) != 3 || r.Fds[0] != "0 /dev/null" {
		t.Errorf("descriptors %q", r.Fds)
	}
	for point, want := range map[string]string{
		"/": "- overlay", "/proc": "nosuid,nodev,noexec", "/dev": "- tmpfs", "/dev/pts": "- devpts", "/dev/shm": "nodev",
		"/sys": "ro,nosuid,nodev,noexec", "/sys/fs/cgroup": "ro,nosuid", "/proc/sys": "ro,nosuid", "/dev/mqueue": "- mqueue",
		"/proc/keys": "devtmpfs", "/sys/firmware": "ro,",
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

func TestNothingOfTheHost(t *testing.T) {
	out, _ := newBox(t, defaultSpec("/probe", "list", "/")).run()
	for name := range strings.FieldsSeq(out) {
		switch name {
		case "bin", "dev", "etc", "probe", "proc", "sys", "tmp":
		default:
			t.Errorf("%s in the root directory", name)
		}
	}
}

func TestWritable(t *testing.T) {
	out, _ := newBox(t, defaultSpec("/probe", "write", "/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger", "/proc/irq/default_smp_affinity",
		"/sys/kernel/uevent_helper", "/sys/power/state", "/sys/fs/cgroup/memory/cgroup.procs", "/sys/fs/cgroup/devices/devices.allow",
		"/etc/passwd", "/dev/null")).run()
	for line := range strings.Lines(out) {
		path, ok, _ := strings.Cut(strings.TrimSpace(line), " ")
		if want := path == "/etc/passwd" || path == "/dev/null"; (ok == "true") != want {
			t.Errorf("%s writable: %s", path, ok)
		}
	}
	if b, err := os.ReadFile("/proc/sys/kernel/core_pattern"); err != nil || len(b) == 0 {
		t.Error("core_pattern")
	}
}

func TestMasked(t *testing.T) {
	out, _ := newBox(t, defaultSpec("/probe", "stat", "/proc/kcore", "/proc/keys", "/proc/interrupts", "/proc/timer_list", "/dev/null")).run()
	for line := range strings.Lines(out) {
		if !strings.HasSuffix(line, " 20666 1:3\n") && !strings.Contains(line, "no such file") {
			t.Errorf("not the null device: %s", line)
		}
	}
	if !strings.Contains(out, "/proc/keys 20666") {
		t.Errorf("not masked: %s", out)
	}
	spec := defaultSpec("/probe", "where", "/sys/firmware", "/a", "/b")
	spec.Linux.MaskedPaths = append(spec.Linux.MaskedPaths, "/a", "/b")
	b := newBox(t, spec)
	must(t, errors.Join(os.Mkdir(filepath.Join(b.dir, "a"), 0o755), os.Mkdir(filepath.Join(b.dir, "b"), 0o755)))
	out, _ = b.run()
	if f := strings.Fields(out); len(f) != 9 || f[1] != f[4] || f[1] != f[7] {
		t.Errorf("not one directory covers all: %s", out)
	}
	out, _ = newBox(t, defaultSpec("/probe", "list", "/sys/firmware")).run()
	if out != "" {
		t.Errorf("/sys/firmware is not empty: %s", out)
	}
}

func TestDevices(t *testing.T) {
	out, _ := newBox(t, defaultSpec("/probe", "list", "/dev")).run()
	if got := strings.TrimPrefix(strings.Join(strings.Fields(out), " "), "core "); got != "fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero" {
		t.Errorf("/dev: %s", got)
	}
	out, _ = newBox(t, defaultSpec("/probe", "stat", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty", "/dev/ptmx")).run()
	for _, want := range []string{"/dev/zero 20666 1:5", "/dev/full 20666 1:7", "/dev/random 20666 1:8", "/dev/urandom 20666 1:9", "/dev/tty 20666 5:0", "/dev/ptmx 20666 5:2"} {
		if !strings.Contains(out, want+"\n") {
			t.Errorf("no %s in\n%s", want, out)
		}
	}
}

func TestExecErrors(t *testing.T) {
	for _, c := range []struct {
		name, text string
		errno      syscall.Errno
		code       int
	}{
		{"nosuch", `exec: "nosuch": executable file not found in $PATH`, syscall.ENOENT, 127},
		{"/nosuch", `exec: "/nosuch": stat /nosuch: no such file or directory`, syscall.ENOENT, 127},
		{"/etc/passwd", `exec: "/etc/passwd": permission denied`, syscall.EACCES, 126},
		{"/etc", `exec: "/etc": is a directory`, syscall.EISDIR, 126},
		{"/text", `exec /text: exec format error`, syscall.ENOEXEC, 126},
		{"/script", `exec /script: no such file or directory`, syscall.ENOENT, 127},
	} {
		for _, reaper := range []bool{false, true} {
			b := newBox(t, defaultSpec(c.name))
			b.config.Reaper = reaper
			must(t, os.WriteFile(filepath.Join(b.dir, "text"), []byte("no program"), 0o755))
			must(t, os.WriteFile(filepath.Join(b.dir, "script"), []byte("#!/nosuch/interpreter\n"), 0o755))
			must(t, b.spawn())
			err := b.process.Start()
			var e *ExecError
			if !errors.As(err, &e) || e.Text != c.text || e.Err != c.errno || e.ExitCode() != c.code {
				t.Errorf("%s reaper=%v: %#v", c.name, reaper, err)
			}
			if code := b.wait(); code != c.code {
				t.Errorf("%s: exit %d", c.name, code)
			}
		}
	}
}

func TestPathLookup(t *testing.T) {
	b := newBox(t, defaultSpec("hello", "exit", "3"))
	must(t, os.Symlink("/probe", filepath.Join(b.dir, "bin/hello")))
	if _, code := b.run(); code != 3 {
		t.Errorf("exit %d", code)
	}
}

func TestUser(t *testing.T) {
	spec := defaultSpec("/probe", "report")
	spec.Process.User.UID, spec.Process.User.GID, spec.Process.User.AdditionalGids = 1000, 1001, []uint32{7, 8}
	umask := uint32(0o077)
	spec.Process.User.Umask = &umask
	spec.Process.NoNewPrivileges = true
	r := newBox(t, spec).report()
	if r.UID != 1000 || r.GID != 1001 || !reflect.DeepEqual(r.Groups, []int{7, 8}) || r.Umask != 0o077 {
		t.Errorf("%+v", r)
	}
	if r.Status["CapEff"] != "0000000000000000" || r.Status["CapBnd"] != "00000000a80425fb" || r.Status["NoNewPrivs"] != "1" {
		t.Errorf("%v", r.Status)
	}
	spec.Process.Capabilities.Ambient = []string{"CAP_NET_BIND_SERVICE"}
	spec.Process.Capabilities.Inheritable = []string{"CAP_NET_BIND_SERVICE"}
	r = newBox(t, spec).report()
	if r.Status["CapEff"] != "0000000000000400" || r.Status["CapAmb"] != "0000000000000400" {
		t.Errorf("ambient: %v", r.Status)
	}
	// One that is not inheritable cannot be ambient, which is a warning only.
	spec.Process.Capabilities.Inheritable = nil
	if r = newBox(t, spec).report(); r.Status["CapAmb"] != "0000000000000000" {
		t.Errorf("ambient, but not inheritable: %v", r.Status)
	}
}

func TestUserReopensStdout(t *testing.T) {
	spec := defaultSpec("/probe", "write", "/dev/stdout", "/dev/stderr")
	spec.Process.User.UID = 1000
	if out, _ := newBox(t, spec).run(); strings.Contains(out, "false") {
		t.Error(out)
	}
}

func TestLimits(t *testing.T) {
	spec := defaultSpec("/probe", "read", "/proc/self/limits", "/proc/self/oom_score_adj")
	var nofile unix.Rlimit
	must(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &nofile))
	add := func(kind string, soft, hard uint64) {
		spec.Process.Rlimits = append(spec.Process.Rlimits, specsLimit(kind, soft, hard))
	}
	add("RLIMIT_CORE", 0, 0)
	add("RLIMIT_FSIZE", 123456789, 223456789)
	add("RLIMIT_NOFILE", nofile.Max+1000, nofile.Max+1000)
	score := 500
	spec.Process.OOMScoreAdj = &score
	b := newBox(t, spec)
	out, _ := b.run()
	if !strings.Contains(out, "Max core file size        0                    0 ") || !strings.Contains(out, "Max file size             123456789            223456789 ") || !strings.Contains(out, `"500\n"`) {
		t.Errorf("limits:\n%s", strings.ReplaceAll(out, `\n`, "\n"))
	}
	capped := len(b.process.Warnings) == 1 && strings.Contains(b.process.Warnings[0], "RLIMIT_NOFILE")
	if raised := strings.Contains(out, fmt.Sprintf("Max open files            %d", nofile.Max+1000)); raised == capped {
		t.Errorf("raised %v, warnings %q", raised, b.process.Warnings)
	}
}

func TestSetupErrors(t *testing.T) {
	noLeak(t)
	spec := defaultSpec("/probe")
	spec.Process.Cwd = "/nosuch"
	err := newBox(t, spec).spawn()
	if err == nil || err.Error() != `container init: set credentials: chdir to cwd ("/nosuch") set in config.json failed: no such file or directory` {
		t.Errorf("%v", err)
	}
	spec = defaultSpec("/probe")
	spec.Mounts = append(spec.Mounts, bindMount("/nosuch/source", "/x"))
	err = newBox(t, spec).spawn()
	if err == nil || !strings.Contains(err.Error(), "bind source path does not exist: /nosuch/source") {
		t.Errorf("%v", err)
	}
}

// CVE-2024-21626: a descriptor of the host as working directory. Whatever the
// stage, its maker or the test has open is tried, up to the usual limit.
func TestCwdThroughDescriptor(t *testing.T) {
	b := newBox(t, defaultSpec("/probe", "pause"))
	for _, d := range []string{"proc", "dev"} {
		must(t, os.Mkdir(filepath.Join(b.dir, d), 0o755))
	}
	empty := t.TempDir()
	program, err := os.Open(probe)
	must(t, err)
	exe, err := ns.SealedMemfd("berth-sandbox", program)
	must(t, errors.Join(err, program.Close()))
	defer exe.Close()
	spec := defaultSpec("/probe", "pause")
	spec.Linux.MaskedPaths, spec.Linux.ReadonlyPaths = nil, nil // what only takes time
	spec.Linux.Namespaces = slices.DeleteFunc(spec.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == "network" })
	for fd := range 1024 {
		root, err := mount.Overlay(mount.Layers{Lower: []string{b.dir, empty}})
		must(t, err)
		spec.Process.Cwd = "/proc/self/fd/" + strconv.Itoa(fd)
		spec.Mounts = spec.Mounts[:2] // /proc, /dev
		p, err := spawn(&Config{Spec: spec}, exe, Files{Rootfs: root}, nil)
		root.Close()
		if err != nil {
			continue
		}
		cwd, err := os.Stat(fmt.Sprintf("/proc/%d/cwd", p.Pid))
		must(t, err)
		top, err := os.Stat(fmt.Sprintf("/proc/%d/root", p.Pid))
		must(t, err)
		if !os.SameFile(cwd, top) {
			t.Errorf("descriptor %d leads to %+v, and not to the container's root", fd, cwd)
		}
		p.Abandon()
	}
}
