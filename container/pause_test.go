package container

import (
	"context"
	"slices"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
)

func TestPause(t *testing.T) {
	e := newEngine(t)
	ctx := t.Context()
	id := e.create(request("sleep"))
	if err := e.Pause(ctx, id); !errdefs.IsConflict(err) {
		t.Errorf("pause before the start: %v", err)
	}
	e.start(id)
	e.follow(id, "ready")
	if err := e.Unpause(ctx, id); err == nil || err.Error() != "Container "+id+" is not paused" {
		t.Errorf("unpause what runs: %v", err)
	}
	if err := e.Pause(ctx, id); err != nil {
		t.Fatal(err)
	}
	if err := e.Pause(ctx, id); !errdefs.IsConflict(err) || err.Error() != "Container "+id+" is already paused" {
		t.Errorf("pause twice: %v", err)
	}
	if st := e.inspect(id).State; st.Status != container.StatePaused || !st.Paused || !st.Running {
		t.Errorf("%+v", st)
	}
	if _, paused, _ := e.Counts(); paused != 1 {
		t.Errorf("%d paused", paused)
	}
	if err := e.Start(ctx, id); !errdefs.IsConflict(err) {
		t.Errorf("start what is paused: %v", err)
	}
	if err := e.Remove(ctx, id, RemoveOptions{}); !errdefs.IsConflict(err) {
		t.Errorf("remove what is paused: %v", err)
	}

	// The next daemon sees what the kernel has, whatever the record says.
	e.stop()
	e.boot()
	if st := e.record(id).State; st != Paused {
		t.Errorf("after a restart: %v", st)
	}
	if err := e.index.get(id).live.box.Resume(ctx); err != nil {
		t.Fatal(err)
	}
	e.stop()
	e.boot()
	if st := e.record(id).State; st != Running {
		t.Errorf("unpaused behind the daemon: %v", st)
	}
	if err := e.index.get(id).live.box.Pause(ctx); err != nil {
		t.Fatal(err)
	}
	e.stop()
	e.boot()
	if st := e.record(id).State; st != Paused {
		t.Errorf("paused behind the daemon: %v", st)
	}
	if err := e.Unpause(ctx, id); err != nil {
		t.Fatal(err)
	}
	if got := e.seen.await(id, "unpause"); got[len(got)-1] != "unpause" {
		t.Errorf("%q", got)
	}
	// A signal other than the one to stop wakes it, as Docker's does.
	if err := e.Pause(ctx, id); err != nil {
		t.Fatal(err)
	}
	if err := e.Kill(ctx, id, "USR1"); err != nil {
		t.Fatal(err)
	}
	e.follow(id, "got user defined signal 1")
	if st := e.record(id).State; st != Running {
		t.Errorf("after a signal: %v", st)
	}
}

// A paused container can be stopped, and hears of it, and be killed.
func TestStopPaused(t *testing.T) {
	e := newEngine(t)
	ctx := t.Context()
	id := e.create(request("sleep"))
	for _, end := range []struct {
		how  string
		do   func() error
		code int
	}{
		{"stop", func() error { return e.Stop(ctx, id, "", nil) }, 7},
		{"kill", func() error { return e.Kill(ctx, id, "") }, 137},
		{"restart", func() error { return e.Restart(ctx, id, "", nil) }, 0},
		{"remove", func() error { return e.Remove(ctx, id, RemoveOptions{Force: true}) }, 0},
	} {
		if e.record(id).State != Running {
			e.start(id)
		}
		e.follow(id, "ready")
		if err := e.Pause(ctx, id); err != nil {
			t.Fatal(err)
		}
		if err := end.do(); err != nil {
			t.Fatalf("%s: %v", end.how, err)
		}
		if end.code != 0 && e.record(id).ExitCode != end.code {
			t.Errorf("%s: exit code %d", end.how, e.record(id).ExitCode)
		}
	}
	got := e.seen.await(id, "destroy")
	if i := slices.Index(got, "pause"); !slices.Equal(got[i:i+5], []string{"pause", "kill", "unpause", "die", "network disconnect"}) &&
		!slices.Equal(got[i:i+4], []string{"pause", "kill", "die", "unpause"}) {
		t.Errorf("%q", got)
	}
}

// A kill for want of memory is told while the container lives on.
func TestOutOfMemory(t *testing.T) {
	e := newEngine(t)
	req := request("eat")
	req.HostConfig.Memory, req.HostConfig.MemorySwap = 32<<20, 32<<20
	id := e.create(req)
	e.start(id)
	if got := e.seen.await(id, "oom"); slices.Contains(got, "die") {
		t.Errorf("%q", got)
	}
	if st := e.inspect(id).State; !st.OOMKilled || !st.Running {
		t.Errorf("%+v", st)
	}
	m := e.seen.last(id, "oom").Actor.Attributes
	if m["process"] != "guest" && m["process"] != "exe" && m["process"] != "unknown" || m["process"] != "unknown" && m["pid"] == "" {
		t.Errorf("%q", m)
	}
	if err := e.Kill(context.Background(), id, ""); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, action := range e.seen.await(id, "die") {
		if action == "oom" {
			n++
		}
	}
	if st := e.inspect(id).State; n != 1 || !st.OOMKilled {
		t.Errorf("told %d times; %+v", n, st)
	}
}
