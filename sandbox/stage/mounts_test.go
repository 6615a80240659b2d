package stage

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func specsLimit(kind string, soft, hard uint64) specs.POSIXRlimit {
	return specs.POSIXRlimit{Type: kind, Soft: soft, Hard: hard}
}

func bindMount(source, dest string, options ...string) specs.Mount {
	return specs.Mount{Type: "bind", Source: source, Destination: dest, Options: append([]string{"rbind"}, options...)}
}

func TestBind(t *testing.T) {
	noLeak(t)
	host := t.TempDir()
	must(t, os.WriteFile(filepath.Join(host, "file"), []byte("data"), 0o644))
	spec := defaultSpec("/probe", "create", "/rw/new", "/ro/new", "/a/b/c", "/run/x/new")
	spec.Mounts = append(spec.Mounts,
		bindMount(host, "/rw", "rprivate"), bindMount(host, "/ro", "ro"), bindMount(filepath.Join(host, "file"), "/a/b/c", "rro"),
		bindMount(host, "/link/x", "rprivate"))
	b := newBox(t, spec)
	must(t, os.Symlink("/run", filepath.Join(b.dir, "link"))) // dangling: made inside
	out, _ := b.run()
	if out != "/rw/new true\n/ro/new false\n/a/b/c false\n/run/x/new true\n" {
		t.Errorf("writes:\n%s", out)
	}
	if b, err := os.ReadFile(filepath.Join(host, "new")); err != nil || string(b) != "x" {
		t.Errorf("%q, %v", b, err)
	}
}

func TestPropagationAndAttributes(t *testing.T) {
	host := t.TempDir()
	must(t, unix.Mount("tmpfs", host, "tmpfs", 0, ""))
	t.Cleanup(func() { must(t, unix.Unmount(host, unix.MNT_DETACH)) })
	must(t, unix.Mount("", host, "", unix.MS_SHARED, ""))
	spec := defaultSpec("/probe", "report")
	for _, p := range []string{"private", "slave", "shared", "rslave"} {
		spec.Mounts = append(spec.Mounts, bindMount(host, "/"+p, p, "nosuid", "noatime", "nodev", "noexec"))
	}
	r := newBox(t, spec).report()
	for point, want := range map[string]string{"/private": "noatime -", "/slave": "noatime master:", "/shared": "noatime shared:", "/rslave": "noatime master:"} {
		if line := r.mount(point); !strings.Contains(line, "rw,nosuid,nodev,noexec,"+want) {
			t.Errorf("%s: %s", point, line)
		}
	}
}

// An image or a volume decides where links lead: never out of the root.
func TestLinksStayInside(t *testing.T) {
	host, volume := t.TempDir(), t.TempDir()
	must(t, os.Symlink(host, filepath.Join(volume, "out")))
	must(t, os.Symlink("../../../../../../../.."+host, filepath.Join(volume, "up")))
	spec := defaultSpec("/probe", "exit", "0")
	src := t.TempDir()
	spec.Mounts = append(spec.Mounts, bindMount(volume, "/v"), bindMount(src, "/v/out/dir"), bindMount(src, "/v/up/dir"),
		specs.Mount{Type: "tmpfs", Destination: "/v/out/tmp"})
	b := newBox(t, spec)
	if _, code := b.run(); code != 0 {
		t.Errorf("exit %d", code)
	}
	if entries, err := os.ReadDir(host); err != nil || len(entries) != 0 {
		t.Errorf("the host's directory has %v", entries)
	}
	if _, err := os.Stat(filepath.Join(b.upper, host, "dir")); err != nil {
		t.Errorf("not made inside: %v", err)
	}
}

func TestSystemDirectoriesAsLinks(t *testing.T) {
	for _, name := range []string{"proc", "sys", "dev"} {
		host := t.TempDir()
		b := newBox(t, defaultSpec("/probe"))
		must(t, os.Symlink(host, filepath.Join(b.dir, name)))
		err := b.spawn()
		if err == nil || !strings.Contains(err.Error(), "must be mounted on ordinary directory") {
			t.Errorf("%s: %v", name, err)
		}
		if entries, _ := os.ReadDir(host); len(entries) != 0 {
			t.Errorf("%s: the host's directory has %v", name, entries)
		}
	}
}

// Without a mount of its own, /dev is the image's: its nodes are made inside.
func TestImageDev(t *testing.T) {
	host := t.TempDir()
	spec := defaultSpec("/probe", "exit", "0")
	spec.Mounts = []specs.Mount{spec.Mounts[0]}
	b := newBox(t, spec)
	must(t, os.Symlink(host, filepath.Join(b.dir, "dev")))
	if _, code := b.run(); code != 0 {
		t.Errorf("exit %d", code)
	}
	if entries, _ := os.ReadDir(host); len(entries) != 0 {
		t.Errorf("the host's directory has %v", entries)
	}
}

