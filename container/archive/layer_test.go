package archive

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/kernel/mount"
)

// stage is an overlay as a container has it.
type stage struct {
	t             *testing.T
	layers        mount.Layers
	merged, lower string
}

func newStage(t *testing.T) *stage {
	t.Helper()
	dir := t.TempDir()
	s := &stage{t: t, merged: filepath.Join(dir, "merged"), lower: filepath.Join(dir, "lower")}
	s.layers = mount.Layers{Lower: []string{s.lower}, Upper: filepath.Join(dir, "upper"), Work: filepath.Join(dir, "work")}
	for _, d := range []string{s.merged, s.lower, s.layers.Upper, s.layers.Work} {
		check(t, os.Mkdir(d, 0o755))
	}
	return s
}

func (s *stage) mount() {
	s.t.Helper()
	root, err := mount.Overlay(s.layers)
	check(s.t, err)
	s.t.Cleanup(func() { root.Close() })
	check(s.t, mount.Attach(root, opened(s.t, s.merged)))
	s.t.Cleanup(func() { check(s.t, unix.Unmount(s.merged, unix.MNT_DETACH)) })
}

func (s *stage) in(p string) string { return filepath.Join(s.merged, p) }

// layer returns the entries of the layer, by what they are.
func (s *stage) layer() ([]string, int, error) {
	s.t.Helper()
	lower, err := mount.Overlay(mount.Layers{Lower: s.layers.Lower})
	check(s.t, err)
	defer lower.Close()
	var out bytes.Buffer
	n, err := Layer(s.t.Context(), &out, opened(s.t, s.layers.Upper), lower, nil)
	if err != nil {
		return nil, n, err
	}
	var list []string
	for r := tar.NewReader(&out); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return list, n, nil
		}
		check(s.t, err)
		text := fmt.Sprintf("%c %s %o %d:%d", h.Typeflag, h.Name, h.Mode, h.Uid, h.Gid)
		if h.Linkname != "" {
			text += " -> " + h.Linkname
		}
		for k, v := range h.PAXRecords {
			if after, ok := strings.CutPrefix(k, paxXattr); ok {
				text += " " + after + "=" + v
			}
		}
		list = append(list, text)
	}
}

// What was done to a merged tree is in its layer, in the words of the image-spec.
func TestLayer(t *testing.T) {
	s := newStage(t)
	for _, d := range []string{"dir/sub", "opaque/old", "quiet", "etc", "gone/below", "todir"} {
		check(t, os.MkdirAll(filepath.Join(s.lower, d), 0o755))
	}
	for _, f := range []string{"dir/a", "dir/c", "opaque/x", "file", "mode", "moved"} {
		check(t, os.WriteFile(filepath.Join(s.lower, f), []byte("1"), 0o644))
	}
	s.mount()
	check(t, os.WriteFile(s.in("dir/sub/new"), []byte("n"), 0o600))
	check(t, os.Link(s.in("dir/sub/new"), s.in("dir/hard")))
	check(t, os.Remove(s.in("dir/c")))
	check(t, os.RemoveAll(s.in("opaque")))
	check(t, os.Mkdir(s.in("opaque"), 0o700))
	check(t, os.WriteFile(s.in("opaque/y"), nil, 0o644))
	check(t, os.Chmod(s.in("mode"), 0o755|os.ModeSetuid))
	check(t, os.Remove(s.in("file")))
	check(t, os.Mkdir(s.in("file"), 0o755))
	check(t, os.RemoveAll(s.in("gone")))
	check(t, os.Remove(s.in("todir")))
	check(t, os.Symlink("/etc/shadow", s.in("todir")))
	check(t, os.Rename(s.in("moved"), s.in("was")))
	check(t, os.Chown(s.in("was"), 7, 8))
	check(t, unix.Mkfifo(s.in("fifo"), 0o600))
	check(t, unix.Setxattr(s.in("was"), "user.kept", []byte("v"), 0))
	check(t, unix.Setxattr(s.in("was"), "trusted.dropped", []byte("v"), 0))
	check(t, os.WriteFile(s.in("quiet/t"), nil, 0o644))
	check(t, os.Remove(s.in("quiet/t")))
	for _, d := range []string{"proc", "dev/pts", "sys"} { // as the engine does
		check(t, os.MkdirAll(s.in(d), 0o755))
	}
	check(t, os.WriteFile(s.in("etc/hosts"), nil, 0o644))
	check(t, os.WriteFile(s.in("dev/mine"), nil, 0o644))

	got, n, err := s.layer()
	check(t, err)
	want := []string{
		"5 dev/ 755 0:0", "0 dev/mine 644 0:0",
		"5 dir/ 755 0:0", "0 dir/.wh.c 600 0:0", "0 dir/hard 600 0:0", "5 dir/sub/ 755 0:0", "1 dir/sub/new 600 0:0 -> dir/hard",
		"6 fifo 600 0:0", "5 file/ 755 0:0", "0 .wh.gone 600 0:0", "0 mode 4755 0:0", "0 .wh.moved 600 0:0",
		"5 opaque/ 700 0:0", "0 opaque/.wh..wh..opq 600 0:0", "0 opaque/y 644 0:0", "2 todir 777 0:0 -> /etc/shadow",
		"0 was 644 7:8 user.kept=v",
	}
	if !slices.Equal(got, want) || n != len(want) {
		t.Errorf("%d\n%q\n%q", n, got, want)
	}
}

// A container that did nothing has nothing to say.
func TestLayerEmpty(t *testing.T) {
	s := newStage(t)
	check(t, os.MkdirAll(filepath.Join(s.lower, "etc"), 0o755))
	s.mount()
	check(t, os.MkdirAll(s.in("dev/shm"), 0o755))
	check(t, os.WriteFile(s.in("etc/resolv.conf"), nil, 0o644))
	if got, n, err := s.layer(); n != 0 || len(got) != 0 || err != nil {
		t.Errorf("%q %d %v", got, n, err)
	}
}

// A name that would mean something else in a layer is refused, not turned into
// the removal of another file.
func TestLayerForgedWhiteout(t *testing.T) {
	for _, name := range []string{".wh.passwd", "a/.wh..wh..opq"} {
		s := newStage(t)
		s.mount()
		check(t, os.MkdirAll(filepath.Dir(s.in(name)), 0o755))
		check(t, os.WriteFile(s.in(name), nil, 0o644))
		if _, _, err := s.layer(); !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), "/"+name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
