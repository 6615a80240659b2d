package sandbox

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/berth-engine/berth/sandbox/monitor"
)

// execSpec runs the guest program with args, with its output connected.
func execSpec(id string, args ...string) *ExecSpec {
	return &ExecSpec{
		ID: id, Process: guestSpec(append([]string{"/bin/guest"}, args...)).Process, Linux: &specs.Linux{},
		Stdout: true, Stderr: true,
	}
}

// host is a running container.
func host(t testing.TB, r *Runtime, id string) *Sandbox {
	t.Helper()
	s := r.launch(t, bundle(t, id, "sleep"))
	s.startTest(t)
	return s
}

func (s *Sandbox) execTest(t testing.TB, spec *ExecSpec) *Process {
	t.Helper()
	p, err := s.Exec(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// finish waits for the end and forgets the process.
func (p *Process) finish(t testing.TB) ExecExit {
	t.Helper()
	e, err := p.Wait(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(p.Remove(t.Context()), p.closeStream()); err != nil {
		t.Error(err)
	}
	return e
}

func TestExec(t *testing.T) {
	s := host(t, newRuntime(t, Options{}), "host")
	p := s.execTest(t, execSpec("e", "echo", "out", "err"))
	if out, err := output(t, p.Stream()); out != "out\n" || err != "err\n" {
		t.Errorf("%q, %q", out, err)
	}
	if e := p.finish(t); e.Code != 0 || e.FinishedAt.IsZero() || p.StartedAt.IsZero() || p.Pid == 0 {
		t.Errorf("%+v, %+v", e, p)
	}
	if e := s.execTest(t, execSpec("e", "exit", "7")).finish(t); e.Code != 7 || e.Signal != 0 {
		t.Errorf("%+v", e)
	}
	p = s.execTest(t, execSpec("e", "wait"))
	expect(t, p.Stream(), "ready\n")
	if _, err := s.Exec(t.Context(), execSpec("e", "exit", "0")); !errdefs.IsConflict(err) {
		t.Errorf("a second process of that name: %v", err)
	}
	if err := p.Remove(t.Context()); !errdefs.IsFailedPrecondition(err) {
		t.Errorf("removed while it runs: %v", err)
	}
	if err := p.Resize(t.Context(), 1, 2); !errdefs.IsFailedPrecondition(err) {
		t.Errorf("resized without a terminal: %v", err)
	}
	if err := p.Signal(t.Context(), syscall.SIGUSR1); err != nil {
		t.Error(err)
	}
	if e, err := p.Wait(t.Context()); err != nil || e.Code != int(syscall.SIGUSR1) {
		t.Errorf("%+v, %v", e, err)
	}
	if err := p.Signal(t.Context(), syscall.SIGUSR1); !errdefs.IsNotFound(err) {
		t.Errorf("signal after the end: %v", err)
	}
	p.finish(t)
	if _, err := p.Wait(t.Context()); !errdefs.IsNotFound(err) {
		t.Errorf("wait after remove: %v", err)
	}
	if pids, err := s.Pids(); err != nil || len(pids) != 1 {
		t.Errorf("processes %v, %v", pids, err)
	}
}

// TestExecFlood: output is complete whatever the reader's speed, and as much
// input as one likes goes in.
func TestExecFlood(t *testing.T) {
	s := host(t, newRuntime(t, Options{}), "host")
	const n = 3 << 20
	p := s.execTest(t, execSpec("spew", "spew", fmt.Sprint(n)))
	h := sha256.New()
	if err := deframe(h, streamReader{p.Stream()}); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
	if e := p.finish(t); e.Code != 0 || sum(h) != want(n) {
		t.Errorf("%+v, %s instead of %s", e, sum(h), want(n))
	}
	spec := execSpec("cat", "cat")
	spec.Stdin = true
	p = s.execTest(t, spec)
	text := strings.Repeat("0123456789abcdef", 1<<16)
	go func() {
		_, err := io.WriteString(p.Stream(), text)
		if err := errors.Join(err, p.Stream().CloseWrite()); err != nil {
			t.Error(err)
		}
	}()
	if out, _ := output(t, p.Stream()); out != text+"EOF" {
		t.Errorf("%d bytes", len(out))
	}
	p.finish(t)
	// A reader that stays away neither delays the exit nor, when it leaves, the
	// program.
	p = s.execTest(t, execSpec("left", "spew", "3000000"))
	if err := p.closeStream(); err != nil {
		t.Error(err)
	}
	if e, err := p.Wait(t.Context()); err != nil || e.Code != 0 {
		t.Errorf("%+v, %v", e, err)
	}
}

// streamReader reads a Stream's frames as they are.
type streamReader struct{ s *Stream }

func (r streamReader) Read(p []byte) (int, error) { return r.s.r.Read(p) }

func TestExecTerminal(t *testing.T) {
	s := host(t, newRuntime(t, Options{}), "host")
	spec := execSpec("tty", "size")
	spec.Process.Terminal, spec.Stdin = true, true
	spec.Process.ConsoleSize = &specs.Box{Height: 10, Width: 20}
	p := s.execTest(t, spec)
	expect(t, p.Stream(), "size 10 20 0\r\n")
	if err := p.Resize(t.Context(), 30, 40); err != nil {
		t.Fatal(err)
	}
	expect(t, p.Stream(), "size 30 40 0\r\n")
	if _, err := p.Stream().Write([]byte{3}); err != nil { // ^C
		t.Fatal(err)
	}
	if e := p.finish(t); e.Code != 130 {
		t.Errorf("%+v", e)
	}
}

func TestExecErrors(t *testing.T) {
	r := newRuntime(t, Options{})
	b := bundle(t, "host", "sleep")
	s := r.launch(t, b)
	if _, err := s.Exec(t.Context(), execSpec("e", "exit", "0")); !errdefs.IsFailedPrecondition(err) {
		t.Errorf("before the start: %v", err)
	}
	s.startTest(t)
	said(t, b)
	before := descriptors(t, s.process.pid)
	for program, code := range map[string]int{"nosuch": 127, "/etc/passwd": 126} {
		spec := execSpec("e")
		spec.Process.Args = []string{program}
		_, err := s.Exec(t.Context(), spec)
		e := (*StartError)(nil)
		if !errors.As(err, &e) || e.ExitCode != code || !strings.Contains(e.Text, program) {
			t.Errorf("%s: %v", program, err)
		}
	}
	spec := execSpec("e", "exit", "0")
	spec.Process.Cwd = "/nosuch"
	if _, err := s.Exec(t.Context(), spec); err == nil || !strings.Contains(err.Error(), "chdir to cwd") {
		t.Errorf("%v", err)
	}
	spec.Process.Cwd = "nosuch"
	if _, err := s.Exec(t.Context(), spec); !errdefs.IsInvalidArgument(err) {
		t.Errorf("%v", err)
	}
	if after := descriptors(t, s.process.pid); after > before+2 { // the empty directory, the poller's
		t.Errorf("%d descriptors, then %d: %q", before, after, links(t, s.process.pid))
	}
	if err := s.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.waitTest(t)
	if _, err := s.Exec(t.Context(), execSpec("e", "exit", "0")); !errdefs.IsFailedPrecondition(err) {
		t.Errorf("after the end: %v", err)
	}
}

// TestExecEnds: with the container, also where that shares a pid namespace, and
// before the end of the container is known.
func TestExecEnds(t *testing.T) {
	r := newRuntime(t, Options{})
	for _, shared := range []bool{false, true} {
		b := bundle(t, fmt.Sprintf("shared-%v", shared), "wait")
		if shared {
			b.Spec.Linux.Namespaces = slices.DeleteFunc(b.Spec.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == specs.PIDNamespace })
		}
		s := r.launch(t, b)
		st := s.attachTest(t, both)
		s.startTest(t)
		expect(t, st, "ready\n")
		var all []*Process
		for i := range 5 {
			all = append(all, s.execTest(t, execSpec(fmt.Sprint(i), "sleep")))
		}
		expect(t, all[0].Stream(), "ready\n")
		if err := s.Signal(t.Context(), syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		s.waitTest(t)
		for _, p := range all {
			if err := syscall.Kill(p.Pid, 0); !errors.Is(err, syscall.ESRCH) {
				t.Errorf("process %d lives on (%v)", p.Pid, err)
			}
			if e := p.finish(t); e.Code != 137 || e.Signal != 9 {
				t.Errorf("shared %v: %+v", shared, e)
			}
		}
	}
}

// TestExecRaces: processes are made while the container ends, in any order.
func TestExecRaces(t *testing.T) {
	r := newRuntime(t, Options{})
	for i := range 10 {
		s := host(t, r, fmt.Sprintf("race-%d", i))
		var all sync.WaitGroup
		for n := range 6 {
			all.Go(func() {
				for k := 0; ; k++ {
					p, err := s.Exec(context.Background(), execSpec(fmt.Sprintf("%d-%d", n, k), "exit", "0"))
					if err != nil {
						if !errdefs.IsFailedPrecondition(err) {
							t.Errorf("%v", err)
						}
						return
					}
					if _, err := p.Wait(context.Background()); err != nil {
						t.Error(err)
					}
					_ = p.closeStream()
				}
			})
		}
		if err := s.execTest(t, execSpec("last", "exit", "0")).finish(t); err.Code != 0 && err.Code != 137 {
			t.Errorf("%+v", err)
		}
		if err := s.Kill(t.Context()); err != nil {
			t.Fatal(err)
		}
		all.Wait()
		s.waitTest(t)
	}
}

// TestExecThousand: a thousand leave nothing behind.
func TestExecThousand(t *testing.T) {
	s := host(t, newRuntime(t, Options{}), "host")
	count := 1000
	if testing.Short() {
		count = 100
	}
	run := func(n int) {
		var all sync.WaitGroup
		for k := range 4 {
			all.Go(func() {
				for i := range n / 4 {
					p, err := s.Exec(context.Background(), execSpec(fmt.Sprintf("%d-%d", k, i), "exit", "3"))
					if err != nil {
						t.Error(err)
						return
					}
					if e := p.finish(t); e.Code != 3 {
						t.Errorf("%+v", e)
					}
				}
			})
		}
		all.Wait()
	}
	run(40) // what is made once
	pid := s.process.pid
	fds, threads, memory := descriptors(t, pid), status(t, pid, "Threads:"), status(t, pid, "VmRSS:")
	run(count)
	for began := time.Now(); descriptors(t, pid) > fds; { // the last stream is just being closed
		if time.Since(began) > 10*time.Second {
			t.Fatalf("%d descriptors, then %q", fds, links(t, pid))
		}
		runtime.Gosched()
	}
	if n := status(t, pid, "Threads:"); n > threads+6 {
		t.Errorf("%d threads, then %d", threads, n)
	}
	if n := status(t, pid, "VmRSS:"); n > memory+8<<10 {
		t.Errorf("%d KiB resident, then %d", memory, n)
	}
	if list, err := s.Execs(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("%v, %v", list, err)
	}
	if pids, err := s.Pids(); err != nil || len(pids) != 1 {
		t.Errorf("processes %v, %v", pids, err)
	}
	if kids, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid)); err != nil || len(strings.Fields(string(kids))) > 1 {
		t.Errorf("children %q, %v", kids, err)
	}
}

// status is a number from /proc/PID/status.
func status(t testing.TB, pid int, field string) (n int) {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if v, ok := strings.CutPrefix(line, field); ok {
			if _, err := fmt.Sscan(v, &n); err != nil {
				t.Fatal(err)
			}
		}
	}
	return n
}

