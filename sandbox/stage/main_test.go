package stage

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/kernel/mount"
	"github.com/berth-engine/berth/kernel/ns"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// probe is testdata/probe, static: the stage's binary and the program inside.
var probe string

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "stage-test")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	probe = filepath.Join(dir, "probe")
	cmd := exec.Command("go", "build", "-ldflags=-s -w", "-o", probe, "./testdata/probe")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		panic(fmt.Sprintf("build probe: %v\n%s", err, out))
	}
	return m.Run()
}

var defaultCaps = []string{
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW",
	"CAP_SETGID", "CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE",
}

// defaultSpec is what container/spec makes for a plain container.
func defaultSpec(args ...string) *specs.Spec {
	return &specs.Spec{
		Hostname: "box",
		Root:     &specs.Root{},
		Process: &specs.Process{
			Args: args, Cwd: "/", Env: []string{"PATH=/bin:/", "A=b"},
			Capabilities: &specs.LinuxCapabilities{Bounding: defaultCaps, Effective: defaultCaps, Permitted: defaultCaps},
		},
		Mounts: []specs.Mount{
			{Destination: "/proc", Type: "proc", Source: "proc", Options: []string{"nosuid", "noexec", "nodev"}},
			{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "strictatime", "mode=755", "size=65536k"}},
			{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
			{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: []string{"nosuid", "noexec", "nodev", "ro"}},
			{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: []string{"ro", "nosuid", "noexec", "nodev"}},
			{Destination: "/dev/mqueue", Type: "mqueue", Source: "mqueue", Options: []string{"nosuid", "noexec", "nodev"}},
			{Destination: "/dev/shm", Type: "tmpfs", Source: "shm", Options: []string{"nosuid", "noexec", "nodev", "mode=1777", "size=67108864"}},
		},
		Linux: &specs.Linux{
			Namespaces: []specs.LinuxNamespace{
				{Type: "mount"}, {Type: "network"}, {Type: "uts"}, {Type: "pid"}, {Type: "ipc"}, {Type: "cgroup"},
			},
			MaskedPaths: []string{
				"/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
				"/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats", "/sys/devices/virtual/powercap", "/sys/firmware",
			},
			ReadonlyPaths: []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"},
		},
	}
}

// box is a container to be: a layer with the probe in it.
type box struct {
	t       testing.TB
	dir     string // the lower layer
	upper   string
	config  Config
	files   Files
	group   *os.File      // v2
	stdout  *bytes.Buffer // complete when outputs is closed
	process *Process
	outputs chan struct{}
	// shareRoot: the root is a copy of a shared mount, as a bundle's may be.
	shareRoot bool
	rootAt    string // where that mount is
	owner     int    // whom the root belongs to, with a user namespace
	unsealed  bool   // what enters it directly is a trampoline
}

func newBox(t testing.TB, spec *specs.Spec) *box {
	t.Helper()
	b := &box{t: t, dir: t.TempDir(), config: Config{Spec: spec}}
	for _, d := range []string{"bin", "etc", "tmp"} {
		must(t, os.Mkdir(filepath.Join(b.dir, d), 0o755))
	}
	must(t, os.Chmod(filepath.Join(b.dir, "tmp"), 0o777|os.ModeSticky))
	must(t, os.Chmod(b.dir, 0o755))
	must(t, os.WriteFile(filepath.Join(b.dir, "etc/passwd"), []byte("root:x:0:0::/:/bin/sh\n"), 0o644))
	program, err := os.ReadFile(probe)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(b.dir, "probe"), program, 0o755))
	return b
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// spawn makes the container; the test's clean-up ends it.
func (b *box) spawn() error {
	b.t.Helper()
	scratch := b.t.TempDir()
	b.upper = filepath.Join(scratch, "upper")
	must(b.t, os.Mkdir(b.upper, 0o755))
	must(b.t, os.Mkdir(filepath.Join(scratch, "work"), 0o755))
	if b.owner != 0 {
		for _, dir := range []string{b.dir, scratch} {
			must(b.t, filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
				return errors.Join(err, os.Lchown(path, b.owner, b.owner))
			}))
		}
	}
	root, err := mount.Overlay(mount.Layers{Lower: []string{b.dir}, Upper: b.upper, Work: filepath.Join(scratch, "work")})
	must(b.t, err)
	if b.shareRoot {
		at, err := os.OpenFile(b.t.TempDir(), unix.O_PATH, 0)
		must(b.t, err)
		b.rootAt = at.Name()
		must(b.t, mount.Attach(root, at))
		must(b.t, at.Close())
		b.t.Cleanup(func() { must(b.t, unix.Unmount(at.Name(), unix.MNT_DETACH)) })
		must(b.t, mount.SetAttr(root, mount.Attr{Propagation: unix.MS_SHARED}))
		root.Close()
		root, err = mount.Clone(at.Name(), true)
		must(b.t, err)
	}
	program, err := os.Open(probe)
	must(b.t, err)
	exe, err := ns.SealedMemfd("berth-sandbox", program)
	must(b.t, err)
	program.Close()
	b.files.Rootfs = root
	b.t.Cleanup(func() { root.Close(); exe.Close() })
	stdout := &bytes.Buffer{}
	b.stdout, b.outputs = stdout, make(chan struct{})
	if !b.config.Spec.Process.Terminal {
		r, w, err := os.Pipe()
		must(b.t, err)
		b.files.Stdout, b.files.Stderr = w, w
		go func() {
			_, _ = io.Copy(stdout, r) // until the program ends
			r.Close()
			close(b.outputs)
		}()
		defer w.Close()
	}
	b.process, err = spawn(&b.config, exe, b.files, b.group)
	if err == nil {
		b.t.Cleanup(func() { b.end() })
	}
	return err
}

