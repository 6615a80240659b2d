package sandbox

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/berth-engine/berth/kernel/ns"
)

// restless is a calm after which a rest comes at once.
const restless = 10 * time.Millisecond

// resting tells whether the monitor rests, and has got as far as its name.
func resting(s *Sandbox) bool {
	exe, _ := os.Readlink(fmt.Sprintf("/proc/%d/exe", s.process.pid))
	comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", s.process.pid))
	return strings.HasPrefix(exe, "/memfd:rest") && string(comm) == "berth-monitor\n"
}

// rests waits until the monitor rests.
func (s *Sandbox) rests(t testing.TB) {
	t.Helper()
	if runtime.GOARCH != "amd64" {
		t.Skip("there is no rest on this processor")
	}
	for deadline := time.Now().Add(answerWithin); !resting(s); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the monitor does not rest")
		}
	}
}

// TestRest: a monitor that rests is the same process, of next to no memory, and
// awake again it knows what it knew.
func TestRest(t *testing.T) {
	r := newRuntime(t, Options{Calm: restless})
	b := bundle(t, "rest", "lines")
	b.OpenStdin = true
	s := r.launch(t, b)
	streams := AttachOptions{Stdin: true, Stdout: true, Stderr: true}
	st := s.attachTest(t, streams)
	s.startTest(t)
	expect(t, st, "line 0\n")
	var open []string
	for i := range 4 {
		if err := st.Close(); err != nil {
			t.Fatal(err)
		}
		s.rests(t)
		atRest(t, s)
		if files := links(t, s.process.pid); i == 0 {
			open = files
		} else if len(files) != len(open) {
			t.Errorf("descriptors at rest: %q; before %q", files, open)
		}
		st = s.attachTest(t, streams)
		if resting(s) {
			t.Error("it serves at rest")
		}
		asks(t, st)
		expect(t, st, fmt.Sprintf("line %d\n", i+1))
	}
	_ = st.Close()
	s.rests(t)
	if err := s.Signal(t.Context(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	e := s.waitTest(t)
	if e.Signal != 9 || !e.StartedAt.Equal(s.StartedAt()) {
		t.Errorf("%+v; started at %v", e, s.StartedAt())
	}
	if rec, err := ReadExit(b.StateDir); err != nil || rec.Instance != s.Instance() || rec.Signal != 9 {
		t.Errorf("record %+v, %v", rec, err)
	}
	if lines := logged(t, b.LogDir); !slices.Equal(lines, []string{"1 line 0", "1 line 1", "1 line 2", "1 line 3", "1 line 4"}) {
		t.Errorf("log %q", lines)
	}
}

// atRest looks at a process that rests.
func atRest(t testing.TB, s *Sandbox) {
	t.Helper()
	pid := s.process.pid
	if kb := status(t, pid, "VmRSS:"); kb > 64 {
		t.Errorf("%d kB at rest", kb)
	}
	if start, _, err := ns.ProcessState(pid); err != nil || start != s.process.start {
		t.Errorf("start time %d, %v; before %d", start, err, s.process.start)
	}
	if parent, _, err := ns.ProcessParent(s.Pid()); err != nil || parent != pid {
		t.Errorf("process 1 is a child of %d, %v", parent, err)
	}
	for _, sig := range []syscall.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2} {
		if err := syscall.Kill(pid, sig); err != nil {
			t.Error(err)
		}
	}
}

// TestRestWakes: what happens to the container at rest is seen.
func TestRestWakes(t *testing.T) {
	r := newRuntime(t, Options{Calm: restless})
	for _, terminal := range []bool{false, true} {
		id := fmt.Sprint("wakes-", terminal)
		b := bundle(t, id, "size")
		b.Spec.Process.Terminal = terminal
		s := r.launch(t, b)
		s.startTest(t)
		for n := 1; n <= 2; n++ {
			for deadline := time.Now().Add(answerWithin); len(logged(t, b.LogDir)) < n; time.Sleep(time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatalf("%s: after %d of 2 lines: %q", id, n-1, logged(t, b.LogDir))
				}
			}
			s.rests(t)
			if n == 1 {
				if err := syscall.Kill(s.Pid(), syscall.SIGWINCH); err != nil { // not by way of the monitor
					t.Fatal(err)
				}
			}
		}
		if terminal {
			if err := s.Resize(t.Context(), 7, 8); err != nil {
				t.Fatal(err)
			}
			s.rests(t)
		}
		if err := syscall.Kill(s.Pid(), syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if e := s.waitTest(t); e.Code != 2 && e.Signal != 15 { // Go's own way to end
			t.Errorf("%s: %+v", id, e)
		}
		if terminal && !slices.Contains(logged(t, b.LogDir), "1 size 7 8 0\r") && !slices.Contains(logged(t, b.LogDir), "1 size 7 8 0") {
			t.Errorf("%s: log %q", id, logged(t, b.LogDir))
		}
	}
}

// TestRestSilent: what is said first after a rest is in the log.
func TestRestSilent(t *testing.T) {
	r := newRuntime(t, Options{Calm: restless})
	b := bundle(t, "silent", "cat")
	b.OpenStdin = true
	s := r.launch(t, b)
	s.startTest(t)
	s.rests(t)
	if names, err := os.ReadDir(b.LogDir); err != nil || len(names) != 0 {
		t.Errorf("nothing was said, and the log has %v, %v", names, err)
	}
	st := s.attachTest(t, AttachOptions{Stdin: true, Stdout: true})
	for range 2 {
		asks(t, st)
		expect(t, st, "x")
		_ = st.Close()
		s.rests(t)
		st = s.attachTest(t, AttachOptions{Stdin: true, Stdout: true})
	}
	_ = st.Close()
	if err := s.Signal(t.Context(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	s.waitTest(t)
	if lines := logged(t, b.LogDir); !slices.Equal(lines, []string{"1 xx"}) {
		t.Errorf("log %q", lines)
	}
}

// TestRestNot: a monitor with something to do does not rest: not before a client
// has left, and a further process has ended and was removed.
func TestRestNot(t *testing.T) {
	r := newRuntime(t, Options{Calm: restless})
	s := host(t, r, "restless")
	not := func(why string) {
		t.Helper()
		time.Sleep(20 * restless)
		if resting(s) {
			t.Errorf("it rests while %s", why)
		}
	}
	st := s.attachTest(t, both)
	not("a client is attached")
	_ = st.Close()
	s.rests(t)
	p := s.execTest(t, execSpec("e", "wait"))
	expect(t, p.Stream(), "ready\n")
	not("a further process runs")
	if err := p.Signal(t.Context(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if e, err := p.Wait(t.Context()); err != nil || e.Code != 15 {
		t.Errorf("%+v, %v", e, err)
	}
	not("a further process was not removed")
	p.finish(t)
	s.rests(t)
	for range 3 {
		p := s.execTest(t, execSpec("e", "exit", "3"))
		if e := p.finish(t); e.Code != 3 {
			t.Errorf("%+v", e)
		}
		s.rests(t)
	}
}

// TestRestForker: what a container's forker runs needs no monitor, and its end is
// seen.
func TestRestForker(t *testing.T) {
	s := host(t, newRuntime(t, Options{Calm: restless}), "rest-forker")
	f := s.forkerTest(t, "echo", "out")
	for range 3 {
		s.rests(t)
		if code, out, err := f.Run(t.Context(), 100); code != 0 || out != "out\n" || err != nil {
			t.Errorf("%d, %q, %v", code, out, err)
		}
	}
	f.Close()
	f.gone(t)
	s.rests(t)
}

// TestRestAdopted: the end of a daemon wakes nobody, and the next one finds the
// container.
func TestRestAdopted(t *testing.T) {
	root := t.TempDir()
	first, err := New(t.Context(), Options{ExecRoot: root, Binary: filepath.Join(programs, "berth-sandbox"), CgroupParent: parent(), Calm: restless})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- first.Run(ctx) }()
	b := bundle(t, "rest-adopted", "wait")
	s, err := first.Launch(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	s.startTest(t)
	s.rests(t)
	began := switches(t, s.process.pid)
	cancel()
	if err := <-ran; err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(answerWithin); switches(t, s.process.pid) == began; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it has not heard of the daemon's end")
		}
	}
	time.Sleep(10 * restless)
	if !resting(s) {
		t.Error("the daemon's end woke the monitor")
	}
	r := newRuntime(t, Options{ExecRoot: root})
	if !r.Runs(b.ID, s.Pid()) {
		t.Error("it does not run")
	}
	a, err := r.Adopt(t.Context(), b.ID, b.StateDir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.finishTest(t) })
	if !a.StartedAt().Equal(s.StartedAt()) || a.Pid() != s.Pid() {
		t.Errorf("adopted: %v, process %d; before %v, %d", a.StartedAt(), a.Pid(), s.StartedAt(), s.Pid())
	}
	a.rests(t)
	if err := a.Signal(t.Context(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if e := a.waitTest(t); e.Code != 15 {
		t.Errorf("%+v", e)
	}
}

// switches is how often a process has begun to wait.
func switches(t testing.TB, pid int) int { return status(t, pid, "voluntary_ctxt_switches:") }

// TestRestKilled: a monitor that is killed at rest takes its container along, as
// any.
func TestRestKilled(t *testing.T) {
	r := newCrashRuntime(t)
	r.o.Calm = restless
	b := bundle(t, "rest-killed", "sleep")
	s := r.launch(t, b)
	s.startTest(t)
	s.rests(t)
	if err := syscall.Kill(s.process.pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if e := s.waitTest(t); e.Code != 137 || e.Reason != reasonLost {
		t.Errorf("%+v", e)
	}
}
