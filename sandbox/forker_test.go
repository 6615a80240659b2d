package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// forker runs the guest with args.
func (s *Sandbox) forkerTest(t testing.TB, args ...string) *Forker {
	t.Helper()
	f, err := s.Forker(t.Context(), execSpec("", args...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	return f
}

// gone waits until the process that forks is reaped: before, it waits for what it
// runs.
func (f *Forker) gone(t testing.TB) {
	t.Helper()
	for range 5000 {
		if _, err := os.Stat(fmt.Sprint("/proc/", f.pid)); errors.Is(err, os.ErrNotExist) {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Errorf("process %d stays", f.pid)
}

func TestForker(t *testing.T) {
	s := host(t, newRuntime(t, Options{}), "host")
	f := s.forkerTest(t, "echo", "out", "err")
	for range 3 {
		if code, out, err := f.Run(t.Context(), 100); code != 0 || out != "out\nerr\n" || err != nil {
			t.Errorf("%d, %q, %v", code, out, err)
		}
	}
	if _, out, err := f.Run(t.Context(), 2); out != "ou" || err != nil {
		t.Errorf("%q, %v", out, err)
	}
	// It is no process of the container's.
	if pids, err := s.Pids(); err != nil || !slices.Equal(pids, []int{s.Pid()}) {
		t.Errorf("processes %v, %v", pids, err)
	}
	f.Close()
	f.gone(t)
	f = s.forkerTest(t, "exit", "7")
	if code, _, err := f.Run(t.Context(), 100); code != 7 || err != nil {
		t.Errorf("%d, %v", code, err)
	}
	f.Close()
	if _, _, err := f.Run(t.Context(), 100); err == nil {
		t.Error("a closed one runs")
	}
}

// TestForkerLong: what runs for long is seen, says much, and is killed at the end
// of the context.
func TestForkerLong(t *testing.T) {
	s := host(t, newRuntime(t, Options{}), "host")
	const n = 1 << 20 // more than a pipe holds
	f := s.forkerTest(t, "spew", fmt.Sprint(n))
	if code, out, err := f.Run(t.Context(), 4096); code != 0 || len(out) != 4096 || err != nil {
		t.Errorf("%d, %d bytes, %v", code, len(out), err)
	}
	if pid := f.Pid(); pid != 0 {
		t.Errorf("%d runs", pid)
	}
	f = s.forkerTest(t, "wait")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		for f.Pid() == 0 && ctx.Err() == nil {
			time.Sleep(time.Millisecond)
		}
		for ctx.Err() == nil {
			if f.Pid() != 0 {
				cancel()
			}
		}
	}()
	if _, _, err := f.Run(ctx, 100); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	f.Close()
	f.gone(t)
	if pids, err := s.Pids(); err != nil || !slices.Equal(pids, []int{s.Pid()}) {
		t.Errorf("processes %v, %v", pids, err)
	}
}

// TestForkerRefuses: where a process of ours could be looked into, and where
// there is nothing to join, there is none.
func TestForkerRefuses(t *testing.T) {
	r := newRuntime(t, Options{})
	s := host(t, r, "host")
	for _, name := range []string{"CAP_SYS_PTRACE", "CAP_SYS_ADMIN"} {
		spec := execSpec("", "exit", "0")
		spec.Process.Capabilities = &specs.LinuxCapabilities{Bounding: []string{name}}
		if _, err := s.Forker(t.Context(), spec); !errdefs.IsNotImplemented(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	spec := execSpec("", "x")
	spec.Process.Args = []string{"/nosuch/program"}
	f, err := s.Forker(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.Run(t.Context(), 100); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("%v", err)
	}
	f.Close()
	// It ends with the container, whose groups would stay otherwise.
	f = s.forkerTest(t, "exit", "0")
	if err := s.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.waitTest(t)
	if _, err := os.Stat(fmt.Sprint("/proc/", f.pid)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it outlives the container: %v", err)
	}
	if _, err := s.Forker(t.Context(), execSpec("", "exit", "0")); err == nil {
		t.Error("there is one in a container that has ended")
	}
}
