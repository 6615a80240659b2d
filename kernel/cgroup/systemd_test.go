package cgroup

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestParseUnit(t *testing.T) {
	for text, want := range map[string]string{
		"": "/system.slice/berth-c1.scope", "user.slice:docker:x": "/user.slice/docker-x.scope", ":a:b": "/system.slice/a-b.scope",
		"a-b.slice::c": "/a.slice/a-b.slice/c.scope",
	} {
		u, err := ParseUnit(text, "c1")
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		parent, id, err := u.Place()
		if got := parent + "/" + id; err != nil || got != want {
			t.Errorf("%q: %s, %v", text, got, err)
		}
	}
	for _, text := range []string{"/docker/c1", "a:b", "a:b:", "a:b:c:d", "a/b:c:d"} {
		if _, err := ParseUnit(text, "c1"); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%q: %v", text, err)
		}
	}
	u := &Unit{Slice: "no-slice", Name: "x"}
	if _, _, err := u.Place(); !errdefs.IsInvalidArgument(err) {
		t.Error(err)
	}
	if !Systemd() {
		if _, err := CreateUnit(&Unit{Slice: "system.slice", Name: "x"}, nil, 1); !errdefs.IsFailedPrecondition(err) {
			t.Error(err)
		}
	}
}

// TestUnit has systemd make, change and remove a group.
func TestUnit(t *testing.T) {
	if !Systemd() {
		t.Skip("no systemd here")
	}
	cmd := exec.CommandContext(t.Context(), "sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Wait() }() // killed
	defer func() { _ = cmd.Process.Kill() }()
	limit := int64(64 << 20)
	u := &Unit{Slice: "system.slice", Prefix: "berth-test", Name: "unit"}
	g, err := CreateUnit(u, &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &limit}}, cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	parent, id, err := u.Place()
	if err != nil {
		t.Fatal(err)
	}
	if again, err := Load(parent, id); err != nil || again.name != g.name {
		t.Errorf("%v", err)
	}
	if pids, err := g.Pids(); err != nil || !slices.Equal(pids, []int{cmd.Process.Pid}) {
		t.Errorf("%v, %v", pids, err)
	}
	property := func() string {
		out, err := exec.CommandContext(t.Context(), "systemctl", "show", "-P", "MemoryMax", "-P", "MemoryLimit", id).Output()
		if err != nil {
			t.Error(err)
		}
		return string(out)
	}
	if p := property(); !strings.Contains(p, "67108864") {
		t.Errorf("systemd says %s", p)
	}
	limit = 32 << 20
	if err := UpdateUnit(u, &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &limit}}); err != nil {
		t.Error(err)
	}
	if p := property(); !strings.Contains(p, "33554432") {
		t.Errorf("systemd says %s", p)
	}
	if err := g.Kill(); err != nil {
		t.Error(err)
	}
	_ = cmd.Wait() // killed
	if err := DestroyUnit(u); err != nil {
		t.Error(err)
	}
	if _, err := Load(parent, id); !errdefs.IsNotFound(err) {
		t.Error(err)
	}
	if err := DestroyUnit(u); err != nil {
		t.Errorf("again: %v", err)
	}
}
