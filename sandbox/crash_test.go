package sandbox

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/containerd/errdefs"

	"github.com/berth-engine/berth/kernel/cgroup"
	"github.com/berth-engine/berth/kernel/mount"
	"github.com/berth-engine/berth/sandbox/monitor"
)

// daemon is a test process that launches containers and then waits to be
// killed. Its environment says where.
func daemon() {
	die := func(err error) {
		fmt.Fprintln(os.Stdout, "error", err)
		os.Exit(1)
	}
	root, state := os.Getenv(asDaemon), os.Getenv("BERTH_TEST_STATE")
	programs = os.Getenv("BERTH_TEST_PROGRAMS")
	r, err := New(context.Background(), Options{ExecRoot: root, Binary: filepath.Join(programs, "berth-sandbox"), CgroupParent: os.Getenv("BERTH_TEST_PARENT")})
	if err != nil {
		die(err)
	}
	go func() { die(r.Run(context.Background())) }()
	for _, id := range []string{"created", "running", "ended", "orphan"} {
		rootfs, err := mount.Overlay(mount.Layers{Lower: []string{filepath.Join(programs, "root")}})
		if err != nil {
			die(err)
		}
		dir := filepath.Join(state, id)
		if err := os.Mkdir(dir, 0o700); err != nil {
			die(err)
		}
		args := []string{"/bin/guest", "lines"}
		if id == "ended" {
			args = []string{"/bin/guest", "exit", "5"}
		}
		s, err := r.Launch(context.Background(), &Bundle{ID: id, Spec: guestSpec(args), Rootfs: rootfs, StateDir: dir, LogDir: dir, OpenStdin: true})
		if err != nil {
			die(err)
		}
		if id == "created" {
			continue
		}
		if err := s.Start(context.Background()); err != nil {
			die(err)
		}
		if id == "ended" {
			if _, err := s.Wait(context.Background()); err != nil {
				die(err)
			}
		}
	}
	fmt.Fprintln(os.Stdout, "ready")
	select {}
}

