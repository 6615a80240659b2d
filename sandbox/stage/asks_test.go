package stage

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-engine/berth/kernel/task"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestUnasked: a stage that somebody else has got hold of cannot have programs
// run on the host, unless its container has hooks; and then only before it has
// asked for them itself.
func TestUnasked(t *testing.T) {
	ran := filepath.Join(t.TempDir(), "ran")
	evil := wanted{Hooks: specs.Hooks{CreateRuntime: []specs.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", `: >"$1"`, "sh", ran}}}}}
	for _, asks := range []string{"", string(rune(frameDevices)), string(rune(frameAgent))} {
		ours, theirs, err := task.SocketPair()
		must(t, err)
		must(t, send(theirs, frameHooks, evil.describe, nil))
		p := &Process{control: ours, asks: asks}
		if err := p.Created(); err == nil || !strings.Contains(err.Error(), `unexpected message 'h'`) {
			t.Errorf("%q: %v", asks, err)
		}
		theirs.Close()
	}
	if _, err := os.Stat(ran); err == nil {
		t.Fatal("the hook has run")
	}
	ours, theirs, err := task.SocketPair()
	must(t, err)
	defer theirs.Close()
	exe, err := os.Open(probe)
	must(t, err)
	defer exe.Close()
	for range 2 {
		must(t, send(theirs, frameHooks, evil.describe, nil))
	}
	p := &Process{control: ours, exe: exe, asks: string(rune(frameHooks))}
	if err := p.Created(); err == nil || !strings.Contains(err.Error(), `unexpected message 'h'`) {
		t.Error(err)
	}
	if _, err := os.Stat(ran); err != nil {
		t.Error("the hook has not run")
	}
}

func TestAsks(t *testing.T) {
	spec := defaultSpec("/x")
	if got := asks(spec); got != "" {
		t.Errorf("%q", got)
	}
	spec.Hooks = &specs.Hooks{StartContainer: []specs.Hook{{}}}
	if got := asks(spec); got != "" {
		t.Errorf("%q for the stage's own hooks", got)
	}
	spec.Hooks.Poststop = []specs.Hook{{}}
	spec.Linux.NetDevices = map[string]specs.LinuxNetDevice{"x": {}}
	spec.Linux.Seccomp = notifyProfile("/x")
	if got := asks(spec); got != "dha" {
		t.Errorf("%q", got)
	}
}
