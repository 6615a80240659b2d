package file

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func openDir(t *testing.T) (*os.File, string) {
	t.Helper()
	path := t.TempDir()
	dir, err := os.Open(path)
	check(t, err)
	t.Cleanup(func() { dir.Close() })
	return dir, path
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestEntriesAreNotFollowed(t *testing.T) {
	dir, path := openDir(t)
	outside := filepath.Join(t.TempDir(), "outside")
	check(t, os.WriteFile(outside, []byte("x"), 0o640))
	check(t, Symlink(dir, outside, "link"))
	check(t, Chown(dir, "link", 5, 6))
	when := time.Unix(1000000000, 7)
	check(t, SetTimes(dir, "link", when, when))
	st, err := StatAt(dir, "link")
	check(t, err)
	if st.Mode&fs.ModeSymlink == 0 || st.UID != 5 || st.GID != 6 || !st.Modified.Equal(when) {
		t.Errorf("%+v", st)
	}
	if _, err := OpenRegular(dir, "link", true); !errors.Is(err, unix.EINVAL) {
		t.Errorf("opened a link: %v", err)
	}
	if _, err := OpenDir(dir, "link"); err == nil {
		t.Error("opened a link as a directory")
	}
	if _, err := Create(dir, "link"); !errors.Is(err, os.ErrExist) {
		t.Errorf("created through a link: %v", err)
	}
	check(t, Remove(dir, "link"))
	info, err := os.Stat(outside)
	check(t, err)
	if info.Mode() != 0o640 || info.Size() != 1 || info.ModTime().Equal(when) {
		t.Errorf("outside was touched: %v", info)
	}
	if _, err := os.Lstat(filepath.Join(path, "link")); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

func TestNodesAndLinks(t *testing.T) {
	dir, _ := openDir(t)
	check(t, Mknod(dir, "null", fs.ModeDevice|fs.ModeCharDevice, 1, 3))
	check(t, Mknod(dir, "pipe", fs.ModeNamedPipe, 0, 0))
	st, err := StatAt(dir, "null")
	if err != nil || st.Mode&fs.ModeCharDevice == 0 || st.Major != 1 || st.Minor != 3 || st.IsWhiteout() {
		t.Errorf("%+v, %v", st, err)
	}
	if _, err := OpenRegular(dir, "pipe", false); !errors.Is(err, unix.EINVAL) {
		t.Errorf("opened a FIFO: %v", err)
	}
	h, err := Handle(dir, "pipe")
	check(t, err)
	defer h.Close()
	check(t, Link(h, dir, "pipe2"))
	check(t, Chmod(h, 0o640|fs.ModeSetgid))
	if st, err := StatAt(dir, "pipe2"); err != nil || st.Links != 2 || st.Mode != fs.ModeNamedPipe|fs.ModeSetgid|0o640 {
		t.Errorf("%+v, %v", st, err)
	}
}

func TestRemoveStaysOnItsMount(t *testing.T) {
	dir, path := openDir(t)
	precious := t.TempDir()
	check(t, os.WriteFile(filepath.Join(precious, "data"), nil, 0o600))
	check(t, os.MkdirAll(filepath.Join(path, "a/b/mnt"), 0o755))
	check(t, os.WriteFile(filepath.Join(path, "a/file"), nil, 0o600))
	at := filepath.Join(path, "a/b/mnt")
	check(t, unix.Mount(precious, at, "", unix.MS_BIND, ""))
	err := Remove(dir, "a")
	check(t, unix.Unmount(at, 0))
	if !errors.Is(err, unix.EBUSY) {
		t.Errorf("through a mount: %v", err)
	}
	if _, err := os.Stat(filepath.Join(precious, "data")); err != nil {
		t.Error(err)
	}
	check(t, Remove(dir, "a"))
	check(t, Remove(dir, "a"))
	if names, err := os.ReadDir(path); err != nil || len(names) != 0 {
		t.Errorf("%v, %v", names, err)
	}
}

func TestXattrs(t *testing.T) {
	dir, path := openDir(t)
	check(t, os.WriteFile(filepath.Join(path, "f"), nil, 0o600))
	h, err := Handle(dir, "f")
	check(t, err)
	defer h.Close()
	if names, err := Xattrs(h); err != nil || len(names) != 0 {
		t.Errorf("%q, %v", names, err)
	}
	err = SetXattr(h, "user.a", "1")
	if errors.Is(err, errors.ErrUnsupported) {
		return // nothing more to see on this file system
	}
	check(t, err)
	names, err := Xattrs(h)
	if v, verr := Xattr(h, "user.a"); err != nil || verr != nil || v != "1" || len(names) != 1 || names[0] != "user.a" {
		t.Errorf("%q, %v, %q, %v", names, err, v, verr)
	}
	if v, err := Xattr(h, "user.none"); v != "" || err != nil {
		t.Errorf("%q, %v", v, err)
	}
}

func TestKernelFileSystems(t *testing.T) {
	for path, want := range map[string]bool{"/proc": true, "/sys": true, "/proc/self/ns/net": true, t.TempDir(): false} {
		f, err := os.Open(path)
		check(t, err)
		if got, err := IsKernels(f); err != nil || got != want {
			t.Errorf("%s: %v, %v", path, got, err)
		}
		f.Close()
	}
}
