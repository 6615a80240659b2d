package archive

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// flip exchanges two names of a directory as fast as it can until the test ends.
func flip(t *testing.T, dir, a, b string) {
	t.Helper()
	d, err := os.Open(dir)
	check(t, err)
	var stop atomic.Bool
	var wg sync.WaitGroup
	wg.Go(func() {
		for !stop.Load() {
			_ = unix.Renameat2(int(d.Fd()), a, int(d.Fd()), b, unix.RENAME_EXCHANGE)
		}
	})
	t.Cleanup(func() {
		stop.Store(true)
		wg.Wait()
		d.Close()
	})
}

// Somebody exchanges a directory and a link out of the root while files are
// copied through it, both ways. jail checks that nothing gets out.
func TestRaces(t *testing.T) {
	root, dir := jail(t)
	check(t, os.MkdirAll(filepath.Join(dir, "dest/swap/sub"), 0o755))
	check(t, os.WriteFile(filepath.Join(dir, "dest/swap/canary"), []byte("inside"), 0o600))
	check(t, os.Symlink("../..", filepath.Join(dir, "dest/link")))
	flip(t, filepath.Join(dir, "dest"), "swap", "link")
	data := stream(t, directory("swap"), entry("swap/canary", "inside"), entry("swap/sub/new", "inside"), entry("link/other", "inside"), hardlink("link/hard", "swap/canary"))
	for range 1500 {
		_ = Unpack(t.Context(), root, "/dest", bytes.NewReader(data), UnpackOptions{}) // works or not
	}
	for range 1500 {
		for _, path := range []string{"/dest/swap/canary", "/dest/swap/.", "/dest"} {
			var b bytes.Buffer
			_ = Pack(t.Context(), &b, root, path, PackOptions{}) // works or not
			if strings.Contains(b.String(), "alive") {
				t.Fatalf("%s: read the file beside the root", path)
			}
		}
	}
}

// Somebody exchanges a file and a FIFO, a device, or a link.
func TestRaceOfTypes(t *testing.T) {
	root, dir := jail(t)
	check(t, os.WriteFile(filepath.Join(dir, "dest/f"), []byte("inside"), 0o600))
	check(t, unix.Mkfifo(filepath.Join(dir, "dest/p"), 0o600))
	check(t, os.Symlink("../../canary", filepath.Join(dir, "dest/l")))
	flip(t, filepath.Join(dir, "dest"), "f", "p")
	flip(t, filepath.Join(dir, "dest"), "f", "l")
	data := stream(t, entry("f", "new"))
	for range 1500 {
		var b bytes.Buffer
		_ = Pack(t.Context(), &b, root, "/dest/f", PackOptions{}) // works or not
		if strings.Contains(b.String(), "alive") {
			t.Fatal("read the file beside the root")
		}
		_ = Unpack(t.Context(), root, "/dest", bytes.NewReader(data), UnpackOptions{}) // works or not
	}
}

// Very many entries need no memory, and a bomb of zeros no space.
func TestBombs(t *testing.T) {
	root, dir := jail(t)
	r, w := io.Pipe()
	go func() {
		tw := tar.NewWriter(w)
		var err error
		for i := 0; i < 200_000 && err == nil; i++ {
			err = tw.WriteHeader(&tar.Header{Name: "f", Typeflag: tar.TypeSymlink, Linkname: "x", Mode: 0o777})
		}
		w.CloseWithError(errors.Join(err, tw.Close()))
	}()
	check(t, Unpack(t.Context(), root, "/dest", r, UnpackOptions{}))
	// A hole that a file system has room for, were it written.
	h := &tar.Header{Name: "sparse", Typeflag: tar.TypeReg, Mode: 0o600, Size: 1 << 30}
	var b bytes.Buffer
	tw := tar.NewWriter(&b)
	check(t, tw.WriteHeader(h))
	check(t, Unpack(t.Context(), root, "/dest", io.MultiReader(&b, io.LimitReader(zero{}, 1<<30), bytes.NewReader(make([]byte, 1024))), UnpackOptions{}))
	var st unix.Stat_t
	check(t, unix.Stat(filepath.Join(dir, "dest/sparse"), &st))
	if st.Size != 1<<30 || st.Blocks > 100 {
		t.Errorf("%d bytes in %d blocks", st.Size, st.Blocks)
	}
	if _, err := os.Lstat(filepath.Join(dir, "dest/f")); err != nil {
		t.Error(err)
	}
}

type zero struct{}

func (zero) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func FuzzUnpack(f *testing.F) {
	for _, items := range [][]item{
		{directory("a"), entry("a/f", "x"), symlink("l", "../.."), entry("l/canary", "y"), hardlink("h", "l/canary")},
		{entry("../x", "1")},
		{hardlink("a", "/etc/passwd")},
		{{tar.Header{Name: "n", Typeflag: tar.TypeFifo}, ""}},
	} {
		f.Add(stream(f, items...), true)
	}
	f.Fuzz(func(t *testing.T, data []byte, careful bool) {
		root, _ := jail(t)
		// A sparse entry may be as long as a file system allows.
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_ = Unpack(ctx, root, "/dest", bytes.NewReader(data), UnpackOptions{NoOverwriteDirNonDir: careful}) // works or not
		_ = Pack(ctx, io.Discard, root, "/", PackOptions{Exact: careful})
	})
}
