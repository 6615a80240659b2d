package sandbox

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/berth-engine/berth/sandbox/logblock"
)

var both = AttachOptions{Stdout: true, Stderr: true}

// output reads a stream to its end, apart by stream.
func output(t testing.TB, st *Stream) (out, err string) {
	t.Helper()
	var b [3]bytes.Buffer
	for {
		stream, data, e := st.Next()
		if errors.Is(e, io.EOF) {
			return b[1].String(), b[2].String()
		}
		if e != nil {
			t.Fatal(e)
		}
		b[stream].Write(data)
	}
}

// said waits until something is in the log: from then on the monitor has it open.
func said(t testing.TB, b *Bundle) {
	t.Helper()
	for deadline := time.Now().Add(answerWithin); len(logged(t, b.LogDir)) == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("nothing is logged")
		}
	}
}

func logged(t testing.TB, dir string) []string {
	t.Helper()
	r, err := logblock.Open(dir, logblock.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var lines []string
	for {
		e, err := r.Next(t.Context())
		if errors.Is(err, io.EOF) {
			return lines
		}
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, fmt.Sprintf("%d %s", e.Stream, e.Line))
	}
}

func TestRun(t *testing.T) {
	r := newRuntime(t, Options{})
	b := bundle(t, "run", "echo", "hello", "world")
	s := r.launch(t, b)
	if s.Running() || s.Pid() == 0 {
		t.Errorf("created: running %v, pid %d", s.Running(), s.Pid())
	}
	st := s.attachTest(t, both)
	if _, err := ReadExit(b.StateDir); !errdefs.IsNotFound(err) {
		t.Errorf("exit record before the exit: %v", err)
	}
	s.startTest(t)
	if out, err := output(t, st); out != "hello\n" || err != "world\n" {
		t.Errorf("output %q, %q", out, err)
	}
	e := s.waitTest(t)
	if e.Code != 0 || e.StartedAt.IsZero() || e.FinishedAt.Before(e.StartedAt) || !s.StartedAt().Equal(e.StartedAt) {
		t.Errorf("exit %+v", e)
	}
	rec, err := ReadExit(b.StateDir)
	if err != nil || rec.Instance != s.Instance() || !rec.FinishedAt.Equal(e.FinishedAt) {
		t.Errorf("record %+v, %v; exit %+v", rec, err, e)
	}
	lines := logged(t, b.LogDir)
	slices.Sort(lines)
	if !slices.Equal(lines, []string{"1 hello", "2 world"}) {
		t.Errorf("log %q", lines)
	}
	late := s.attachTest(t, both)
	if out, _ := output(t, late); out != "" {
		t.Errorf("after the end: %q", out)
	}
	if err := s.Signal(t.Context(), syscall.SIGTERM); !errdefs.IsNotFound(err) {
		t.Errorf("signal after the end: %v", err)
	}
}

// TestOutputAfterStart: whoever asks for the output since the start gets all of
// it.
func TestOutputAfterStart(t *testing.T) {
	r := newRuntime(t, Options{})
	for range 10 {
		b := bundle(t, "since", "echo", "out", "err")
		s := r.launch(t, b)
		s.startTest(t)
		e := s.waitTest(t)
		log, err := logblock.Open(b.LogDir, logblock.ReadOptions{Since: e.StartedAt})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if _, err := log.Next(t.Context()); err != nil {
				t.Errorf("since %v: %v", e.StartedAt, err)
			}
		}
		if err := errors.Join(log.Close(), s.Remove(t.Context())); err != nil {
			t.Fatal(err)
		}
	}
}

func TestExitCodes(t *testing.T) {
	r := newRuntime(t, Options{})
	for _, tc := range []struct {
		name         string
		args         []string
		sig          syscall.Signal
		code, signal int
	}{
		{"code", []string{"exit", "7"}, 0, 7, 0},
		{"caught", []string{"wait"}, syscall.SIGTERM, 15, 0},
		{"killed", []string{"sleep"}, syscall.SIGKILL, 137, 9},
	} {
		s := r.launch(t, bundle(t, tc.name, tc.args...))
		st := s.attachTest(t, both)
		s.startTest(t)
		if tc.sig != 0 {
			if _, data, err := st.Next(); err != nil || string(data) != "ready\n" {
				t.Fatalf("%s: %q, %v", tc.name, data, err)
			}
			if !s.Running() {
				t.Errorf("%s: not running", tc.name)
			}
			if err := s.Signal(t.Context(), tc.sig); err != nil {
				t.Fatal(err)
			}
		}
		if e := s.waitTest(t); e.Code != tc.code || e.Signal != tc.signal || s.Running() {
			t.Errorf("%s: %+v, running %v", tc.name, e, s.Running())
		}
	}
}

