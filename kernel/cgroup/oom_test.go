package cgroup

import (
	"context"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func watcher(t *testing.T) *OOMWatcher {
	t.Helper()
	w, err := NewOOMWatcher()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- w.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ran; err != nil {
			t.Error(err)
		}
	})
	return w
}

// A group whose limit is hit tells who was killed, while others live.
func TestOOMWatch(t *testing.T) {
	cleanParent(t)
	w := watcher(t)
	g, err := Create(parent, "want", &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: new(int64(16 << 20)), Swap: new(int64(16 << 20))}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = g.Destroy() }() // it may be gone
	quiet, err := Create(parent, "quiet", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = quiet.Destroy() }() // it may be gone
	o, err := w.Watch(g, 0)
	if err != nil {
		t.Fatal(err)
	}
	other, err := w.Watch(quiet, 0)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		cmd := sleeper(t, g, "sh", "-c", "read x; echo joined; exec tail /dev/zero")
		pid := cmd.Process.Pid
		<-o.Ready()
		kills := o.Take()
		if len(kills) != 1 {
			t.Fatalf("%+v", kills)
		}
		switch k := kills[0]; {
		case w.log.fd < 0 && k == OOMKill{}:
			t.Log("the kernel's log cannot be read here")
		case k.Process != "tail" || k.Pid == 0:
			t.Errorf("%+v, want tail, %d", k, pid)
		}
		_ = cmd.Wait() // killed
	}
	if kills := o.Look(); kills != nil {
		t.Errorf("again: %+v", kills)
	}
	late, err := w.Watch(g, 1)
	if err != nil {
		t.Fatal(err)
	}
	if kills := late.Look(); len(kills) != 1 {
		t.Errorf("one of two was seen; told: %+v", kills)
	}
	late.Close()
	o.Close()
	o.Close()
	if err := g.Destroy(); err != nil {
		t.Error(err)
	}
	if kills := o.Look(); kills != nil {
		t.Errorf("gone: %+v", kills)
	}
	select {
	case <-other.Ready():
		t.Errorf("a kill in a quiet group: %+v", other.Take())
	default:
	}
}

func TestParseKill(t *testing.T) {
	for line, want := range map[string]loggedKill{
		"oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/a,task_memcg=/a/b,task=tail,pid=123,uid=0\n": {"/a/b", OOMKill{123, "tail"}},
		"oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom,task_memcg=/a,task=x,pid=1,pid=7,uid=0":       {"/a", OOMKill{7, "x,pid=1"}},
	} {
		if k, ok := parseKill([]byte(line)); !ok || k != want {
			t.Errorf("%q: %+v, %v", line, k, ok)
		}
	}
	for _, line := range []string{"", "oom-kill:", "oom-kill:task_memcg=/a,pid=x", "oom-kill:,task_memcg=/a,task=x,pid=-1,uid=0", "Killed process 1 (x)"} {
		if k, ok := parseKill([]byte(line)); ok {
			t.Errorf("%q: %+v", line, k)
		}
	}
	// Others' kills are left for them, and unknown ones are said to be.
	l := &kernelLog{fd: -1, kills: []loggedKill{{"/x/p/one", OOMKill{1, "a"}}, {"/p/two", OOMKill{2, "b"}}, {"/p/one/sub", OOMKill{3, "c"}}}}
	if got := l.killed("/p/one", 3); len(got) != 3 || got[0].Pid != 1 || got[1].Pid != 3 || got[2] != (OOMKill{}) {
		t.Errorf("%+v", got)
	}
	if got := l.killed("/p/two", 1); len(got) != 1 || got[0].Pid != 2 || len(l.kills) != 0 {
		t.Errorf("%+v, left %+v", got, l.kills)
	}
}

// Of a group that was removed before anybody looked, the log tells.
func TestOOMWatchGone(t *testing.T) {
	cleanParent(t)
	w, err := NewOOMWatcher()
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	if w.log.fd < 0 {
		t.Log("the kernel's log cannot be read here")
		return
	}
	var o *OOMWatch
	for range 2 { // the second knows nothing of the first
		g, err := Create(parent, "gone", &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: new(int64(16 << 20)), Swap: new(int64(16 << 20))}})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = g.Destroy() }() // it may be gone
		if o, err = w.Watch(g, 0); err != nil {
			t.Fatal(err)
		}
		_ = sleeper(t, g, "sh", "-c", "read x; echo joined; exec tail /dev/zero").Wait() // killed
		if err := g.Destroy(); err != nil {
			t.Fatal(err)
		}
		if kills := o.Look(); len(kills) != 1 || kills[0].Process != "tail" || kills[0].Pid == 0 {
			t.Errorf("%+v, want tail", kills)
		}
		o.Close()
	}
	if kills := o.Look(); kills != nil {
		t.Errorf("again: %+v", kills)
	}
}
