package sandbox

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/kernel/mount"
)

// programs holds berth-sandbox and a root file system with the guest program.
var programs string

const asDaemon = "BERTH_TEST_DAEMON"

func TestMain(m *testing.M) {
	if os.Getenv(asDaemon) != "" {
		daemon()
	}
	code, err := withPrograms(m.Run)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func withPrograms(run func() int) (int, error) {
	// Monitors whose daemon a test kills become our children.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return 0, err
	}
	var err error
	if programs, err = os.MkdirTemp("", "sandbox-test-"); err != nil {
		return 0, err
	}
	defer os.RemoveAll(programs)
	defer removeGroups()
	for _, dir := range []string{"proc", "dev", "sys", "etc", "tmp", "bin"} {
		if err := os.MkdirAll(filepath.Join(programs, "root", dir), 0o755); err != nil {
			return 0, err
		}
	}
	if err := os.WriteFile(filepath.Join(programs, "root/etc/passwd"), []byte("root:x:0:0::/:\n"), 0o644); err != nil {
		return 0, err
	}
	for out, pkg := range map[string]string{
		"berth-sandbox":  "github.com/berth-engine/berth/cmd/berth-sandbox",
		"root/bin/guest": "./testdata/guest",
	} {
		cmd := exec.Command("go", "build", "-trimpath", "-gcflags=github.com/berth-engine/...=-l",
			"-gcflags=golang.org/x/sys/unix=-l", "-gcflags=fmt=-l", "-gcflags=reflect=-l", "-gcflags=time=-l", "-ldflags=-s -w",
			"-o", filepath.Join(programs, out), pkg)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if text, err := cmd.CombinedOutput(); err != nil {
			return 0, fmt.Errorf("build %s: %w\n%s", pkg, err, text)
		}
	}
	return run(), nil
}

// removeGroups removes the group of the monitors, which stays, and its parent.
func removeGroups() {
	for _, pattern := range []string{"/sys/fs/cgroup/*", "/sys/fs/cgroup"} {
		for _, dir := range []string{"/monitors", ""} {
			groups, _ := filepath.Glob(pattern + parent() + dir)
			for _, g := range groups {
				_ = os.Remove(g)
			}
		}
	}
}

// parent is the cgroup below which this test process works.
func parent() string { return fmt.Sprintf("/berth-test-%d", os.Getpid()) }

// newRuntime makes a runtime that ends with the test, which must have left
// nothing.
func newRuntime(t testing.TB, o Options) *Runtime {
	t.Helper()
	t.Cleanup(func() {
		if kids := children(t); len(kids) > 0 {
			t.Errorf("left: child processes %v", kids)
		}
	})
	return runtimeFor(t, o)
}

// newCrashRuntime is for tests in which processes lose their parent: as the
// subreaper we are their parent then, and wait for their end before anything is
// looked at.
func newCrashRuntime(t testing.TB) *Runtime {
	t.Helper()
	r := runtimeFor(t, Options{Warm: -1})
	t.Cleanup(func() {
		for _, pid := range children(t) {
			for {
				_, err := unix.Wait4(pid, nil, 0, nil)
				if err != unix.EINTR {
					break
				}
			}
		}
	})
	return r
}

func runtimeFor(t testing.TB, o Options) *Runtime {
	t.Helper()
	return running(t, newOne(t, o))
}

// newOne makes a runtime that does not run yet.
func newOne(t testing.TB, o Options) *Runtime {
	t.Helper()
	if o.ExecRoot == "" {
		o.ExecRoot = t.TempDir()
	}
	o.Binary, o.CgroupParent = filepath.Join(programs, "berth-sandbox"), parent()
	o.Log = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	r, err := New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func running(t testing.TB, r *Runtime) *Runtime {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- r.Run(ctx) }()
	t.Cleanup(func() {
		ids, err := r.IDs()
		if err != nil || len(ids) > 0 {
			t.Errorf("left in the exec root: %q, %v", ids, err)
		}
		cancel()
		if err := <-ran; err != nil {
			t.Errorf("run: %v", err)
		}
		nothingLeft(t)
	})
	return r
}