func TestStartErrors(t *testing.T) {
	r := newRuntime(t, Options{})
	for _, tc := range []struct {
		arg  string
		code int
		text string
	}{
		{"nosuch", 127, "executable file not found in $PATH"},
		{"/nosuch", 127, "no such file or directory"},
		{"/etc/passwd", 126, "permission denied"},
		{"/etc", 126, ""},
	} {
		b := bundle(t, "bad")
		b.Spec.Process.Args = []string{tc.arg}
		s := r.launch(t, b)
		st := s.attachTest(t, both)
		err := s.Start(t.Context())
		e := (*StartError)(nil)
		if !errors.As(err, &e) || e.ExitCode != tc.code || !strings.Contains(e.Text, tc.text) {
			t.Errorf("%s: %v", tc.arg, err)
		}
		rec, rerr := ReadExit(b.StateDir)
		if rerr != nil || rec.Code != tc.code || !rec.StartedAt.IsZero() || rec.Reason == "" {
			t.Errorf("%s: record %+v, %v", tc.arg, rec, rerr)
		}
		if out, _ := output(t, st); out != "" {
			t.Errorf("%s: output %q", tc.arg, out)
		}
		if err := s.Remove(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// TestLaunchErrors leaves nothing behind, which newRuntime checks.
func TestLaunchErrors(t *testing.T) {
	r := newRuntime(t, Options{})
	for name, spoil := range map[string]func(b *Bundle){
		"id":     func(b *Bundle) { b.ID = "../x" },
		"spec":   func(b *Bundle) { b.Spec.Process.Cwd = "relative" },
		"mount":  func(b *Bundle) { b.Spec.Mounts[0].Type = "nosuchfs" },
		"log":    func(b *Bundle) { b.LogDir += "/nosuch" },
		"cgroup": func(b *Bundle) { b.Spec.Linux.CgroupsPath = "/a/../b" },
		"state":  func(b *Bundle) { b.StateDir = "" },
	} {
		b := bundle(t, "fails", "exit", "0")
		spoil(b)
		if s, err := r.Launch(t.Context(), b); err == nil {
			t.Errorf("%s: launched", name)
			s.finishTest(t)
		} else {
			t.Logf("%s: %v", name, err)
		}
	}
	s := r.launch(t, bundle(t, "twice", "exit", "0"))
	if _, err := r.Launch(t.Context(), bundle(t, "twice", "exit", "0")); !errdefs.IsAlreadyExists(err) {
		t.Errorf("twice: %v", err)
	}
	if err := s.Remove(t.Context()); !errdefs.IsFailedPrecondition(err) {
		t.Errorf("remove while it lives: %v", err)
	}
}

// TestKilledBeforeStart ends a container that never ran.
func TestKilledBeforeStart(t *testing.T) {
	r := newRuntime(t, Options{})
	s := r.launch(t, bundle(t, "early", "echo", "never"))
	if err := s.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	if e := s.waitTest(t); e.Code != 137 || !e.StartedAt.IsZero() {
		t.Errorf("%+v", e)
	}
	if err := s.Start(t.Context()); err == nil {
		t.Error("started after its end")
	}
}

// TestRelaunch uses an ID again, with the old sandbox not removed, and then
// removes the old one: that must not touch the new.
func TestRelaunch(t *testing.T) {
	r := newRuntime(t, Options{})
	old := r.launch(t, bundle(t, "again", "exit", "1"))
	old.startTest(t)
	old.waitTest(t)
	b := bundle(t, "again", "wait")
	s := r.launch(t, b)
	st := s.attachTest(t, both)
	s.startTest(t)
	if err := old.Remove(t.Context()); err != nil {
		t.Fatal(err)
	}
	expect(t, st, "ready\n")
	if err := s.Signal(t.Context(), syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	output(t, st)
	if e := s.waitTest(t); e.Instance == old.Instance() {
		t.Errorf("%+v", e)
	}
}

func TestStdin(t *testing.T) {
	r := newRuntime(t, Options{})
	b := bundle(t, "stdin", "cat")
	b.OpenStdin, b.StdinOnce = true, true
	s := r.launch(t, b)
	st := s.attachTest(t, AttachOptions{Stdin: true, Stdout: true})
	s.startTest(t)
	input := strings.Repeat("what comes in goes out\n", 50000)
	go func() {
		_, _ = io.WriteString(st, input) // an error shows in the output
		_ = st.CloseWrite()
	}()
	if out, _ := output(t, st); out != input+"EOF" {
		t.Errorf("got %d bytes of %d", len(out), len(input)+3)
	}
	s.waitTest(t)

	// Without StdinOnce the input outlives who wrote it.
	b = bundle(t, "stdin2", "cat")
	b.OpenStdin = true
	s = r.launch(t, b)
	watch := s.attachTest(t, both)
	s.startTest(t)
	for _, text := range []string{"one", "two"} {
		w := s.attachTest(t, AttachOptions{Stdin: true})
		if _, err := io.WriteString(w, text); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if _, data, err := watch.Next(); err != nil || string(data) != text {
			t.Errorf("%q, %v; want %q", data, err, text)
		}
	}
	if !s.Running() {
		t.Error("ended with its input's writers")
	}

	// Without OpenStdin there is none.
	s = r.launch(t, bundle(t, "stdin3", "cat"))
	st = s.attachTest(t, AttachOptions{Stdin: true, Stdout: true})
	s.startTest(t)
	if out, _ := output(t, st); out != "EOF" {
		t.Errorf("output %q", out)
	}
}

func TestTerminal(t *testing.T) {
	r := newRuntime(t, Options{})
	b := bundle(t, "tty", "size")
	b.Spec.Process.Terminal, b.Spec.Process.ConsoleSize = true, &specs.Box{Height: 11, Width: 22}
	b.OpenStdin = true
	s := r.launch(t, b)
	st := s.attachTest(t, AttachOptions{Stdin: true, Stdout: true})
	s.startTest(t)
	expect(t, st, "size 11 22 0\r\n")
	if err := s.Resize(t.Context(), 33, 44); err != nil {
		t.Fatal(err)
	}
	expect(t, st, "size 33 44 0\r\n")
	if _, err := st.Write([]byte{3}); err != nil { // Ctrl-C
		t.Fatal(err)
	}
	output(t, st)
	if e := s.waitTest(t); e.Code != 2 && e.Code != 130 {
		t.Errorf("%+v", e)
	}
	plain := r.launch(t, bundle(t, "notty", "exit", "0"))
	if err := plain.Resize(t.Context(), 1, 1); !errdefs.IsFailedPrecondition(err) {
		t.Errorf("resize without a terminal: %v", err)
	}
}

func expect(t testing.TB, st *Stream, want string) {
	t.Helper()
	var got string
	for len(got) < len(want) {
		_, data, err := st.Next()
		if err != nil {
			t.Fatalf("%q, then %v; want %q", got, err, want)
		}
		got += string(data)
	}
	if got != want {
		t.Fatalf("got %q; want %q", got, want)
	}
}

// TestLeftChild: output that a child of process 1 holds open does not delay
// the end, in a pid namespace of its own or not.
func TestLeftChild(t *testing.T) {
	r := newCrashRuntime(t)
	for i, own := range []bool{true, false} {
		b := bundle(t, fmt.Sprint("left", i), "child")
		if !own {
			b.Spec.Linux.Namespaces = b.Spec.Linux.Namespaces[1:] // the host's pids
		}
		s := r.launch(t, b)
		st := s.attachTest(t, both)
		s.startTest(t)
		if e := s.waitTest(t); e.Code != 0 {
			t.Errorf("own %v: %+v", own, e)
		}
		if out, _ := output(t, st); !strings.HasPrefix(out, "left\n") && !strings.HasSuffix(out, "left\n") {
			t.Errorf("own %v: output %q", own, out)
		}
		if pids, err := s.Pids(); err != nil || len(pids) > 0 {
			t.Errorf("own %v: left %v, %v", own, pids, err)
		}
	}
}

func TestOOM(t *testing.T) {
	r := newRuntime(t, Options{})
	b := bundle(t, "oom", "eat")
	limit := int64(24 << 20)
	b.Spec.Linux.Resources = &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &limit}}
	s := r.launch(t, b)
	s.startTest(t)
	if e := s.waitTest(t); !e.OOMKilled || e.Code != 137 {
		t.Errorf("%+v", e)
	}
}

func TestManyAtOnce(t *testing.T) {
	r := newRuntime(t, Options{})
	var wg sync.WaitGroup
	for i := range 32 {
		b := bundle(t, fmt.Sprint("many", i), "echo", fmt.Sprint(i))
		wg.Go(func() {
			s, err := r.Launch(t.Context(), b)
			if err != nil {
				t.Error(err)
				return
			}
			defer s.finishTest(t)
			st := s.attachTest(t, both)
			if err := s.Start(t.Context()); err != nil {
				t.Error(err)
				return
			}
			if out, _ := output(t, st); out != fmt.Sprint(i, "\n") {
				t.Errorf("%d: %q", i, out)
			}
			if e, err := s.Wait(t.Context()); err != nil || e.Code != 0 {
				t.Errorf("%d: %+v, %v", i, e, err)
			}
		})
	}
	wg.Wait()
}

// TestRemoveAndLaunch uses one ID again and again: whoever launches need not
// wait for what Remove does in the background.
func TestRemoveAndLaunch(t *testing.T) {
	r := newRuntime(t, Options{})
	for i := range 8 {
		b := bundle(t, "again", "exit", fmt.Sprint(i))
		s, err := r.Launch(t.Context(), b)
		if err != nil {
			t.Fatal(err)
		}
		s.startTest(t)
		if e := s.waitTest(t); e.Code != i {
			t.Errorf("%+v", e)
		}
		for range 2 {
			if err := s.Remove(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if ids, err := r.IDs(); err != nil || len(ids) > 0 {
			t.Errorf("%q, %v", ids, err)
		}
		if i%2 == 0 {
			if err := s.removed(t.Context()); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(r.dir("again")); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("left: %v", err)
			}
		}
	}
}
