package mount

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// TestClear: what is below a folder goes, with what is mounted over it and in it;
// what is beside it, or on it, stays.
func TestClear(t *testing.T) {
	dir := t.TempDir()
	below, beside := filepath.Join(dir, "below"), filepath.Join(dir, "below-not")
	a, b := filepath.Join(below, "a"), filepath.Join(below, "b c")
	for _, d := range []string{a, b, beside} {
		check(t, os.MkdirAll(d, 0o700))
	}
	place := func(d string) {
		check(t, unix.Mount("x", d, "tmpfs", 0, ""))
		t.Cleanup(func() { _ = unix.Unmount(d, unix.MNT_DETACH) })
	}
	place(beside)
	before := mountCount(t)
	place(a)
	check(t, os.Mkdir(filepath.Join(a, "in"), 0o700))
	place(filepath.Join(a, "in"))
	place(b)
	place(b) // over itself
	link := filepath.Join(dir, "link")
	check(t, os.Symlink(below, link))
	check(t, Clear(link))
	if n := mountCount(t); n != before {
		t.Errorf("%d mounts are left of %d", n, before)
	}
	place(below)
	check(t, Clear(below))
	if n := mountCount(t); n != before+1 {
		t.Errorf("what is on the folder itself: %d, %d", n, before)
	}
	check(t, Clear(filepath.Join(dir, "none")))
}
