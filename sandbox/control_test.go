package sandbox

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/berth-engine/berth/kernel/cgroup"
)

// asks sends a byte of input, for which the guest writes a line.
func asks(t *testing.T, st *Stream) {
	t.Helper()
	if _, err := st.Write([]byte{'x'}); err != nil {
		t.Fatal(err)
	}
}

// TestPause: a paused container does nothing, in the eyes of the next daemon,
// too, and does it afterwards.
func TestPause(t *testing.T) {
	root := t.TempDir()
	first, err := New(t.Context(), Options{ExecRoot: root, Binary: filepath.Join(programs, "berth-sandbox"), CgroupParent: parent()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- first.Run(ctx) }()
	b := bundle(t, "paused", "lines")
	b.OpenStdin = true
	s, err := first.Launch(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	st := s.attachTest(t, AttachOptions{Stdin: true, Stdout: true})
	s.startTest(t)
	expect(t, st, "line 0\n")
	if err := s.Pause(t.Context()); err != nil {
		t.Fatal(err)
	}
	asks(t, st)
	got := make(chan string, 1)
	go func() {
		_, data, _ := st.Next()
		got <- string(data)
	}()
	select {
	case line := <-got:
		t.Errorf("%q while it is paused", line)
	case <-time.After(50 * time.Millisecond):
	}
	cancel()
	if err := <-ran; err != nil {
		t.Fatal(err)
	}
	_ = st.Close()
	<-got

	r := newRuntime(t, Options{ExecRoot: root})
	a, err := r.Adopt(t.Context(), "paused", b.StateDir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.finishTest(t) }) // kills it while it is paused
	if is, err := a.Paused(); err != nil || !is {
		t.Errorf("paused: %v, %v", is, err)
	}
	again := a.attachTest(t, AttachOptions{Stdin: true, Stdout: true})
	for range 2 {
		if err := a.Resume(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if is, err := a.Paused(); err != nil || is {
		t.Errorf("paused after resume: %v, %v", is, err)
	}
	expect(t, again, "line 1\n")
	asks(t, again)
	expect(t, again, "line 2\n")
	if err := a.Pause(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestUpdateAndStats(t *testing.T) {
	r := newRuntime(t, Options{})
	s := r.launch(t, bundle(t, "update", "wait"))
	st := s.attachTest(t, both)
	s.startTest(t)
	expect(t, st, "ready\n")
	undo, err := s.Update(t.Context(), &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: new(int64(17))}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Update(t.Context(), &specs.LinuxResources{CPU: &specs.LinuxCPU{Cpus: "4000"}}); err == nil {
		t.Error("a processor that does not exist")
	}
	var stats cgroup.Stats
	if err := s.Stats(&stats); err != nil || stats.Pids.Limit != 17 || stats.Pids.Current == 0 || stats.CPU.Total == 0 {
		t.Errorf("%+v, %v", stats, err)
	}
	if err := undo(); err != nil {
		t.Fatal(err)
	}
	if err := s.Stats(&stats); err != nil || stats.Pids.Limit != cgroup.NoLimit {
		t.Errorf("after undo: %+v, %v", stats, err)
	}
	if err := s.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.waitTest(t)
	_, err = s.Update(t.Context(), nil)
	for verb, err := range map[string]error{
		"pause": s.Pause(t.Context()), "resume": s.Resume(t.Context()), "update": err,
	} {
		if !errdefs.IsFailedPrecondition(err) {
			t.Errorf("%s after the end: %v", verb, err)
		}
	}
}

// TestWatchMemory: who was killed for want of memory is told before the end is.
func TestWatchMemory(t *testing.T) {
	r := newRuntime(t, Options{})
	if r.memory == nil {
		t.Fatal("no memory controller")
	}
	b := bundle(t, "eater", "eat")
	b.Spec.Linux.Resources = &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: new(int64(32 << 20)), Swap: new(int64(32 << 20))}}
	s := r.launch(t, b)
	s.startTest(t)
	var kills []OOMKill
	e, err := s.Watch(t.Context(), func(k OOMKill) { kills = append(kills, k) })
	if err != nil || !e.OOMKilled || e.Code != 137 {
		t.Errorf("%+v, %v", e, err)
	}
	if len(kills) != 1 || kills[0] != (OOMKill{}) && (kills[0].Pid == 0 || kills[0].Process != "guest") {
		t.Errorf("%+v", kills)
	}
	if !s.OutOfMemory() {
		t.Error("no kill is counted")
	}
}
