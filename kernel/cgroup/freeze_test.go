package cgroup

import (
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// counter starts a process in the group that answers each line it is sent, and
// returns a function that asks and one that tells whether there is an answer
// within a moment.
func counter(t *testing.T, g *Group) (cmd *exec.Cmd, ask func(), answered func(within time.Duration) bool) {
	t.Helper()
	cmd = exec.CommandContext(t.Context(), "cat")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	cmd.Stdout = w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()
	})
	for _, dir := range g.JoinDirs() {
		if err := write(dir, "cgroup.procs", strconv.Itoa(cmd.Process.Pid)); err != nil {
			t.Fatal(err)
		}
	}
	ask = func() {
		t.Helper()
		if _, err := io.WriteString(in, "x"); err != nil {
			t.Fatal(err)
		}
	}
	answered = func(within time.Duration) bool {
		t.Helper()
		if err := r.SetReadDeadline(time.Now().Add(within)); err != nil {
			t.Fatal(err)
		}
		_, err := r.Read(make([]byte, 1))
		return err == nil
	}
	return cmd, ask, answered
}

// TestFreezeByV1: what was frozen is frozen all the time, by one freezer or the
// other, and can be thawed then.
func TestFreezeByV1(t *testing.T) {
	cleanParent(t)
	g, err := Create(parent, "frozen-by", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = g.Destroy() }() // it may be gone
	cmd := sleeper(t, g)
	if err := g.Freeze(t.Context()); err != nil {
		t.Fatal(err)
	}
	back, err := g.FreezeByV1(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	check := func(when string) {
		t.Helper()
		if frozen, err := g.Frozen(); !frozen || err != nil {
			t.Errorf("%s: frozen is %v, %v", when, frozen, err)
		}
	}
	check("by v1")
	if Detect() == Hybrid {
		if state := read(t, g, "freezer", "freezer.state"); state != "FROZEN" {
			t.Errorf("v1 says %s", state)
		}
		if dir, ok := g.unifiedFreezer(); ok {
			if text, err := os.ReadFile(filepath.Join(dir, "cgroup.freeze")); err != nil || strings.TrimSpace(string(text)) != "0" {
				t.Errorf("the other one says %s, %v", text, err)
			}
		}
	}
	if err := back(); err != nil {
		t.Fatal(err)
	}
	check("back")
	if Detect() == Hybrid {
		if state := read(t, g, "freezer", "freezer.state"); state != "THAWED" {
			t.Errorf("v1 says %s", state)
		}
	}
	if err := g.Thaw(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("it was not killed")
	}
}

func TestFreeze(t *testing.T) {
	cleanParent(t)
	both := map[string]func(g *Group) error{"best": func(g *Group) error { return g.Freeze(t.Context()) }}
	if Detect() != V2 {
		both["v1"] = func(g *Group) error { return freezeV1(t.Context(), g.dirs["freezer"]) }
	}
	for name, freeze := range both {
		t.Run(name, func(t *testing.T) {
			g, err := Create(parent, "frozen", nil)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = g.Destroy() }() // it may be gone
			cmd, ask, answered := counter(t, g)
			ask()
			if !answered(time.Minute) {
				t.Fatal("no answer before")
			}
			for range 2 { // freezing twice is freezing
				if err := freeze(g); err != nil {
					t.Fatal(err)
				}
				if is, err := g.Frozen(); err != nil || !is {
					t.Errorf("frozen: %v, %v", is, err)
				}
			}
			ask()
			if answered(50 * time.Millisecond) {
				t.Error("it runs while it is frozen")
			}
			for range 2 {
				if err := g.Thaw(); err != nil {
					t.Fatal(err)
				}
				if is, err := g.Frozen(); err != nil || is {
					t.Errorf("frozen: %v, %v", is, err)
				}
			}
			if !answered(time.Minute) {
				t.Error("no answer after")
			}
			// A frozen group can be killed at once.
			if err := freeze(g); err != nil {
				t.Fatal(err)
			}
			if err := g.Kill(); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
				t.Errorf("%v", err)
			}
			if err := g.Destroy(); err != nil {
				t.Error(err)
			}
			if err := g.Thaw(); err != nil {
				t.Errorf("a group that is gone: %v", err)
			}
		})
	}
}

// While processes fork, a v1 group does not stop at the first word.
func TestFreezeForking(t *testing.T) {
	cleanParent(t)
	g, err := Create(parent, "forking", &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: new(int64(20))}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = g.Destroy() }() // it may be gone
	cmd := sleeper(t, g, "sh", "-c", "read x; echo joined; while :; do (while :; do (:); done) & done 2>/dev/null")
	for range 5 {
		if err := g.Freeze(t.Context()); err != nil {
			t.Fatal(err)
		}
		before, err := g.Pids()
		if err != nil {
			t.Fatal(err)
		}
		if after, err := g.Pids(); err != nil || len(after) != len(before) {
			t.Errorf("%d, then %d processes in a frozen group, %v", len(before), len(after), err)
		}
		if err := g.Thaw(); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := g.Freeze(ctx); err == nil {
		// It may be quicker than the context is looked at.
		t.Log("frozen in spite of the end of the context")
	} else if is, err := g.Frozen(); err != nil || is {
		t.Errorf("after a failed freeze: frozen %v, %v", is, err)
	}
	if err := g.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed
}
