package mount

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

func tree(t *testing.T) (*os.File, string, string) {
	t.Helper()
	host := t.TempDir()
	dir := filepath.Join(host, "root")
	check(t, os.MkdirAll(filepath.Join(dir, "a/b"), 0o755))
	check(t, os.WriteFile(filepath.Join(host, "secret"), []byte("secret"), 0o644))
	check(t, os.WriteFile(filepath.Join(dir, "a/file"), []byte("inside"), 0o644))
	root, err := os.Open(dir)
	check(t, err)
	t.Cleanup(func() { root.Close() })
	return root, dir, host
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// The group of a directory goes on to those made in it, with the bit that says
// so.
func TestMkdirAllInheritsGroup(t *testing.T) {
	dir := t.TempDir()
	if err := errors.Join(os.Chown(dir, 0, 77), os.Chmod(dir, os.ModeSetgid|0o755)); err != nil {
		t.Fatal(err)
	}
	root, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if err := MkdirAllInRoot(root, "/a/b", 0o750, 0, 0); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "a/b"} {
		var st unix.Stat_t
		if err := unix.Stat(dir+"/"+name, &st); err != nil || st.Gid != 77 || st.Mode != unix.S_IFDIR|unix.S_ISGID|0o750 {
			t.Errorf("%s: mode %o, group %d, %v", name, st.Mode, st.Gid, err)
		}
	}
}

func TestOpenInRoot(t *testing.T) {
	root, dir, host := tree(t)
	for name, target := range map[string]string{
		"up": "../../../../../..", "abs": "/a", "secret": filepath.Join(host, "secret"), "upsecret": "../secret", "magic": "/proc/self/root",
	} {
		check(t, os.Symlink(target, filepath.Join(dir, name)))
	}
	for path, want := range map[string]string{
		"a/file": "inside", "/a/file": "inside", "abs/file": "inside", "up/a/file": "inside", "../../a/file": "inside",
		"secret": "", "upsecret": "", "../secret": "", "nothing": "",
	} {
		b, err := ReadFileInRoot(root, path, 100)
		if string(b) != want || (err == nil) != (want != "") || want == "" && !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: %q, %v", path, b, err)
		}
	}
	proc, err := os.Open("/")
	check(t, err)
	defer proc.Close()
	if _, err := OpenInRoot(proc, "/proc/self/fd/0", os.O_RDONLY, 0); !errors.Is(err, unix.ELOOP) {
		t.Errorf("magic link: %v", err)
	}
	if _, err := OpenStrict(root, "abs/file", os.O_RDONLY, 0); !errors.Is(err, unix.ELOOP) {
		t.Errorf("strict: %v", err)
	}
	f, err := OpenInRoot(root, "a/new", os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o600)
	check(t, err)
	f.Close()
	if info, err := os.Stat(filepath.Join(dir, "a/new")); err != nil || info.Mode() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
}

func TestReadFileBounds(t *testing.T) {
	root, dir, _ := tree(t)
	check(t, unix.Mkfifo(filepath.Join(dir, "fifo"), 0o644))
	check(t, unix.Mknod(filepath.Join(dir, "zero"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 5))))
	check(t, os.WriteFile(filepath.Join(dir, "sparse"), nil, 0o644))
	check(t, os.Truncate(filepath.Join(dir, "sparse"), 1<<30))
	for _, path := range []string{"fifo", "zero", "a"} {
		if _, err := ReadFileInRoot(root, path, 10); !errors.Is(err, unix.EINVAL) {
			t.Errorf("%s: %v", path, err)
		}
	}
	if _, err := ReadFileInRoot(root, "sparse", 1000); !errors.Is(err, unix.EFBIG) {
		t.Errorf("sparse: %v", err)
	}
	if b, err := ReadFileInRoot(root, "a/file", 6); err != nil || string(b) != "inside" {
		t.Errorf("at the limit: %q, %v", b, err)
	}
	if _, err := ReadFileInRoot(root, "a/file", 5); !errors.Is(err, unix.EFBIG) {
		t.Errorf("past the limit: %v", err)
	}
}