// TestExecAdopted: processes outlive the daemon, and the next one finds them.
func TestExecAdopted(t *testing.T) {
	root := t.TempDir()
	first, err := New(t.Context(), Options{ExecRoot: root, Binary: filepath.Join(programs, "berth-sandbox"), CgroupParent: parent()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error)
	go func() { ran <- first.Run(ctx) }()
	b := bundle(t, "host", "sleep")
	s, err := first.Launch(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	s.startTest(t)
	spec := execSpec("lives", "wait")
	spec.Note = `{"user":"zoë"}`
	p := s.execTest(t, spec)
	expect(t, p.Stream(), "ready\n")
	s.execTest(t, execSpec("ended", "exit", "5"))
	if e, err := s.execTest(t, execSpec("gone", "exit", "6")).Wait(t.Context()); err != nil || e.Code != 6 {
		t.Errorf("%+v, %v", e, err)
	}
	cancel()
	if err := <-ran; err != nil {
		t.Fatal(err)
	}
	_ = p.closeStream()

	r := newRuntime(t, Options{ExecRoot: root, Warm: -1})
	s, err = r.Adopt(t.Context(), "host", b.StateDir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.finishTest(t) })
	list, err := s.Execs(t.Context())
	if err != nil || len(list) != 3 || list[2].ID != "lives" || list[2].Note != spec.Note || list[2].Pid != p.Pid || !list[2].StartedAt.Equal(p.StartedAt) {
		t.Fatalf("%+v, %v", list, err)
	}
	if err := list[2].Signal(t.Context(), syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	for i, code := range []int{5, 6, int(syscall.SIGTERM)} {
		if e := list[i].finish(t); e.Code != code {
			t.Errorf("%s: %+v", list[i].ID, e)
		}
	}
}

// TestExecOldMonitor: one of version 1 says that it cannot, and that is told
// in words that help.
func TestExecOldMonitor(t *testing.T) {
	conn, theirs, err := monitor.Pair()
	if err != nil {
		t.Fatal(err)
	}
	peer, err := monitor.Pollable(theirs)
	if err != nil {
		t.Fatal(err)
	}
	theirs.Close()
	r := newRuntime(t, Options{Warm: -1})
	s := r.newSandbox(&instance{ID: "old"}, t.TempDir(), &process{conn: conn}, nil)
	old, err := monitor.NewConnOf(peer)
	if err != nil {
		t.Fatal(err)
	}
	var served sync.WaitGroup
	served.Go(func() { // what version 1 did with requests that it did not know
		for {
			m, files, err := old.Receive()
			if err != nil {
				return
			}
			for _, f := range files {
				f.Close()
			}
			_ = old.Send(&monitor.Message{Seq: m.Seq, Error: &monitor.Error{Kind: "not_implemented", Text: fmt.Sprintf("request %q: not implemented", m.Op)}})
		}
	})
	served.Go(func() {
		for {
			m, _, err := conn.Receive()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.calls[m.Seq] <- m
			s.mu.Unlock()
		}
	})
	_, err = s.Exec(t.Context(), execSpec("e", "exit", "0"))
	if !errdefs.IsNotImplemented(err) || !strings.Contains(err.Error(), "restart the container") {
		t.Errorf("%v", err)
	}
	if list, err := s.Execs(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("%v, %v", list, err)
	}
	_ = conn.Close()
	_ = old.Close()
	served.Wait()
}

func BenchmarkExec(b *testing.B) {
	s := host(b, newRuntime(b, Options{}), "host")
	for b.Loop() {
		p := s.execTest(b, execSpec("e", "exit", "0"))
		p.finish(b)
	}
}
