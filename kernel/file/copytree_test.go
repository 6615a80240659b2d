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

func TestCopyTree(t *testing.T) {
	src, from := openDir(t)
	dst, to := openDir(t)
	when := time.Unix(1500000000, 5)
	check(t, os.MkdirAll(filepath.Join(from, "a/b"), 0o755))
	check(t, os.WriteFile(filepath.Join(from, "a/f"), []byte("content"), 0o600))
	check(t, os.Link(filepath.Join(from, "a/f"), filepath.Join(from, "a/b/g")))
	check(t, os.Chown(filepath.Join(from, "a/f"), 3, 4))
	check(t, os.Chmod(filepath.Join(from, "a/f"), 0o640|fs.ModeSetgid))
	check(t, os.Symlink("/etc/passwd", filepath.Join(from, "l")))
	check(t, unix.Mkfifo(filepath.Join(from, "p"), 0o600))
	check(t, unix.Mknod(filepath.Join(from, "s"), unix.S_IFSOCK|0o600, 0))
	big, err := os.OpenFile(filepath.Join(from, "big"), os.O_CREATE|os.O_WRONLY, 0o600)
	check(t, err)
	_, err = big.WriteAt([]byte("end"), 64<<20)
	check(t, err)
	check(t, big.Close())
	check(t, os.Mkdir(filepath.Join(from, "mnt"), 0o755))
	check(t, unix.Mount(t.TempDir(), filepath.Join(from, "mnt"), "", unix.MS_BIND, ""))
	check(t, os.WriteFile(filepath.Join(from, "mnt/hidden"), nil, 0o600))
	defer func() { check(t, unix.Unmount(filepath.Join(from, "mnt"), 0)) }()
	check(t, os.WriteFile(filepath.Join(from, "mounted"), nil, 0o600))
	over := filepath.Join(t.TempDir(), "over")
	check(t, os.WriteFile(over, []byte("of another mount"), 0o600))
	check(t, unix.Mount(over, filepath.Join(from, "mounted"), "", unix.MS_BIND, ""))
	defer func() { check(t, unix.Unmount(filepath.Join(from, "mounted"), 0)) }()
	check(t, os.Chmod(from, 0o711))
	check(t, os.Chtimes(filepath.Join(from, "a"), when, when))
	check(t, CopyTree(t.Context(), dst, src))
	var f, g unix.Stat_t
	check(t, unix.Stat(filepath.Join(to, "a/f"), &f))
	check(t, unix.Stat(filepath.Join(to, "a/b/g"), &g))
	if f.Ino != g.Ino || f.Uid != 3 || f.Gid != 4 || f.Mode != unix.S_IFREG|0o2640 {
		t.Errorf("%+v\n%+v", f, g)
	}
	if b, err := os.ReadFile(filepath.Join(to, "a/f")); err != nil || string(b) != "content" {
		t.Errorf("%q, %v", b, err)
	}
	if target, err := os.Readlink(filepath.Join(to, "l")); err != nil || target != "/etc/passwd" {
		t.Errorf("%q, %v", target, err)
	}
	check(t, unix.Stat(filepath.Join(to, "big"), &f))
	if f.Size != 64<<20+3 || f.Blocks > 200 {
		t.Errorf("sparse: %d bytes in %d blocks", f.Size, f.Blocks)
	}
	if info, err := os.Stat(filepath.Join(to, "a")); err != nil || !info.ModTime().Equal(when) {
		t.Errorf("%v, %v", info, err)
	}
	if info, err := os.Stat(to); err != nil || info.Mode().Perm() != 0o711 {
		t.Errorf("%v, %v", info, err)
	}
	if names, err := os.ReadDir(filepath.Join(to, "mnt")); err != nil || len(names) != 0 {
		t.Errorf("another mount: %v, %v", names, err)
	}
	if info, err := os.Stat(filepath.Join(to, "mounted")); err != nil || info.Size() != 0 {
		t.Errorf("a mount on a file: %v, %v", info, err)
	}
	if _, err := os.Lstat(filepath.Join(to, "s")); err == nil {
		t.Error("a socket was copied")
	}
	if n, err := Usage(t.Context(), dst); err == nil && n != 64<<20+3+7 {
		t.Errorf("%d bytes", n)
	}
}

// Whoever exchanges files for links while they are copied gets copies of links,
// and what is outside is not copied.
func TestCopyTreeRace(t *testing.T) {
	outside := t.TempDir()
	src, from := openDir(t)
	in := func(name string) string { return filepath.Join(from, name) }
	check(t, os.WriteFile(filepath.Join(outside, "secret"), []byte("secret"), 0o600))
	check(t, os.Mkdir(in("dir"), 0o755))
	check(t, os.WriteFile(in("dir/secret"), []byte("public"), 0o644))
	check(t, os.Symlink(outside, in("dirlink")))
	check(t, os.WriteFile(in("file"), []byte("public"), 0o644))
	check(t, os.Symlink(filepath.Join(outside, "secret"), in("filelink")))
	stop, stopped := make(chan struct{}), make(chan struct{})
	defer func() { close(stop); <-stopped }()
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
			}
			for _, pair := range [][2]string{{"dir", "dirlink"}, {"file", "filelink"}} {
				_ = unix.Renameat2(unix.AT_FDCWD, in(pair[0]), unix.AT_FDCWD, in(pair[1]), unix.RENAME_EXCHANGE)
			}
		}
	}()
	for range 200 {
		dst, to := openDir(t)
		if _, err := src.Seek(0, 0); err != nil {
			t.Fatal(err)
		}
		if err := CopyTree(t.Context(), dst, src); err != nil {
			t.Error(err)
		}
		for _, path := range []string{"dir/secret", "dirlink/secret", "file", "filelink"} {
			// A link leads out: it is not followed.
			fd, err := unix.Openat2(int(dst.Fd()), path, &unix.OpenHow{Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS})
			if err != nil {
				continue
			}
			f := os.NewFile(uintptr(fd), path)
			buf := make([]byte, 16)
			n, _ := f.Read(buf)
			check(t, f.Close())
			if string(buf[:n]) != "public" {
				t.Fatalf("%s of %s has %q", path, to, buf[:n])
			}
		}
	}
}

func TestCopyTreeDepth(t *testing.T) {
	src, from := openDir(t)
	dst, _ := openDir(t)
	dir, err := os.Open(from)
	check(t, err)
	for range maxDepth + 1 {
		check(t, unix.Mkdirat(int(dir.Fd()), "d", 0o700))
		fd, err := unix.Openat(int(dir.Fd()), "d", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		check(t, err)
		check(t, dir.Close())
		dir = os.NewFile(uintptr(fd), "d")
	}
	check(t, dir.Close())
	if err := CopyTree(t.Context(), dst, src); !errors.Is(err, unix.ELOOP) {
		t.Errorf("%.100v", err)
	}
}
