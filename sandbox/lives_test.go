package sandbox

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"

	"github.com/berth-engine/berth/kernel/ns"
	"github.com/berth-engine/berth/sandbox/monitor"
)

// newKeeper makes a runtime that starts no monitor ahead: it runs only once the
// test is over, to be ended.
func newKeeper(t *testing.T) *Runtime {
	t.Helper()
	r := newOne(t, Options{Warm: 2})
	t.Cleanup(func() { running(t, r) })
	return r
}

// life runs a container from launch to removal.
func (r *Runtime) life(t *testing.T, b *Bundle) (monitor int) {
	t.Helper()
	s := r.launch(t, b)
	s.startTest(t)
	s.waitTest(t)
	if err := s.removed(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s.process.pid
}

// seen is what can be seen of a monitor without a container.
func seen(t *testing.T, pid int) []string {
	t.Helper()
	out := links(t, pid)
	for i, l := range out {
		out[i], _, _ = strings.Cut(l, "[") // the number of a socket
	}
	slices.Sort(out)
	kept := []string{"Umask", "Uid", "Gid", "Groups", "NStgid", "NSsid", "CapEff", "NoNewPrivs", "Seccomp", "SigIgn", "SigBlk"}
	for _, f := range []string{"status", "cgroup", "limits", "oom_score_adj", "timerslack_ns", "environ", "comm"} {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, f))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			name, _, _ := strings.Cut(line, ":")
			if f != "status" || slices.Contains(kept, name) {
				out = append(out, f+": "+strings.TrimSpace(line))
			}
		}
	}
	for _, kind := range []string{"cgroup", "ipc", "mnt", "net", "pid", "pid_for_children", "user", "uts"} {
		ns, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", pid, kind))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, ns)
	}
	return out
}

// TestMonitorKept: a monitor serves one container after another, and looks in
// between as one that was just started; not for ever.
func TestMonitorKept(t *testing.T) {
	r := newKeeper(t)
	fresh, err := r.startMonitor()
	if err != nil {
		t.Fatal(err)
	}
	want := seen(t, fresh.pid)
	r.pool.put(fresh)
	lives := 1
	for ; r.life(t, bundle(t, fmt.Sprint("life", lives), "exit", "3")) == fresh.pid; lives++ {
		if lives > 100 {
			t.Fatal("a monitor is kept for ever")
		}
		p := r.pool.takeKept()
		if p == nil {
			break
		}
		if _, err := greet(p.conn, ""); err != nil {
			t.Fatal(err)
		}
		r.pool.put(p)
		if got := seen(t, p.pid); !slices.Equal(got, want) {
			t.Fatalf("after %d lives, a monitor is\n%q\nand not\n%q", lives, got, want)
		}
	}
	if lives < 4 {
		t.Errorf("a monitor served %d containers", lives)
	}
}

