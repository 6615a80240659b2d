package stage

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/kernel/ns"
	"github.com/berth-engine/berth/kernel/task"
	"github.com/berth-engine/berth/sandbox/seccomp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Each test here fails when the defence of its name is built out (make
// attack-mutants).

// Links of an image or a volume lead mounts, the directories made for them,
// devices and the working directory nowhere outside of the root
// (CVE-2021-30465, CVE-2024-45310).
func TestAttackInRoot(t *testing.T) {
	host, volume, source := t.TempDir(), t.TempDir(), t.TempDir()
	must(t, os.Symlink(host, filepath.Join(volume, "out")))
	must(t, os.Symlink(strings.Repeat("../", 20)+host, filepath.Join(volume, "up")))
	mode := os.FileMode(0o666)
	spec := defaultSpec("/probe", "exit", "0")
	spec.Process.Cwd = "/tmp"
	spec.Mounts = append(spec.Mounts, bindMount(volume, "/v"),
		bindMount(source, "/v/out/dir"), bindMount(source, "/v/up/dir"), bindMount("/dev/null", "/v/out/file"),
		specs.Mount{Type: "tmpfs", Destination: "/v/up/tmp"})
	spec.Linux.Devices = []specs.LinuxDevice{{Path: "/v/out/dev/null", Type: "c", Major: 1, Minor: 3, FileMode: &mode}}
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

// An image in which /proc, /sys or /dev is a link would have the later steps
// look elsewhere (CVE-2019-19921, CVE-2025-31133).
func TestAttackStrict(t *testing.T) {
	for _, name := range []string{"proc", "sys", "dev"} {
		for _, target := range []string{"/tmp", "tmp", "/nosuch", t.TempDir()} {
			b := newBox(t, defaultSpec("/probe"))
			must(t, os.Symlink(target, filepath.Join(b.dir, name)))
			if err := b.spawn(); err == nil {
				t.Errorf("/%s is a link to %s: started", name, target)
			}
		}
	}
}

// Nothing of the user's covers a part of /proc, by way of a link either
// (CVE-2019-16884).
func TestAttackInProc(t *testing.T) {
	for _, m := range []specs.Mount{bindMount(t.TempDir(), "/link"), {Type: "tmpfs", Destination: "/link"}} {
		spec := defaultSpec("/probe")
		spec.Mounts = append(spec.Mounts, m)
		b := newBox(t, spec)
		must(t, os.Symlink("/proc/sys", filepath.Join(b.dir, "link")))
		if err := b.spawn(); err == nil {
			t.Errorf("%s covers /proc/sys", m.Type)
		}
	}
}

// withNull is a container whose /dev/null is a file of the user.
func withNull(t *testing.T, args ...string) *box {
	file := filepath.Join(t.TempDir(), "null")
	must(t, os.WriteFile(file, []byte("of an enemy"), 0o666))
	spec := defaultSpec(args...)
	spec.Mounts = append(spec.Mounts, bindMount(file, "/dev/null"))
	return newBox(t, spec)
}

// A /dev/null that is another file does not mask (CVE-2025-31133).
func TestAttackMaskWith(t *testing.T) {
	b := withNull(t, "/probe", "stat", "/proc/keys", "/proc/timer_list")
	var err error
	b.files.Stdin, err = os.Open("/dev/zero") // not the null device, which would be reopened
	must(t, err)
	defer b.files.Stdin.Close()
	if out, _ := b.run(); strings.Count(out, " 20666 1:3\n") != 2 {
		t.Errorf("not masked with the null device:\n%s", out)
	}
}

// A standard stream is not reopened as what an enemy has put in the place of
// /dev/null.
func TestAttackTheDevice(t *testing.T) {
	if err := withNull(t, "/probe", "report").spawn(); err == nil {
		t.Error("a file was taken for the null device")
	}
}

// The terminal is the other end of the master's, not what is found by a name
// (CVE-2025-52565).
func TestAttackPeer(t *testing.T) {
	spec := defaultSpec("/probe", "where", "/dev/pts", "/dev/console", "/proc/self/fd/0")
	spec.Process.Terminal = true
	b := newBox(t, spec)
	must(t, b.spawn())
	must(t, b.process.Start())
	in := bufio.NewReader(b.process.Console)
	var devices []string
	for range 3 {
		line, _ := in.ReadString('\n')
		_, device, _ := strings.Cut(strings.TrimSpace(line), " ")
		devices = append(devices, device)
	}
	b.wait()
	if devices[0] == "" || devices[1] != devices[0] || devices[2] != devices[0] {
		t.Errorf("devpts, console and standard input are on %q", devices)
	}
}

// The program has the descriptors 0, 1 and 2 (CVE-2024-21626, CVE-2016-9962).
func TestAttackCloexec(t *testing.T) {
	if r := newBox(t, defaultSpec("/probe", "report")).report(); len(r.Fds) != 3 {
		t.Errorf("descriptors %q", r.Fds)
	}
}

// A descriptor of the host is no way to a working directory outside of the
// root (CVE-2024-21626).
func TestAttackWorkdir(t *testing.T) {
	spec := defaultSpec("/probe", "list", ".")
	spec.Process.Cwd = "/proc/self/fd/0"
	b := newBox(t, spec)
	var err error
	b.files.Stdin, err = os.Open("/usr")
	must(t, err)
	defer b.files.Stdin.Close()
	if err := b.spawn(); err == nil || !strings.Contains(err.Error(), task.ErrOutside.Error()) {
		t.Errorf("%v", err)
	}
}

// A stage that looks for the working directory has no directory open but the
// container's root, whatever it used before.
func TestAttackCloseProc(t *testing.T) {
	spec := defaultSpec("/probe")
	score := 500
	spec.Process.OOMScoreAdj = &score
	spec.Linux.Sysctl = map[string]string{"net.ipv4.ip_forward": "1"}
	spec.Mounts = append(spec.Mounts, bindMount(t.TempDir(), "/v"))
	b := newBox(t, spec)
	must(t, b.spawn())
	dir := fmt.Sprintf("/proc/%d/", b.process.Pid)
	root, err := os.Stat(dir + "root")
	must(t, err)
	entries, err := os.ReadDir(dir + "fd")
	must(t, err)
	for _, e := range entries {
		info, err := os.Stat(dir + "fd/" + e.Name())
		must(t, err)
		if target, _ := os.Readlink(dir + "fd/" + e.Name()); info.IsDir() && !os.SameFile(info, root) {
			t.Errorf("descriptor %s is %s", e.Name(), target)
		}
	}
}

// A process of a shared pid namespace cannot look into a stage, which still
// holds more than the container shall have (CVE-2016-9962).
func TestAttackUndumpable(t *testing.T) {
	b := newBox(t, defaultSpec("/probe"))
	must(t, b.spawn())
	must(t, ns.OnThread(func() error {
		const ptrace = 1 << unix.CAP_SYS_PTRACE
		effective, permitted, err := task.CurrentCaps()
		if err != nil {
			return err
		}
		if err := task.SetCaps(effective&^ptrace, permitted&^ptrace, 0); err != nil {
			return err
		}
		for _, file := range []string{"exe", "cwd", "root", "fd/3", "ns/mnt"} {
			path := fmt.Sprintf("/proc/%d/%s", b.process.Pid, file)
			if target, err := os.Readlink(path); !errors.Is(err, os.ErrPermission) {
				t.Errorf("%s: %q, %v", path, target, err)
			}
		}
		return nil
	}))
}

// The keys of whoever started the daemon are not the container's.
func TestAttackKeyring(t *testing.T) {
	b := newBox(t, defaultSpec("/probe", "keyring"))
	var ours int
	must(t, ns.OnThread(func() (err error) {
		if ours, err = unix.KeyctlJoinSessionKeyring("enemy"); err != nil {
			return err
		}
		return b.spawn()
	}))
	must(t, b.process.Start())
	b.wait()
	if got, want := b.stdout.String(), fmt.Sprintln(ours, nil); got == want || !strings.HasSuffix(got, " <nil>\n") {
		t.Errorf("session keyring %q, the parent's %q", got, want)
	}
}

// No mount of a container appears on a host that shares all its mounts.
func TestAttackPrivate(t *testing.T) {
	b := newBox(t, defaultSpec("/probe", "exit", "0"))
	must(t, ns.OnThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
			return err
		}
		for _, propagation := range []uintptr{unix.MS_PRIVATE, unix.MS_SHARED} {
			if err := unix.Mount("", "/", "", unix.MS_REC|propagation, ""); err != nil {
				return err
			}
		}
		before, err := os.ReadFile("/proc/thread-self/mountinfo")
		if err != nil {
			return err
		}
		if err := b.spawn(); err != nil {
			t.Errorf("%v", err)
		}
		after, err := os.ReadFile("/proc/thread-self/mountinfo")
		if !bytes.Equal(before, after) {
			t.Errorf("mounts on the host:\n%s", after)
		}
		return err
	}))
}