func TestInsideProcRefused(t *testing.T) {
	host := t.TempDir()
	for _, m := range []specs.Mount{bindMount(host, "/proc/self"), bindMount(host, "/proc"), {Type: "tmpfs", Destination: "/proc/sys"}, bindMount(host, "/link")} {
		spec := defaultSpec("/probe")
		spec.Mounts = append(spec.Mounts, m)
		b := newBox(t, spec)
		must(t, os.Symlink("/proc/sys", filepath.Join(b.dir, "link")))
		if err := b.spawn(); err == nil || !strings.Contains(err.Error(), "proc") {
			t.Errorf("%s: %v", m.Destination, err)
		}
	}
	spec := defaultSpec("/probe", "read", "/proc/uptime")
	file := filepath.Join(host, "uptime")
	must(t, os.WriteFile(file, []byte("1 2"), 0o644))
	spec.Mounts = append(spec.Mounts, bindMount(file, "/proc/uptime"))
	if out, _ := newBox(t, spec).run(); !strings.Contains(out, `"1 2"`) {
		t.Error(out)
	}
}

func TestTmpfsKeepsMode(t *testing.T) {
	for _, lasting := range []bool{false, true} {
		spec := defaultSpec("/probe", "stat", "/tmp", "/etc", "/dev/shm", "/new", "/new/one")
		spec.Mounts = append(spec.Mounts,
			specs.Mount{Type: "tmpfs", Destination: "/tmp", Options: []string{"size=1m"}},
			specs.Mount{Type: "tmpfs", Destination: "/etc"},
			specs.Mount{Type: "tmpfs", Destination: "/new/one"})
		b := newBox(t, spec)
		b.config.LastingRoot = lasting
		must(t, os.Chmod(filepath.Join(b.dir, "etc"), 0o710))
		if out, _ := b.run(); out != "/tmp 41777 0:0\n/etc 40710 0:0\n/dev/shm 41777 0:0\n/new 40755 0:0\n/new/one 41777 0:0\n" {
			t.Error(out)
		}
		// What the next start finds.
		want := map[bool]os.FileMode{false: 0o755, true: 0o777 | os.ModeSticky}[lasting]
		if info, err := os.Stat(filepath.Join(b.upper, "new/one")); err != nil || info.Mode() != want|os.ModeDir {
			t.Errorf("lasting=%v: %v, %v", lasting, info, err)
		}
	}
}

// TestTmpfsShowsMode: the mode of what a tmpfs covers is an option of it, which
// the mount table shows, as with runc.
func TestTmpfsShowsMode(t *testing.T) {
	spec := defaultSpec("/probe", "report")
	spec.Mounts = append(spec.Mounts, specs.Mount{Type: "tmpfs", Destination: "/etc"}, specs.Mount{Type: "tmpfs", Destination: "/new/one"})
	b := newBox(t, spec)
	must(t, os.Chmod(filepath.Join(b.dir, "etc"), 0o710))
	r := &report{}
	out, _ := b.run()
	must(t, json.Unmarshal([]byte(out), r))
	if !strings.Contains(r.mount("/etc"), "mode=710") || strings.Contains(r.mount("/new/one"), "mode=") {
		t.Errorf("mounts %q, %q", r.mount("/etc"), r.mount("/new/one"))
	}
}

func TestReadOnlyRoot(t *testing.T) {
	spec := defaultSpec("/probe", "create", "/x", "/tmp/x", "/dev/shm/x")
	spec.Root.Readonly = true
	if out, _ := newBox(t, spec).run(); out != "/x false\n/tmp/x false\n/dev/shm/x true\n" {
		t.Error(out)
	}
}

func TestKindMismatch(t *testing.T) {
	spec := defaultSpec("/probe")
	spec.Mounts = append(spec.Mounts, bindMount(t.TempDir(), "/etc/passwd"))
	if err := newBox(t, spec).spawn(); err == nil || !strings.Contains(err.Error(), "Are you trying to mount a directory onto a file") {
		t.Error(err)
	}
}

func TestSysctls(t *testing.T) {
	spec := defaultSpec("/probe", "read", "/proc/sys/net/ipv4/ip_forward", "/proc/sys/kernel/msgmax", "/proc/sys/net/ipv4/conf/lo/forwarding")
	spec.Linux.Sysctl = map[string]string{"net.ipv4.ip_forward": "1", "kernel.msgmax": "4096", "net/ipv4/conf/lo/forwarding": "0"}
	out, _ := newBox(t, spec).run()
	if !strings.Contains(out, `ip_forward "1\n"`) || !strings.Contains(out, `msgmax "4096\n"`) || !strings.Contains(out, `forwarding "0\n"`) {
		t.Error(out)
	}
	for name, value := range map[string]string{
		"kernel.core_pattern": "|/x", "vm.swappiness": "1", "net.ipv4.ip_forward": "1\nx", "net/../kernel/core_pattern": "x", "kernel.hostname": "x",
	} {
		spec.Linux.Sysctl = map[string]string{name: value}
		var e *InvalidSpecError
		if err := newBox(t, spec).spawn(); !errors.As(err, &e) {
			t.Errorf("%s: %v", name, err)
		}
	}
	spec.Linux.Sysctl = map[string]string{"net.ipv4.ip_forward": "1"}
	spec.Linux.Namespaces = []specs.LinuxNamespace{{Type: "mount"}, {Type: "pid"}, {Type: "uts"}, {Type: "ipc"}}
	if err := newBox(t, spec).spawn(); err == nil {
		t.Error("sysctl of the host's network namespace")
	}
}
