package leak

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestDiffCountsRepetitions(t *testing.T) {
	before := State{"process": {"a", "b"}, "link": {"lo"}}
	after := State{"process": {"a", "a"}, "link": {"lo", "veth1"}}
	got := Diff(before, after)
	want := []string{"+ link veth1", "+ process a", "- process b"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestReadSeesAFile(t *testing.T) {
	root := t.TempDir()
	before, err := Read(t.Context(), []string{root}, nil)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(root, "left")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	after, err := Read(t.Context(), []string{root}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := Diff(before, after); !slices.Contains(got, "+ file "+path) {
		t.Errorf("the new file is not in %q", got)
	}
}
