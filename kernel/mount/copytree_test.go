package mount

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// Whoever exchanges files for links while they are copied gets copies of links,
// and what is outside is not copied.
func TestCopyTreeRace(t *testing.T) {
	outside, from := t.TempDir(), t.TempDir()
	in := func(name string) string { return filepath.Join(from, name) }
	for _, err := range []error{
		os.WriteFile(filepath.Join(outside, "secret"), []byte("secret"), 0o600),
		os.Mkdir(in("dir"), 0o755), os.WriteFile(in("dir/secret"), []byte("public"), 0o644), os.Symlink(outside, in("dirlink")),
		os.WriteFile(in("file"), []byte("public"), 0o644), os.Symlink(filepath.Join(outside, "secret"), in("filelink")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
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
	source, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	for range 200 {
		tmp, err := New("tmpfs", "tmpfs", nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := CopyTree(source, tmp); err != nil {
			t.Error(err)
		}
		for _, path := range []string{"dir/secret", "dirlink/secret", "file", "filelink"} {
			// A link is not followed: it leads out.
			f, err := OpenStrict(tmp, path, os.O_RDONLY, 0)
			if err != nil {
				continue
			}
			buf := make([]byte, 16)
			n, _ := f.Read(buf)
			f.Close()
			if string(buf[:n]) != "public" {
				t.Fatalf("%s has %q", path, buf[:n])
			}
		}
		tmp.Close()
	}
}