// The bounding set is the specification's, and so is what root has.
func TestAttackBounding(t *testing.T) {
	for _, reaper := range []bool{false, true} {
		b := newBox(t, defaultSpec("/probe", "report"))
		b.config.Reaper = reaper
		r := b.report()
		for _, set := range []string{"CapBnd", "CapPrm", "CapEff"} {
			if r.Status[set] != "00000000a80425fb" {
				t.Errorf("%s: %s", set, r.Status[set])
			}
		}
	}
}

// No program inherits capabilities that its file does not give it
// (CVE-2022-24769).
func TestAttackSets(t *testing.T) {
	for _, uid := range []uint32{0, 1000} {
		spec := defaultSpec("/probe", "report")
		spec.Process.User.UID = uid
		r := newBox(t, spec).report()
		for _, set := range []string{"CapInh", "CapAmb"} {
			if r.Status[set] != "0000000000000000" {
				t.Errorf("user %d: %s: %s", uid, set, r.Status[set])
			}
		}
	}
}

// The files that tell of the host are not there.
func TestAttackMasked(t *testing.T) {
	out, _ := newBox(t, defaultSpec("/probe", "stat", "/proc/keys", "/proc/interrupts", "/proc/timer_list")).run()
	for line := range strings.Lines(out) {
		if !strings.HasSuffix(line, " 20666 1:3\n") && !strings.HasSuffix(line, "no such file or directory\n") {
			t.Errorf("not masked: %s", line)
		}
	}
}