// forkAhead makes the stage before the order.
var forkAhead bool

// spawn goes all the way from a Config to a created process.
func spawn(c *Config, exe *os.File, f Files, group *os.File) (p *Process, err error) {
	if forkAhead {
		if p, err = Fork(exe, &Usual, nil); err != nil {
			return nil, err
		}
	}
	plan, text, err := Prepare(c, f.NetNS != nil)
	if forkAhead && (err != nil || !p.Fits(plan)) {
		p.Abandon()
		p = nil
	}
	if err != nil {
		return nil, err
	}
	if p == nil {
		plan.NetNS = f.NetNS
		if p, err = Fork(exe, plan, group); err != nil {
			return nil, err
		}
	}
	if f.Order, err = ns.DataMemfd("order", bytes.NewReader(text)); err != nil {
		p.Abandon()
		return nil, err
	}
	defer f.Order.Close()
	if err := p.Begin(plan, f); err != nil {
		return nil, err
	}
	return p, p.Created()
}

// TestAhead repeats tests with a stage that was made before its order.
func TestAhead(t *testing.T) {
	forkAhead = true
	defer func() { forkAhead = false }()
	for name, test := range map[string]func(*testing.T){
		"default": TestDefaultContainer, "nothing of the host": TestNothingOfTheHost, "writable": TestWritable,
		"masked": TestMasked, "devices": TestDevices, "exec errors": TestExecErrors, "user": TestUser,
		"limits": TestLimits, "set-up errors": TestSetupErrors, "not implemented": TestIntelRdt,
		"reaper": TestReaperReapsAndForwards, "reaper's restrictions": TestReaperIsRestricted, "terminal": TestTerminal,
		"console": TestConsoleDevice, "seccomp": TestSeccomp, "groups": TestControlGroups, "abandoned": TestAbandonedBeforeStart,
		"killed": TestKilledInSetup,
	} {
		t.Run(name, test)
	}
}

// TestNeverNeeded: a stage ends with its parent's end of the socket.
func TestNeverNeeded(t *testing.T) {
	noLeak(t)
	program, err := os.Open(probe)
	must(t, err)
	exe, err := ns.SealedMemfd("berth-sandbox", program)
	must(t, err)
	program.Close()
	defer exe.Close()
	p, err := Fork(exe, &Usual, nil)
	must(t, err)
	pid := p.Pid
	must(t, p.Close())
	var status syscall.WaitStatus
	_, err = wait(pid, &status)
	must(t, err)
	if status.ExitStatus() != 0 {
		t.Errorf("status %d", status.ExitStatus())
	}
}

// end kills what is left.
func (b *box) end() {
	if b.process.Pid > 0 {
		_ = syscall.Kill(b.process.Pid, syscall.SIGKILL)
		_, _ = wait(b.process.Pid, nil)
		b.process.Pid = 0
	}
	b.process.Close()
}

// wait returns the exit status as a shell would say it.
func (b *box) wait() int {
	b.t.Helper()
	var status syscall.WaitStatus
	_, err := wait(b.process.Pid, &status)
	must(b.t, err)
	b.process.Pid = 0
	if !b.config.Spec.Process.Terminal {
		<-b.outputs
	}
	if status.Signaled() {
		return 128 + int(status.Signal())
	}
	return status.ExitStatus()
}

// run runs the container to its end and returns its output.
func (b *box) run() (string, int) {
	b.t.Helper()
	must(b.t, b.spawn())
	must(b.t, b.process.Start())
	code := b.wait()
	return b.stdout.String(), code
}

type report struct {
	Args, Env, Fds, Mounts []string
	Cwd, Hostname          string
	Status                 map[string]string
	Groups                 []int
	UID, GID, Pid, Umask   int
	Nofile                 struct{ Cur, Max uint64 }
}

func (b *box) report() *report {
	b.t.Helper()
	out, code := b.run()
	r := &report{}
	if err := json.Unmarshal([]byte(out), r); err != nil || code != 0 {
		b.t.Fatalf("exit %d, %v:\n%s", code, err, out)
	}
	return r
}

func (r *report) mount(point string) (fields string) {
	for _, line := range r.Mounts {
		if f := strings.Fields(line); f[4] == point {
			fields = line
		}
	}
	return fields
}

// noLeak fails the test if descriptors or mounts are left at its end.
func noLeak(t *testing.T) {
	t.Helper()
	count := func() (int, int) {
		runtime.GC()
		fds, err := os.ReadDir("/proc/self/fd")
		must(t, err)
		mounts, err := os.ReadFile("/proc/self/mountinfo")
		must(t, err)
		return len(fds), bytes.Count(mounts, []byte("\n"))
	}
	fds, mounts := count()
	t.Cleanup(func() {
		if f, m := count(); f != fds || m != mounts {
			t.Errorf("descriptors %d → %d, mounts %d → %d", fds, f, mounts, m)
		}
	})
}
