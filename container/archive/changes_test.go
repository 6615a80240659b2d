package archive

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/kernel/mount"
)

// What is done to a merged tree is found in its upper directory.
func TestChanges(t *testing.T) {
	dir := t.TempDir()
	l := mount.Layers{Lower: []string{filepath.Join(dir, "l1"), filepath.Join(dir, "l0")}, Upper: filepath.Join(dir, "upper"), Work: filepath.Join(dir, "work")}
	merged := filepath.Join(dir, "merged")
	for _, d := range []string{"l0/dir/sub", "l0/opaque/old", "l0/same", "l0/totype", "l0/gone/below", "l1/dir", "upper", "work", "merged", "l0/quiet", "l0/etc"} {
		check(t, os.MkdirAll(filepath.Join(dir, d), 0o755))
	}
	for _, f := range []string{"l0/dir/a", "l0/dir/sub/b", "l1/dir/c", "l0/opaque/x", "l0/opaque/y", "l0/file", "l0/toptype", "l0/totype/z", "l0/mode", "l0/same/f"} {
		check(t, os.WriteFile(filepath.Join(dir, f), []byte("1"), 0o644))
	}
	root, err := mount.Overlay(l)
	check(t, err)
	defer root.Close()
	check(t, mount.Attach(root, opened(t, merged)))
	defer func() { check(t, unix.Unmount(merged, unix.MNT_DETACH)) }()
	in := func(p string) string { return filepath.Join(merged, p) }
	check(t, os.WriteFile(in("dir/sub/new"), nil, 0o600))
	check(t, os.Remove(in("dir/c")))
	check(t, os.RemoveAll(in("opaque")))
	check(t, os.Mkdir(in("opaque"), 0o755))
	check(t, os.WriteFile(in("opaque/x"), []byte("22"), 0o644))
	check(t, os.Chmod(in("mode"), 0o600))
	check(t, os.RemoveAll(in("totype")))
	check(t, os.WriteFile(in("totype"), nil, 0o644))
	check(t, os.Remove(in("file")))
	check(t, os.MkdirAll(in("file/inside"), 0o755))
	check(t, os.RemoveAll(in("gone")))
	check(t, os.MkdirAll(in("tmp/x"), 0o755))
	check(t, os.RemoveAll(in("tmp/x"))) // nothing of it is left
	check(t, os.WriteFile(in("quiet/t"), nil, 0o644))
	check(t, os.Remove(in("quiet/t")))
	for _, d := range []string{"proc", "dev/pts"} { // as the engine does
		check(t, os.MkdirAll(in(d), 0o755))
	}
	check(t, os.WriteFile(in("etc/hosts"), nil, 0o644))
	check(t, os.WriteFile(in("dev/mine"), nil, 0o644))

	lower, err := mount.Overlay(mount.Layers{Lower: l.Lower})
	check(t, err)
	defer lower.Close()
	found, err := Changes(opened(t, l.Upper), lower)
	check(t, err)
	var got []string
	for _, c := range found {
		got = append(got, c.Kind.String()+" "+c.Path)
	}
	want := []string{
		"C /dev", "A /dev/mine", "C /dir", "D /dir/c", "C /dir/sub", "A /dir/sub/new", "C /file", "A /file/inside", "D /gone", "C /mode",
		"C /opaque", "D /opaque/old", "C /opaque/x", "D /opaque/y", "A /tmp", "C /totype",
	}
	if !slices.Equal(got, want) {
		t.Errorf("\n%q\n%q", got, want)
	}
}

func opened(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.Open(path)
	check(t, err)
	t.Cleanup(func() { f.Close() })
	return f
}