// The files that change the host cannot be written.
func TestAttackReadonly(t *testing.T) {
	out, _ := newBox(t, defaultSpec("/probe", "write", "/proc/sys/kernel/core_pattern", "/proc/sys/vm/swappiness",
		"/proc/sysrq-trigger", "/proc/irq/default_smp_affinity")).run()
	if strings.Contains(out, " true") || !strings.Contains(out, " false") {
		t.Errorf("writable:\n%s", out)
	}
}

// A setting of the whole host is refused, whatever its spelling. The values
// are what the host has, in case.
func TestAttackHostSysctl(t *testing.T) {
	value, err := os.ReadFile("/proc/sys/vm/swappiness")
	must(t, err)
	own := strings.TrimSpace(string(value))
	for _, name := range []string{"vm.swappiness", "vm/swappiness", "net/../vm/swappiness", "net.ipv4/../../vm/swappiness"} {
		spec := defaultSpec("/probe")
		spec.Linux.Sysctl = map[string]string{name: own}
		if err := newBox(t, spec).spawn(); err == nil {
			t.Errorf("%s was set", name)
		}
	}
	spec := defaultSpec("/probe")
	spec.Linux.Sysctl = map[string]string{"net.core.somaxconn": "128"}
	spec.Linux.Namespaces = slices.DeleteFunc(spec.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == specs.NetworkNamespace })
	var invalid *InvalidSpecError
	if _, _, err := Prepare(&Config{Spec: spec}, false); !errors.As(err, &invalid) {
		t.Errorf("a setting of the host's network: %v", err)
	}
}

// The filter is on, with no_new_privs and without, with --init and without.
func TestAttackFilter(t *testing.T) {
	program, err := seccomp.Compile(&specs.LinuxSeccomp{
		DefaultAction: specs.ActAllow,
		Syscalls:      []specs.LinuxSyscall{{Names: []string{"keyctl"}, Action: specs.ActErrno}},
	})
	must(t, err)
	for _, nnp := range []bool{false, true} {
		for _, reaper := range []bool{false, true} {
			spec := defaultSpec("/probe", "keyring")
			spec.Process.NoNewPrivileges = nnp
			b := newBox(t, spec)
			b.config.Seccomp, b.config.Reaper = program, reaper
			if out, _ := b.run(); !strings.HasSuffix(out, "operation not permitted\n") {
				t.Errorf("no_new_privs %v, reaper %v: %s", nnp, reaper, out)
			}
		}
	}
}

// The container's environment is not that of the process which does work for
// the engine inside.
func TestAttackReaperEnv(t *testing.T) {
	spec := defaultSpec("/probe", "read", "/proc/1/environ")
	spec.Process.Env = append(spec.Process.Env, "GODEBUG=inittrace=1", "GOTRACEBACK=crash")
	b := newBox(t, spec)
	b.config.Reaper = true
	if out, _ := b.run(); strings.Contains(out, "GODEBUG") || !strings.Contains(out, "GOMAXPROCS") {
		t.Errorf("the reaper's environment: %s", out)
	}
}

// What Go's runtime opens when the stage of an exec starts is nothing of the
// container's. Here that would wait for ever.
func TestAttackNowhere(t *testing.T) {
	spec := defaultSpec("/probe", "pause")
	spec.Mounts = slices.DeleteFunc(spec.Mounts, func(m specs.Mount) bool { return m.Type == "proc" || strings.HasPrefix(m.Destination, "/sys") })
	spec.Linux.MaskedPaths, spec.Linux.ReadonlyPaths = nil, nil
	b := newBox(t, spec)
	for _, name := range []string{"proc/self/cgroup", "proc/self/mountinfo", "proc/self/auxv", "sys/kernel/mm/transparent_hugepage/hpage_pmd_size"} {
		name = filepath.Join(b.dir, name)
		must(t, os.MkdirAll(filepath.Dir(name), 0o755))
		must(t, unix.Mkfifo(name, 0o644))
	}
	must(t, b.spawn())
	must(t, b.process.Start())
	created := make(chan error, 1)
	go func() {
		e, err := b.enter(process("/probe", "exit", "0"), nil)
		if err == nil {
			e.Abandon()
		}
		created <- err
	}()
	select {
	case err := <-created:
		must(t, err)
	case <-time.After(30 * time.Second):
		t.Fatal("the stage waits for the container's files")
	}
}
