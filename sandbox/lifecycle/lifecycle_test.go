package lifecycle

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/errdefs"

	"github.com/berth-engine/berth/kernel/cgroup"
	"github.com/berth-engine/berth/kernel/task"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// life is a root directory and a bundle.
type life struct {
	*Root
	o CreateOptions
}

func newLife(t *testing.T, systemd bool, args ...string) *life {
	t.Helper()
	dir := t.TempDir()
	program := filepath.Join(dir, "berth-sandbox")
	build := exec.CommandContext(t.Context(), "go", "build", "-ldflags=-s -w", "-o", program, "github.com/berth-engine/berth/cmd/berth-sandbox")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(busybox)
	if err != nil {
		t.Fatal(err)
	}
	bundle := filepath.Join(dir, "bundle")
	for _, d := range []string{"bin", "dev", "proc", "sys", "tmp"} {
		if err := os.MkdirAll(filepath.Join(bundle, "rootfs", d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	spec := Example()
	spec.Process.Args, spec.Process.Terminal = append([]string{"/bin/busybox"}, args...), false
	text, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"rootfs/bin/busybox": data, "config.json": text} {
		if err := os.WriteFile(filepath.Join(bundle, name), data, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return &life{
		Root: &Root{Dir: filepath.Join(dir, "root"), Systemd: systemd, Warn: func(text string) { t.Log(text) }},
		o:    CreateOptions{Bundle: bundle, Program: program},
	}
}

// is fails unless the container comes to be in a state.
func (l *life) is(t *testing.T, id string, want Status) *State {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		s, err := l.State(id)
		if err != nil {
			t.Fatal(err)
		}
		if s.Status == want {
			return s
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s instead of %s", s.Status, want)
		}
	}
}

func TestLife(t *testing.T) { testLife(t, false) }

// TestLifeBySystemd has systemd make the group.
func TestLifeBySystemd(t *testing.T) {
	if !cgroup.Systemd() {
		t.Skip("no systemd here")
	}
	testLife(t, true)
}

func testLife(t *testing.T, systemd bool) {
	ctx := t.Context()
	// Process 1 stays our child: somebody has to reap it.
	l := newLife(t, systemd, "sleep", "1000")
	if err := l.Create(ctx, "one", &l.o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Delete(t.Context(), "one", true) })
	s := l.is(t, "one", Created)
	if err := l.Create(ctx, "one", &l.o); !errdefs.IsAlreadyExists(err) {
		t.Error(err)
	}
	if err := l.Start(ctx, "one"); err != nil {
		t.Fatal(err)
	}
	l.is(t, "one", Running)
	if pids, err := l.Processes("one"); err != nil || len(pids) != 1 || pids[0] != s.Pid {
		t.Errorf("%v, %v", pids, err)
	}
	limit := int64(32 << 20)
	limits := &cgroup.Resources{Pids: nil}
	limits.Memory = memoryLimit(limit)
	if err := l.Update(ctx, "one", limits); err != nil {
		t.Error(err)
	}
	if e, err := l.Stats("one"); err != nil || e.Data.Memory.Usage.Limit != uint64(limit) {
		t.Errorf("%+v, %v", e, err)
	}
	if err := l.Pause(ctx, "one"); err != nil {
		t.Error(err)
	}
	l.is(t, "one", Paused)
	if err := l.Resume(ctx, "one"); err != nil {
		t.Error(err)
	}
	if err := l.Delete(ctx, "one", false); !errdefs.IsFailedPrecondition(err) {
		t.Error(err)
	}
	if err := l.Kill(ctx, "one", syscall.SIGKILL, false); err != nil {
		t.Error(err)
	}
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(s.Pid, &status, 0, nil); err != nil || status.Signal() != syscall.SIGKILL {
		t.Errorf("%v, %v", status, err)
	}
	l.is(t, "one", Stopped)
	if err := l.Kill(ctx, "one", syscall.SIGTERM, false); !NotRunning(err) {
		t.Error(err)
	}
	if err := l.Delete(ctx, "one", false); err != nil {
		t.Error(err)
	}
	if _, err := l.State("one"); !errdefs.IsNotFound(err) {
		t.Error(err)
	}
	if ids, err := l.IDs(); err != nil || len(ids) != 0 {
		t.Errorf("%v, %v", ids, err)
	}
}

// TestBegun: a container whose maker was killed at the worst moments.
func TestBegun(t *testing.T) {
	ctx := t.Context()
	l := newLife(t, false, "sleep", "1000")
	if err := os.MkdirAll(filepath.Join(l.Dir, "one"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := l.Create(ctx, "one", &l.o); !errdefs.IsAlreadyExists(err) {
		t.Error(err)
	}
	if _, err := l.State("one"); !errdefs.IsNotFound(err) {
		t.Error(err)
	}
	if err := l.Delete(ctx, "one", true); err != nil {
		t.Error(err)
	}
	// Process 1 is ready, and the record does not say so.
	if err := l.Create(ctx, "one", &l.o); err != nil {
		t.Fatal(err)
	}
	c, err := l.hold("one")
	if err != nil {
		t.Fatal(err)
	}
	c.Ready = false
	pid := c.Pid
	if err := errors.Join(c.write(), c.Close()); err != nil {
		t.Fatal(err)
	}
	l.is(t, "one", Creating)
	if err := l.Start(ctx, "one"); !errdefs.IsFailedPrecondition(err) {
		t.Error(err)
	}
	go func(pid int) { _, _ = syscall.Wait4(pid, nil, 0, nil) }(pid) // ours to reap; ends with Delete
	if err := l.Delete(ctx, "one", true); err != nil {
		t.Error(err)
	}
	// Another process has the number now.
	if err := l.Create(ctx, "one", &l.o); err != nil {
		t.Fatal(err)
	}
	if c, err = l.hold("one"); err != nil {
		t.Fatal(err)
	}
	pid = c.Pid
	c.Pid, c.StartTime = os.Getpid(), 1
	if err := errors.Join(c.write(), c.Close()); err != nil {
		t.Fatal(err)
	}
	l.is(t, "one", Stopped)
	if err := l.Kill(ctx, "one", syscall.SIGKILL, false); !NotRunning(err) {
		t.Error(err)
	}
	go func() { _, _ = syscall.Wait4(pid, nil, 0, nil) }()
	if err := l.Delete(ctx, "one", true); err != nil {
		t.Error(err)
	}
	if _, err := task.OpenFilesLimit(os.Getpid()); err != nil {
		t.Error("we were killed")
	}
}

func TestIDs(t *testing.T) {
	for id, ok := range map[string]bool{
		"a": true, "A-b_c.d+1": true, "": false, ".": false, "..": false, "a/b": false, "a b": false, "é": false, "a\n": false,
	} {
		if err := validID(id); (err == nil) != ok {
			t.Errorf("%q: %v", id, err)
		}
	}
}

func TestVersions(t *testing.T) {
	for v, ok := range map[string]bool{
		"1.0.2": true, "1.3.0": true, "1.0.2-dev": true, "1.2.1+x": true, "0.2.0": true,
		"": false, "1": false, "1.0": false, "2.0.0": false, "1.0.x": false, "1..0": false, "v1.0.0": false,
	} {
		if validVersion(v) != ok {
			t.Errorf("%q: %v", v, !ok)
		}
	}
}

func memoryLimit(n int64) *specs.LinuxMemory { return &specs.LinuxMemory{Limit: &n} }