// TestDaemonKilled kills a daemon with SIGKILL; the next one takes over.
func TestDaemonKilled(t *testing.T) {
	r := newCrashRuntime(t)
	state := t.TempDir()
	killedDaemon(t, r.o.ExecRoot, state)
	ids, err := r.IDs()
	if err != nil || !slices.Equal(ids, []string{"created", "ended", "orphan", "running"}) {
		t.Fatalf("%q, %v", ids, err)
	}
	// What a look tells of a container, before anybody talks with its monitor.
	looks := func(id string) bool {
		i, err := r.readInstance(id)
		if err != nil {
			t.Fatal(err)
		}
		pid := 0
		if all := childrenOf(t, i.MonitorPid); len(all) > 0 {
			pid = all[0]
		}
		return r.Runs(id, pid)
	}
	if !looks("running") || looks("ended") || r.Runs("running", os.Getpid()) || r.Runs("running", 0) || r.Runs("none", os.Getpid()) {
		t.Error("a look tells something else than what is")
	}
	adopt := func(id string) *Sandbox {
		s, err := r.Adopt(t.Context(), id, filepath.Join(state, id))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.finishTest(t) })
		return s
	}
	s := adopt("running")
	if !s.Running() || s.Pid() == 0 || s.StartedAt().IsZero() {
		t.Errorf("running: %v, pid %d, since %v", s.Running(), s.Pid(), s.StartedAt())
	}
	st := s.attachTest(t, AttachOptions{Stdin: true, Stdout: true})
	for i := 1; i < 4; i++ {
		if _, err := st.Write([]byte{'.'}); err != nil {
			t.Fatal(err)
		}
		expect(t, st, fmt.Sprint("line ", i, "\n"))
	}
	if pids, err := s.Pids(); err != nil || !slices.Contains(pids, s.Pid()) {
		t.Errorf("pids %v, %v", pids, err)
	}
	if _, err := r.Adopt(t.Context(), "running", state); !errdefs.IsAlreadyExists(err) {
		t.Errorf("adopted twice: %v", err)
	}
	if err := s.Signal(t.Context(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	s.waitTest(t)
	if lines := logged(t, filepath.Join(state, "running")); !slices.Equal(lines, []string{"1 line 0", "1 line 1", "1 line 2", "1 line 3"}) {
		t.Errorf("log %q", lines)
	}

	c := adopt("created")
	if c.Running() {
		t.Error("created: running")
	}
	c.startTest(t)
	if !c.Running() {
		t.Error("started: not running")
	}

	if e := adopt("ended").waitTest(t); e.Code != 5 {
		t.Errorf("ended: %+v", e)
	}

	if !looks("orphan") {
		t.Error("orphan: does not run")
	}
	g, err := cgroup.Load(r.o.CgroupParent, "orphan")
	if err == nil {
		err = g.Freeze(t.Context())
	}
	if err != nil || looks("orphan") {
		t.Errorf("paused (%v), and looks as if it ran", err)
	}
	// Both the daemon and the monitor are dead.
	i, err := r.readInstance("orphan")
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(i.MonitorPid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Adopt(t.Context(), "orphan", filepath.Join(state, "orphan")); !errdefs.IsNotFound(err) {
		t.Errorf("orphan: %v", err)
	}
	if e, err := ReadExit(filepath.Join(state, "orphan")); err != nil || e.Code != 137 || e.Reason != reasonLost || e.Instance != i.Instance {
		t.Errorf("orphan: %+v, %v", e, err)
	}
	if _, err := r.Adopt(t.Context(), "orphan", state); !errdefs.IsNotFound(err) {
		t.Errorf("orphan again: %v", err)
	}
}

// killedDaemon runs a daemon to its violent end.
func killedDaemon(t *testing.T, root, state string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe")
	cmd.Env = append(os.Environ(), asDaemon+"="+root, "BERTH_TEST_STATE="+state, "BERTH_TEST_PROGRAMS="+programs, "BERTH_TEST_PARENT="+parent())
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || strings.TrimSpace(line) != "ready" {
		t.Errorf("daemon: %q, %v", line, err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
}

// TestMonitorKilled kills a monitor under a running container.
func TestMonitorKilled(t *testing.T) {
	r := newCrashRuntime(t)
	b := bundle(t, "lost", "sleep")
	s := r.launch(t, b)
	st := s.attachTest(t, both)
	s.startTest(t)
	expect(t, st, "ready\n")
	if err := syscall.Kill(s.process.pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	e := s.waitTest(t)
	if e.Code != 137 || e.Reason != reasonLost || e.StartedAt.IsZero() {
		t.Errorf("%+v", e)
	}
	if rec, err := ReadExit(b.StateDir); err != nil || rec.Reason != reasonLost {
		t.Errorf("record %+v, %v", rec, err)
	}
	if pids, err := s.Pids(); err != nil || len(pids) > 0 {
		t.Errorf("left %v, %v", pids, err)
	}
	if _, _, err := st.Next(); err == nil {
		t.Error("the stream goes on")
	}
	if err := s.Remove(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestIdleMonitorKilled: a launch takes another one.
func TestIdleMonitorKilled(t *testing.T) {
	r := newCrashRuntime(t) // the monitor's stage loses its parent
	p, err := r.startMonitor()
	if err != nil {
		t.Fatal(err)
	}
	r.pool.put(p)
	if err := syscall.Kill(p.pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := monitor.EndedWithin(p.pidfd, answerWithin); err != nil {
		t.Fatal(err)
	}
	s := r.launch(t, bundle(t, "spare", "exit", "0"))
	s.startTest(t)
	s.waitTest(t)
}

// TestRestart lets one runtime end and another take over in order.
func TestRestart(t *testing.T) {
	root := t.TempDir()
	first, err := New(t.Context(), Options{ExecRoot: root, Binary: filepath.Join(programs, "berth-sandbox"), CgroupParent: parent()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- first.Run(ctx) }()
	b := bundle(t, "lives", "wait")
	s, err := first.Launch(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	st := s.attachTest(t, both)
	s.startTest(t)
	expect(t, st, "ready\n")
	cancel()
	if err := <-ran; err != nil {
		t.Fatal(err)
	}
	if _, err := s.Wait(t.Context()); !errdefs.IsUnavailable(err) {
		t.Errorf("wait: %v", err)
	}
	if _, err := first.Launch(t.Context(), bundle(t, "late", "exit", "0")); !errdefs.IsUnavailable(err) {
		t.Errorf("launch: %v", err)
	}
	r := newRuntime(t, Options{ExecRoot: root})
	if _, err := r.Launch(t.Context(), bundle(t, "lives", "exit", "0")); !errdefs.IsAlreadyExists(err) {
		t.Errorf("launch of a living one: %v", err)
	}
	a, err := r.Adopt(t.Context(), "lives", b.StateDir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.finishTest(t) })
	if err := a.Signal(t.Context(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if e := a.waitTest(t); e.Code != 15 || e.Instance != s.Instance() {
		t.Errorf("%+v", e)
	}
}
