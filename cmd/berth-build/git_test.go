package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestOutsideGit(t *testing.T) {
	dir := t.TempDir()
	below := filepath.Join(dir, "a", "b")
	if err := os.MkdirAll(below, 0o700); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(below, link); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{below: true, link: true, filepath.Join(dir, "none"): false, "https://example.com/x.git": false, "-": false} {
		if got := outsideGit(path); got != want {
			t.Errorf("%s: got %v", path, got)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, ".git"), nil, 0o600); err != nil { // as work trees have
		t.Fatal(err)
	}
	for _, path := range []string{below, link, dir} {
		if outsideGit(path) {
			t.Errorf("%s is in a work tree", path)
		}
	}
}
