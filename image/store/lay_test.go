package store

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/pkg/archive"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"
)

func every(*tar.Header) (bool, error) { return true, nil }

// tarOf makes a tar; the text of an entry is its content.
func tarOf(t testing.TB, entries ...tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range entries {
		text := h.PAXRecords["text"]
		delete(h.PAXRecords, "text")
		if h.Typeflag == tar.TypeReg {
			h.Size = int64(len(text))
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(h.Name, err)
		}
		if _, err := io.WriteString(w, text); h.Typeflag == tar.TypeReg && err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// looks describes all that is in a directory, but not times that nobody set, and those
// of directories and links only if they are asked for.
func looks(t *testing.T, dir string, began time.Time, dirTimes bool) string {
	t.Helper()
	var out strings.Builder
	inodes := map[uint64]string{}
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		fmt.Fprintf(&out, "%s %o %d:%d %x", name, st.Mode, st.Uid, st.Gid, st.Rdev)
		times := []unix.Timespec{st.Mtim, st.Atim}
		if st.Mode&unix.S_IFMT != unix.S_IFREG && !dirTimes {
			times = nil
		}
		for _, ts := range times {
			if at := time.Unix(ts.Unix()); at.Before(began) {
				fmt.Fprintf(&out, " %v", at.UnixNano())
			}
		}
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFREG:
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			if first := inodes[st.Ino]; first != "" {
				fmt.Fprintf(&out, " is %s", first)
			}
			inodes[st.Ino] = name
			fmt.Fprintf(&out, " %q", data)
		case unix.S_IFLNK:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			fmt.Fprintf(&out, " -> %s", target)
		}
		buf := make([]byte, 1<<10)
		n, err := unix.Llistxattr(path, buf)
		if err != nil {
			return err
		}
		attributes := strings.Split(string(buf[:n]), "\x00")
		slices.Sort(attributes)
		for _, a := range attributes[1:] {
			n, err := unix.Lgetxattr(path, a, buf)
			if err != nil {
				return err
			}
			fmt.Fprintf(&out, " %s=%q", a, buf[:n])
		}
		out.WriteString("\n")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// both unpacks a layer by containerd's code and by ours, and compares. What one of
// them refuses the other may take only if that is ours. containerd's gives the times
// of a directory to whatever has replaced it.
func both(t *testing.T, layer []byte, dirTimes bool, parents ...string) (failed, theirs error) {
	t.Helper()
	began := time.Now().Add(-time.Second)
	their, ours := t.TempDir(), t.TempDir()
	_, theirs = archive.Apply(t.Context(), their, bytes.NewReader(layer), archive.WithConvertWhiteout(archive.OverlayConvertWhiteout), archive.WithParents(parents))
	_, err := lay(t.Context(), ours, parents, bytes.NewReader(layer), every)
	if err != nil && theirs == nil {
		t.Error(err)
	}
	if err != nil || theirs != nil {
		return err, theirs
	}
	if want, got := looks(t, their, began, dirTimes), looks(t, ours, began, dirTimes); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	return nil, nil
}

var then = time.Unix(1e9, 123456789)

func entry(name string, kind byte, mode int64, also ...func(*tar.Header)) tar.Header {
	h := tar.Header{Name: name, Typeflag: kind, Mode: mode, ModTime: then, Format: tar.FormatPAX, PAXRecords: map[string]string{}}
	for _, f := range also {
		f(&h)
	}
	return h
}

func text(s string) func(*tar.Header)   { return func(h *tar.Header) { h.PAXRecords["text"] = s } }
func target(s string) func(*tar.Header) { return func(h *tar.Header) { h.Linkname = s } }
func owned(uid, gid int) func(*tar.Header) {
	return func(h *tar.Header) { h.Uid, h.Gid = uid, gid }
}

func attribute(name, value string) func(*tar.Header) {
	return func(h *tar.Header) { h.PAXRecords[xattrRecord+name] = value }
}

// TestLayersLookAsContainerds: all that a layer may hold comes out as containerd's
// own code has it.
func TestLayersLookAsContainerds(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	lower := t.TempDir()
	for _, dir := range []string{"tmp", "var/lib"} {
		if err := os.MkdirAll(filepath.Join(lower, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, err := range []error{
		os.Chmod(filepath.Join(lower, "tmp"), os.ModeSticky|0o777), os.Chown(filepath.Join(lower, "var/lib"), 5, 6),
		unix.Setxattr(filepath.Join(lower, "var/lib"), "user.x", []byte("y"), 0), os.Chtimes(filepath.Join(lower, "tmp"), then, then),
		os.Symlink("elsewhere", filepath.Join(lower, "link")), os.WriteFile(filepath.Join(lower, "file"), nil, 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	capability := "\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	for name, entries := range map[string][]tar.Header{
		"files": {
			entry("a", tar.TypeReg, 0o644, text("text")), entry("b/c/d", tar.TypeReg, 0o4711, owned(3, 4), text("x")),
			entry("empty", tar.TypeReg, 0), entry("./dot/./f", tar.TypeReg, 0o2666), entry("a", tar.TypeReg, 0o600, text("again")),
		},
		"directories": {
			entry("d/", tar.TypeDir, 0o1777, owned(1, 2)), entry("d/f", tar.TypeReg, 0o644), entry("d", tar.TypeDir, 0o700),
			entry("x", tar.TypeDir, 0o2750), entry("x/y", tar.TypeDir, 0o755), entry("x/y/z", tar.TypeReg, 0o644), entry("./", tar.TypeDir, 0o700),
		},
		"links": {
			entry("f", tar.TypeReg, 0o640, owned(1, 1), text("f")), entry("h", tar.TypeLink, 0o640, owned(1, 1), target("f")),
			entry("s", tar.TypeSymlink, 0o777, target("../../f"), owned(7, 7)), entry("hs", tar.TypeLink, 0o777, target("s"), owned(7, 7)),
			entry("bin", tar.TypeSymlink, 0o777, target("usr/bin")), entry("usr/bin", tar.TypeDir, 0o755), entry("bin/sh", tar.TypeReg, 0o755, text("sh")),
			entry("abs", tar.TypeSymlink, 0o777, target("/usr")), entry("abs/bin/x", tar.TypeLink, 0o755, target("/abs/bin/sh")),
		},
		"no such target": {entry("h", tar.TypeLink, 0o640, target("none"))},
		"replaced": {
			entry("d", tar.TypeDir, 0o755), entry("d/e/f", tar.TypeReg, 0o644), entry("d", tar.TypeReg, 0o600, text("now a file")),
			entry("l", tar.TypeSymlink, 0o777, target("d")), entry("l", tar.TypeDir, 0o755), entry("l/in", tar.TypeReg, 0o644),
			entry("g", tar.TypeReg, 0o600), entry("g", tar.TypeSymlink, 0o777, target("l")), entry("g", tar.TypeDir, 0o711),
		},
		"below a file": {entry("f", tar.TypeReg, 0o644), entry("f/g", tar.TypeReg, 0o644)},
		"nodes": {
			entry("fifo", tar.TypeFifo, 0o640), entry("null", tar.TypeChar, 0o666, func(h *tar.Header) { h.Devmajor, h.Devminor = 1, 3 }),
			entry("disk", tar.TypeBlock, 0o600, func(h *tar.Header) { h.Devmajor, h.Devminor = 259, 300 }, owned(0, 6)),
		},
		"device out of range": {{Name: "x", Typeflag: tar.TypeChar, Devmajor: 1 << 32, Format: tar.FormatGNU}},
		"whiteouts": {
			entry("d", tar.TypeDir, 0o755), entry("d/.wh..wh..opq", tar.TypeReg, 0), entry(".wh.gone", tar.TypeReg, 0, owned(1, 2)),
			entry("new/.wh.x", tar.TypeReg, 0), entry("new/x", tar.TypeReg, 0o644, text("here after all")),
		},
		"whiteout of nothing": {entry(".wh.", tar.TypeReg, 0)},
		"whiteout of a name":  {entry("x", tar.TypeReg, 0o644), entry(".wh.x", tar.TypeReg, 0)},
		"attributes": {
			entry("f", tar.TypeReg, 0o755, attribute("user.a", "b"), attribute("security.capability", capability), owned(1, 1)),
			entry("d", tar.TypeDir, 0o755, attribute("user.a", "c"), attribute("trusted.overlay.opaque", "y")),
			entry("s", tar.TypeSymlink, 0o777, target("f"), attribute("user.a", "none")), entry("p", tar.TypeFifo, 0o600, attribute("user.a", "none")),
		},
		"times": {
			entry("old", tar.TypeReg, 0o644, func(h *tar.Header) { h.ModTime = time.Unix(-5, 0) }),
			entry("read", tar.TypeReg, 0o644, func(h *tar.Header) { h.AccessTime = then.Add(time.Hour) }),
			entry("d", tar.TypeDir, 0o755, func(h *tar.Header) { h.AccessTime = then.Add(-time.Hour) }), entry("d/f", tar.TypeReg, 0o644),
		},
		"parents'": {
			entry("tmp/f", tar.TypeReg, 0o644), entry("var/lib/x/f", tar.TypeReg, 0o644), entry("none/f", tar.TypeReg, 0o644),
			entry("link/f", tar.TypeReg, 0o644), entry("file/f", tar.TypeReg, 0o644),
		},
		"dangling": {entry("s", tar.TypeSymlink, 0o777, target("none")), entry("s/f", tar.TypeReg, 0o644)},
		"global":   {{Name: "g", Typeflag: tar.TypeXGlobalHeader, PAXRecords: map[string]string{"comment": "x"}}, entry("f", tar.TypeReg, 0o644)},
		"unknown":  {{Name: "c", Typeflag: tar.TypeCont}},
	} {
		t.Run(name, func(t *testing.T) {
			for i := range entries {
				if entries[i].Format == 0 {
					entries[i].Format = tar.FormatPAX
				}
			}
			failed, theirs := both(t, tarOf(t, entries...), true, lower, t.TempDir())
			if (failed == nil) != (theirs == nil) {
				t.Errorf("error %v, containerd's %v", failed, theirs)
			}
		})
	}
}

// TestLayersOfChance: the same of layers of which many entries are in each other's way.
func TestLayersOfChance(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	seed := uint64(time.Now().UnixNano()) //nolint:gosec // any
	r := rand.New(rand.NewPCG(seed, 0))   //nolint:gosec // no secret
	t.Log("seed", seed)
	name := func() string {
		parts := make([]string, 1+r.IntN(3))
		for i := range parts {
			parts[i] = string(rune('a' + r.IntN(4)))
		}
		return strings.Join(parts, "/")
	}
	whole := 0
	for range 100 {
		var list []tar.Header
		for range 1 + r.IntN(12) {
			kind := []byte{tar.TypeReg, tar.TypeDir, tar.TypeSymlink, tar.TypeLink, tar.TypeReg, tar.TypeDir}[r.IntN(6)]
			h := entry(name(), kind, int64(r.IntN(0o10000)), owned(r.IntN(2), r.IntN(2)), text(fmt.Sprint(r.Int())))
			if kind == tar.TypeSymlink || kind == tar.TypeLink {
				h.Linkname = name()
			}
			list = append(list, h)
		}
		if failed, _ := both(t, tarOf(t, list...), false); failed == nil {
			whole++
		}
		if t.Failed() {
			for _, h := range list {
				t.Logf("%c %o %d:%d %s -> %s", h.Typeflag, h.Mode, h.Uid, h.Gid, h.Name, h.Linkname)
			}
			return
		}
	}
	if whole < 15 {
		t.Errorf("only %d layers could be unpacked", whole)
	}
}

// TestLayerThatEnds: what is cut off, refused or no longer wanted is an error.
func TestLayerThatEnds(t *testing.T) {
	layer := tarOf(t, entry("f", tar.TypeReg, 0o644, owned(os.Getuid(), os.Getgid()), text(strings.Repeat("x", 5000))))
	if _, err := lay(t.Context(), t.TempDir(), nil, bytes.NewReader(layer[:3000]), every); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("half of a layer: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := lay(ctx, t.TempDir(), nil, bytes.NewReader(layer), every); !errors.Is(err, context.Canceled) {
		t.Errorf("one that is given up: %v", err)
	}
	no := func(*tar.Header) (bool, error) { return false, errdefs.ErrInvalidArgument }
	if _, err := lay(t.Context(), t.TempDir(), nil, bytes.NewReader(layer), no); !errdefs.IsInvalidArgument(err) {
		t.Errorf("one that is refused: %v", err)
	}
	full := filepath.Join(t.TempDir(), "none")
	if _, err := lay(t.Context(), full, nil, bytes.NewReader(layer), every); !errors.Is(err, syscall.ENOENT) {
		t.Errorf("no directory: %v", err)
	}
}

// TestLayersBesideEachOther: a layer that is unpacked before those below it looks as
// if it had been unpacked after them.
func TestLayersBesideEachOther(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	db := open(t)
	ctx := db.Context(t.Context())
	b := db.Beside()
	layers := [][]byte{
		tarOf(t, entry("tmp", tar.TypeDir, 0o1777), entry("var", tar.TypeDir, 0o700, owned(3, 4)), entry("var/x", tar.TypeDir, 0o711), entry("late", tar.TypeDir, 0o711)),
		tarOf(t, entry("var", tar.TypeDir, 0o750, owned(5, 6), attribute("user.a", "b"))),
		tarOf(t, entry("tmp/f", tar.TypeReg, 0o644), entry("var/x/f", tar.TypeReg, 0o644), entry("new/f", tar.TypeReg, 0o644),
			entry("late/f", tar.TypeReg, 0o644), entry("late", tar.TypeDir, 0o755, owned(7, 7))),
	}
	for i, data := range slices.Backward(layers) { // the topmost first
		d := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: digest.FromBytes(data), Size: int64(len(data))}
		if err := content.WriteBlob(ctx, db.Content, d.Digest.String(), bytes.NewReader(data), d); err != nil {
			t.Fatal(err)
		}
		m, err := b.Prepare(ctx, fmt.Sprint("work", i), "")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.Apply(ctx, d, m); err != nil {
			t.Fatal(err)
		}
	}
	parent := ""
	for i := range layers {
		name := fmt.Sprint("layer", i)
		if err := b.Commit(ctx, name, fmt.Sprint("work", i), snapshots.WithParent(parent)); err != nil {
			t.Fatal(err)
		}
		parent = name
	}
	top, parent, err := db.SnapshotDir(ctx, "layer2")
	if err != nil || parent != "layer1" {
		t.Fatal(parent, err)
	}
	for name, want := range map[string]string{
		"tmp": "41777 0:0", "var": "40750 5:6", "var/x": "40711 0:0", "new": "40755 0:0", "late": "40755 7:7",
	} {
		var st unix.Stat_t
		if err := unix.Lstat(filepath.Join(top, name), &st); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprintf("%o %d:%d", st.Mode, st.Uid, st.Gid); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	value := make([]byte, 10)
	if n, err := unix.Lgetxattr(filepath.Join(top, "var"), "user.a", value); err != nil || string(value[:n]) != "b" {
		t.Errorf("attribute %q %v", value, err)
	}
	if len(b.implied) != 0 {
		t.Errorf("remembered for nothing: %v", b.implied)
	}
}

// FuzzLay: whatever a layer says, nothing outside of its directory is made or
// changed.
func FuzzLay(f *testing.F) {
	for _, entries := range [][]tar.Header{
		{entry("a/b", tar.TypeReg, 0o644, text("x")), entry("a/.wh.b", tar.TypeReg, 0)},
		{entry("out", tar.TypeSymlink, 0o777, target("../../..")), entry("out/canary", tar.TypeReg, 0o644, text("x"))},
		{entry("out", tar.TypeSymlink, 0o777, target("/../canary")), entry("out", tar.TypeReg, 0o4755, owned(1, 1))},
		{entry("in", tar.TypeLink, 0o644, target("../canary")), entry("../canary", tar.TypeReg, 0o600, text("x"))},
		{entry("d", tar.TypeDir, 0o700), entry("d/..", tar.TypeDir, 0o777), entry("d", tar.TypeSymlink, 0o777, target(".."))},
		{entry("dev", tar.TypeChar, 0o666), entry("dev/x", tar.TypeReg, 0o644), entry(".wh..wh..opq", tar.TypeReg, 0)},
	} {
		f.Add(tarOf(f, entries...))
	}
	f.Fuzz(func(t *testing.T, layer []byte) {
		dir := t.TempDir()
		root, canary := filepath.Join(dir, "root"), filepath.Join(dir, "canary")
		if err := errors.Join(os.Mkdir(root, 0o755), os.WriteFile(canary, []byte("alive"), 0o640)); err != nil {
			t.Fatal(err)
		}
		before, err := os.Stat(canary)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = lay(t.Context(), root, nil, bytes.NewReader(layer), every) // an error is a fine answer
		found, err := os.ReadDir(dir)
		if err != nil || len(found) != 2 {
			t.Fatalf("beside the layer: %v, %v", found, err)
		}
		after, err := os.Stat(canary)
		if err != nil || after.Mode() != before.Mode() || !after.ModTime().Equal(before.ModTime()) || after.Size() != before.Size() {
			t.Fatalf("%v, before %v; %v", after, before, err)
		}
		if st := after.Sys().(*syscall.Stat_t); st.Uid != 0 || st.Nlink != 1 {
			t.Fatalf("%+v", st)
		}
	})
}