// TestOutputOfKept: what a container says is its own's, whoever its monitor had before.
func TestOutputOfKept(t *testing.T) {
	r := newKeeper(t)
	first := 0
	for i := range 3 {
		b := bundle(t, fmt.Sprint("says", i), "lines")
		b.OpenStdin = true
		s := r.launch(t, b)
		if i == 0 {
			first = s.process.pid
		} else if s.process.pid != first {
			t.Errorf("monitor %d instead of %d", s.process.pid, first)
		}
		st := s.attachTest(t, AttachOptions{Stdin: true, Stdout: true})
		s.startTest(t)
		for line := range i + 1 {
			expect(t, st, fmt.Sprint("line ", line, "\n"))
			if line == i {
				break
			}
			if _, err := st.Write([]byte{'.'}); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Kill(t.Context()); err != nil {
			t.Fatal(err)
		}
		if e := s.waitTest(t); e.Code != 137 || e.Instance != s.Instance() {
			t.Errorf("%+v", e)
		}
		if n := len(logged(t, b.LogDir)); n != i+1 {
			t.Errorf("container %d has logged %d lines", i, n)
		}
		_ = st.Close()
		if err := s.removed(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// TestMonitorNotKept: monitors end that have had more than a container leaves
// nothing of, or are not let go.
func TestMonitorNotKept(t *testing.T) {
	r := newKeeper(t)
	for name, use := range map[string]func(*testing.T, *Bundle) *Sandbox{
		"a terminal": func(t *testing.T, b *Bundle) *Sandbox {
			b.Spec.Process.Terminal = true
			s := r.launch(t, b)
			s.startTest(t)
			return s
		},
		"a further process": func(t *testing.T, b *Bundle) *Sandbox {
			s := r.launch(t, b)
			st := s.attachTest(t, both)
			s.startTest(t)
			expect(t, st, "ready\n")
			s.execTest(t, execSpec("e", "exit", "0"))
			_ = st.Close()
			return s
		},
		"a client that stays": func(t *testing.T, b *Bundle) *Sandbox {
			s := r.launch(t, b)
			st := s.attachTest(t, both)
			s.startTest(t)
			expect(t, st, "ready\n")
			return s
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := use(t, bundle(t, "not-kept", "wait"))
			if err := s.Kill(t.Context()); err != nil {
				t.Fatal(err)
			}
			s.waitTest(t)
			if err := s.removed(t.Context()); err != nil {
				t.Fatal(err)
			}
			if p := r.pool.takeKept(); p != nil {
				t.Errorf("monitor %d was kept", p.pid)
				_ = p.end(true)
			}
			if start, ended, err := ns.ProcessState(s.process.pid); err == nil && !ended {
				t.Errorf("monitor %d, started at %d, has not ended", s.process.pid, start)
			}
		})
	}
}

// TestKeptIsKilled: a launch finds another monitor if the one that was kept is
// dead, and a crowd leaves none.
func TestKeptIsKilled(t *testing.T) {
	r := newKeeper(t)
	first := r.life(t, bundle(t, "one", "exit", "0"))
	p := r.pool.takeKept()
	if p == nil || p.pid != first {
		t.Fatalf("kept: %v", p)
	}
	if err := ns.PidfdSignal(p.pidfd, 9); err != nil {
		t.Fatal(err)
	}
	if err := monitor.Ended(p.pidfd); err != nil {
		t.Fatal(err)
	}
	r.pool.giveBack(p)
	if second := r.life(t, bundle(t, "two", "exit", "0")); second == first {
		t.Error("a dead monitor served")
	}
	for range mostKept + 2 {
		p, err := r.startMonitor()
		if err != nil {
			t.Fatal(err)
		}
		r.pool.giveBack(p)
	}
	if n := len(r.pool.kept); n != mostKept {
		t.Errorf("%d are kept", n)
	}
	if left := r.pool.trim(); left <= 0 {
		t.Error("they end while there is a crowd")
	}
	r.pool.took = r.pool.took.Add(-restock)
	if left := r.pool.trim(); left > 0 || len(r.pool.kept) > 0 {
		t.Errorf("%d stay when the crowd is over", len(r.pool.kept))
	}
}

// TestKeptAtTheSecondTry: a removal that fails when the monitor has let go of the
// container does not lose it.
func TestKeptAtTheSecondTry(t *testing.T) {
	r := newKeeper(t)
	s := r.launch(t, bundle(t, "twice", "exit", "0"))
	s.startTest(t)
	s.waitTest(t)
	if err := s.part(); err != nil {
		t.Fatal(err)
	}
	if err := s.removed(t.Context()); err != nil {
		t.Fatal(err)
	}
	p := r.pool.takeKept()
	if p == nil || p != s.process {
		t.Fatalf("kept: %v", p)
	}
	if _, err := greet(p.conn, ""); err != nil {
		t.Error(err)
	}
	r.pool.put(p)
}

// TestKeptByTheDead: a daemon that dies when a monitor has said that it stays, and
// before the container is taken away, leaves no monitor, and the next daemon finds the
// container's end.
func TestKeptByTheDead(t *testing.T) {
	r := newKeeper(t)
	b := bundle(t, "late", "exit", "3")
	s, err := r.Launch(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	s.startTest(t)
	s.waitTest(t)
	var answer monitor.Removed
	if err := s.callAs(t.Context(), seqRemove, monitor.OpRemove, &monitor.Remove{Keep: true}, &answer); err != nil || !answer.Kept {
		t.Fatalf("%+v, %v", answer, err)
	}
	<-s.gone
	if err := s.process.end(false); err != nil { // as the daemon's end does
		t.Fatal(err)
	}
	next := newOne(t, Options{ExecRoot: r.o.ExecRoot, Warm: -1})
	running(t, next)
	if _, err := next.Adopt(t.Context(), "late", b.StateDir); !errdefs.IsNotFound(err) {
		t.Errorf("adopted: %v", err)
	}
	if e, err := monitor.ReadExit(b.StateDir); err != nil || e.Code != 3 || e.Instance != s.Instance() {
		t.Errorf("%+v, %v", e, err)
	}
}