func TestMkdirAllInRoot(t *testing.T) {
	root, dir, host := tree(t)
	check(t, os.Symlink("/var/new", filepath.Join(dir, "dangling")))
	check(t, os.Symlink("../../../out", filepath.Join(dir, "a/out")))
	check(t, os.Symlink("loop", filepath.Join(dir, "loop")))
	check(t, MkdirAllInRoot(root, "x/y/z", 0o750, 5, 6))
	var st unix.Stat_t
	check(t, unix.Stat(filepath.Join(dir, "x/y"), &st))
	if st.Mode&0o7777 != 0o750 || st.Uid != 5 || st.Gid != 6 {
		t.Errorf("%o %d %d", st.Mode, st.Uid, st.Gid)
	}
	check(t, MkdirAllInRoot(root, "/dangling/d", 0o755, 0, 0))
	check(t, MkdirAllInRoot(root, "a/out/d", 0o1777, 0, 0))
	check(t, MkdirAllInRoot(root, "a/b", 0o700, 9, 9))
	for _, path := range []string{"var/new/d", "out/d"} {
		if info, err := os.Stat(filepath.Join(dir, path)); err != nil || !info.IsDir() {
			t.Errorf("%s: %v", path, err)
		}
	}
	check(t, unix.Stat(filepath.Join(dir, "a/b"), &st))
	if st.Uid != 0 || st.Mode&0o777 != 0o755 {
		t.Error("an existing directory was changed")
	}
	if err := MkdirAllInRoot(root, "a/file/d", 0o755, 0, 0); !errors.Is(err, unix.ENOTDIR) {
		t.Errorf("below a file: %v", err)
	}
	if err := MkdirAllInRoot(root, "loop/d", 0o755, 0, 0); !errors.Is(err, unix.ELOOP) {
		t.Errorf("loop: %v", err)
	}
	if entries, _ := os.ReadDir(host); len(entries) != 2 {
		t.Errorf("outside: %v", entries)
	}
}

func TestMakeFile(t *testing.T) {
	root, dir, _ := tree(t)
	check(t, os.Symlink("/var/target", filepath.Join(dir, "link")))
	for path, made := range map[string]string{"n/e/w": "n/e/w", "link": "var/target", "a/file": "a/file"} {
		f, err := MakeFile(root, path, 0o644)
		check(t, err)
		f.Close()
		if _, err := os.Stat(filepath.Join(dir, made)); err != nil {
			t.Error(err)
		}
	}
}

// Somebody swaps a directory and a link to the outside while we resolve.
func TestRace(t *testing.T) {
	root, dir, host := tree(t)
	out := filepath.Join(host, "outside")
	check(t, os.Mkdir(out, 0o755))
	check(t, os.Mkdir(filepath.Join(dir, "swap"), 0o755))
	check(t, os.Symlink("../outside", filepath.Join(dir, "link")))
	var stop atomic.Bool
	var wg sync.WaitGroup
	wg.Go(func() {
		for !stop.Load() {
			_ = unix.Renameat2(int(root.Fd()), "swap", int(root.Fd()), "link", unix.RENAME_EXCHANGE)
		}
	})
	for range 3000 {
		_ = MkdirAllInRoot(root, "swap/../link/x/y", 0o755, 0, 0) // works or not
		if f, err := MakeFile(root, "swap/file", 0o644); err == nil {
			f.Close()
		}
	}
	stop.Store(true)
	wg.Wait()
	if entries, err := os.ReadDir(out); err != nil || len(entries) != 0 {
		t.Errorf("outside: %v, %v", entries, err)
	}
}

func FuzzOpenInRoot(f *testing.F) {
	f.Add("a/../../../secret", "../..")
	f.Add("l/l/l", "/l/../..")
	f.Fuzz(func(t *testing.T, path, link string) {
		if strings.ContainsRune(path+link, 0) || link == "" || len(link) > 1000 {
			return
		}
		root, dir, host := tree(t)
		if err := os.Symlink(link, filepath.Join(dir, "l")); err != nil {
			return
		}
		if b, err := ReadFileInRoot(root, path, 100); err == nil && string(b) != "inside" {
			t.Errorf("%q with l → %q reads %q", path, link, b)
		}
		_ = MkdirAllInRoot(root, path, 0o755, 0, 0) // works or not
		if entries, _ := os.ReadDir(host); len(entries) != 2 {
			t.Errorf("%q with l → %q makes %v", path, link, entries)
		}
	})
}