// nothingLeft checks that no monitor and no group remains.
func nothingLeft(t testing.TB) {
	t.Helper()
	groups, err := filepath.Glob("/sys/fs/cgroup/*" + parent() + "/*")
	if err != nil {
		t.Fatal(err)
	}
	v2, err := filepath.Glob("/sys/fs/cgroup" + parent() + "/*/")
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range slices.Concat(groups, v2) {
		st, err := os.Stat(g)
		if err != nil || !st.IsDir() {
			continue
		}
		procs, err := os.ReadFile(filepath.Join(g, "cgroup.procs"))
		if filepath.Base(g) != "monitors" || len(procs) > 0 || err != nil {
			t.Errorf("left: group %s with processes %q %v", g, procs, err)
		}
	}
}

// children lists the direct children of this process.
func children(t testing.TB) []int {
	t.Helper()
	return childrenOf(t, os.Getpid())
}

// childrenOf lists those of all threads of a process.
func childrenOf(t testing.TB, pid int) []int {
	t.Helper()
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		t.Fatal(err)
	}
	var kids []int
	for _, task := range tasks {
		pids, err := os.ReadFile(task)
		if err != nil {
			continue // the thread ended
		}
		for field := range strings.FieldsSeq(string(pids)) {
			pid, err := strconv.Atoi(field)
			if err != nil {
				t.Fatal(err)
			}
			kids = append(kids, pid)
		}
	}
	return kids
}

// bundle is one that runs the guest program with args.
func bundle(t testing.TB, id string, args ...string) *Bundle {
	t.Helper()
	dir := t.TempDir()
	root, err := mount.Overlay(mount.Layers{Lower: []string{filepath.Join(programs, "root")}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = root.Close() })
	log := filepath.Join(dir, "log")
	if err := os.Mkdir(log, 0o700); err != nil {
		t.Fatal(err)
	}
	spec := guestSpec(append([]string{"/bin/guest"}, args...))
	return &Bundle{ID: id, Spec: spec, Rootfs: root, StateDir: dir, LogDir: log}
}

func guestSpec(args []string) *specs.Spec {
	spec := &specs.Spec{
		Version: specs.Version,
		Process: &specs.Process{Args: args, Cwd: "/", Env: []string{"PATH=/bin"}},
		Root:    &specs.Root{Path: "rootfs"},
		Mounts: []specs.Mount{
			{Destination: "/proc", Type: "proc", Source: "proc"},
			{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "strictatime", "mode=755", "size=65536k"}},
			{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"}},
		},
		Linux: &specs.Linux{},
	}
	for _, ns := range []specs.LinuxNamespaceType{
		specs.PIDNamespace, specs.MountNamespace, specs.IPCNamespace, specs.UTSNamespace, specs.NetworkNamespace, specs.CgroupNamespace,
	} {
		spec.Linux.Namespaces = append(spec.Linux.Namespaces, specs.LinuxNamespace{Type: ns})
	}
	return spec
}

// launch launches b; the sandbox is killed and removed with the test.
func (r *Runtime) launch(t testing.TB, b *Bundle) *Sandbox {
	t.Helper()
	s, err := r.Launch(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.finishTest(t) })
	return s
}

func (s *Sandbox) finishTest(t testing.TB) {
	t.Helper()
	ctx := context.Background()
	if err := s.Kill(ctx); err != nil {
		t.Errorf("kill: %v", err)
	}
	if _, err := s.Wait(ctx); err != nil {
		t.Errorf("wait: %v", err)
	}
	for range 2 {
		if err := s.Remove(ctx); err != nil {
			t.Errorf("remove: %v", err)
		}
	}
}

func (s *Sandbox) startTest(t testing.TB) {
	t.Helper()
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func (s *Sandbox) waitTest(t testing.TB) Exit {
	t.Helper()
	e, err := s.Wait(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func (s *Sandbox) attachTest(t testing.TB, o AttachOptions) *Stream {
	t.Helper()
	st, err := s.Attach(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	return st
}
