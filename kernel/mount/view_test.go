package mount

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func content(t *testing.T, root *os.File, path string) string {
	t.Helper()
	b, err := ReadFileInRoot(root, path, 100)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

func TestView(t *testing.T) {
	before := mountCount(t)
	dir := t.TempDir()
	l := Layers{Lower: layers(t, dir, 2), Upper: filepath.Join(dir, "upper"), Work: filepath.Join(dir, "work")}
	for _, d := range []string{l.Upper, l.Work, filepath.Join(l.Lower[0], "data"), filepath.Join(dir, "volume")} {
		check(t, os.Mkdir(d, 0o755))
	}
	check(t, os.WriteFile(filepath.Join(l.Lower[0], "data/x"), []byte("covered"), 0o644))
	check(t, os.WriteFile(filepath.Join(dir, "volume/x"), []byte("volume"), 0o644))
	root, err := Overlay(l)
	check(t, err)
	defer root.Close()
	v, err := NewView(root, func() error {
		tree, err := Clone(filepath.Join(dir, "volume"), true)
		if err != nil {
			return err
		}
		defer tree.Close()
		at, err := OpenInRoot(root, "/data", unix.O_PATH, 0)
		if err != nil {
			return err
		}
		defer at.Close()
		return Attach(tree, at)
	})
	check(t, err)
	if got := content(t, v.Root, "/data/x"); got != "volume" {
		t.Errorf("with mounts: %s", got)
	}
	if got := content(t, v.Root, "/../../which"); got != "0" {
		t.Errorf("..: %s", got)
	}
	bare, err := v.CloneRoot()
	check(t, err)
	if got := content(t, bare, "/data/x"); got != "covered" {
		t.Errorf("without mounts: %s", got)
	}
	bare.Close()
	// As the processes of that namespace see it.
	dup, err := unix.Dup(int(v.ns.Fd()))
	check(t, err)
	other, err := OpenView(os.NewFile(uintptr(dup), "ns"))
	check(t, err)
	if got := content(t, other.Root, "/data/x"); got != "volume" {
		t.Errorf("opened: %s", got)
	}
	check(t, v.Close())
	if got := content(t, other.Root, "/data/x"); got != "volume" {
		t.Errorf("after the other's end: %s", got)
	}
	check(t, other.Close())
	if after := mountCount(t); after != before {
		t.Errorf("mounts: %d before, %d after", before, after)
	}
}
