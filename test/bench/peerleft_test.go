package main

import (
	"os"
	"path/filepath"
	"testing"
)

// TestLeavings: what an engine leaves is taken away, what was there before is not.
func TestLeavings(t *testing.T) {
	roots, err := filepath.Glob("/sys/fs/cgroup/*/cgroup.procs")
	if os.Getuid() != 0 || err != nil || len(roots) == 0 {
		t.Skip("groups are made by root")
	}
	root := filepath.Dir(roots[0])
	old, made := filepath.Join(root, "berth-left-old"), filepath.Join(root, "berth-left-new")
	if err := os.MkdirAll(old, 0o755); err != nil {
		t.Skip(err) // not here, on cgroup v2
	}
	defer os.Remove(old)
	undo, err := leavings("berth-left-old", "berth-left-new")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(made, "container"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := undo(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(made); err == nil {
		t.Errorf("%s is there", made)
	}
	if _, err := os.Stat(old); err != nil {
		t.Error(err)
	}
}
