package archive

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// jail is a root directory with a file beside it that must never change.
func jail(t testing.TB) (root *os.File, dir string) {
	t.Helper()
	host := t.TempDir()
	dir = filepath.Join(host, "root")
	check(t, os.MkdirAll(filepath.Join(dir, "dest"), 0o755))
	check(t, os.WriteFile(filepath.Join(host, "canary"), []byte("alive"), 0o600))
	root, err := os.Open(dir)
	check(t, err)
	t.Cleanup(func() {
		root.Close()
		entries, err := os.ReadDir(host)
		canary, cerr := os.ReadFile(filepath.Join(host, "canary"))
		var st unix.Stat_t
		serr := unix.Stat(filepath.Join(host, "canary"), &st)
		if err != nil || cerr != nil || serr != nil || len(entries) != 2 || string(canary) != "alive" || st.Nlink != 1 || st.Mode&0o7777 != 0o600 {
			t.Errorf("outside of the root: %v, %q, %+v", entries, canary, st)
		}
	})
	return root, dir
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

type item struct {
	tar.Header
	body string
}

func stream(t testing.TB, items ...item) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, i := range items {
		h := i.Header
		h.Size = int64(len(i.body))
		if h.Typeflag == 0 {
			h.Typeflag = tar.TypeReg
		}
		if h.Mode == 0 {
			h.Mode = 0o644
		}
		check(t, w.WriteHeader(&h))
		_, err := io.WriteString(w, i.body)
		check(t, err)
	}
	check(t, w.Close())
	return b.Bytes()
}

func entry(name, body string) item { return item{tar.Header{Name: name}, body} }

func directory(name string) item {
	return item{tar.Header{Name: name, Typeflag: tar.TypeDir, Mode: 0o755}, ""}
}

func symlink(name, target string) item {
	return item{tar.Header{Name: name, Typeflag: tar.TypeSymlink, Linkname: target}, ""}
}

func hardlink(name, target string) item {
	return item{tar.Header{Name: name, Typeflag: tar.TypeLink, Linkname: target}, ""}
}

func unpack(t testing.TB, root *os.File, o UnpackOptions, items ...item) error {
	t.Helper()
	return Unpack(t.Context(), root, "/dest", bytes.NewReader(stream(t, items...)), o)
}

// tree lists what is below dir, one line per entry.
func tree(t testing.TB, dir string) []string {
	t.Helper()
	var out []string
	check(t, filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		check(t, err)
		if p == dir {
			return nil
		}
		line := strings.TrimPrefix(p, dir+"/")
		switch d.Type() {
		case fs.ModeDir:
			line += "/"
		case fs.ModeSymlink:
			target, err := os.Readlink(p)
			check(t, err)
			line += " -> " + target
		case 0:
			b, err := os.ReadFile(p)
			check(t, err)
			line += " " + string(b)
		}
		out = append(out, line)
		return nil
	}))
	return out
}

func listed(t testing.TB, b []byte) []string {
	t.Helper()
	var out []string
	r := tar.NewReader(bytes.NewReader(b))
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		check(t, err)
		line := h.Name
		if h.Linkname != "" {
			line += " " + string(h.Typeflag) + " " + h.Linkname
		}
		out = append(out, line)
	}
}

func TestPackNames(t *testing.T) {
	root, dir := jail(t)
	check(t, os.MkdirAll(filepath.Join(dir, "a/b"), 0o755))
	check(t, os.WriteFile(filepath.Join(dir, "a/b/f"), []byte("x"), 0o644))
	check(t, os.Link(filepath.Join(dir, "a/b/f"), filepath.Join(dir, "a/b/g")))
	check(t, os.Symlink("/a/b", filepath.Join(dir, "l")))
	check(t, unix.Mkfifo(filepath.Join(dir, "a/p"), 0o600))
	check(t, unix.Mknod(filepath.Join(dir, "a/sock"), unix.S_IFSOCK|0o600, 0))
	for path, want := range map[string][]string{
		"/a":     {"a/", "a/b/", "a/b/f", "a/b/g 1 a/b/f", "a/p"},
		"a/b/":   {"b/", "b/f", "b/g 1 b/f"},
		"a/b/.":  {"./", "./f", "./g 1 ./f"},
		"/l":     {"l 2 /a/b"},
		"/l/":    {"l/", "l/f", "l/g 1 l/f"},
		"/l/.":   {"./", "./f", "./g 1 ./f"},
		"/a/b/g": {"g"},
		"/":      {"/", "/a/", "/a/b/", "/a/b/f", "/a/b/g 1 /a/b/f", "/a/p", "/dest/", "/l 2 /a/b"},
	} {
		var b bytes.Buffer
		check(t, Pack(t.Context(), &b, root, path, PackOptions{}))
		if got := listed(t, b.Bytes()); !slices.Equal(got, want) {
			t.Errorf("%s: %q", path, got)
		}
	}
	if err := Pack(t.Context(), io.Discard, root, "/none", PackOptions{}); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if err := Pack(t.Context(), io.Discard, root, "/a/b/f/", PackOptions{}); !errors.Is(err, unix.ENOTDIR) {
		t.Error(err)
	}
}

func TestRoundTrip(t *testing.T) {
	root, dir := jail(t)
	when := time.Unix(1500000000, 123456789)
	check(t, os.MkdirAll(filepath.Join(dir, "src/sub"), 0o755))
	f := filepath.Join(dir, "src/sub/f")
	check(t, os.WriteFile(f, []byte("content"), 0o600))
	check(t, os.Chown(f, 1234, 5678))
	check(t, os.Chmod(f, 0o750|fs.ModeSetuid))
	check(t, unix.Setxattr(f, "security.capability", []byte("\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"), 0))
	check(t, os.WriteFile(filepath.Join(dir, "src/sparse"), nil, 0o600))
	check(t, os.Truncate(filepath.Join(dir, "src/sparse"), 50<<20))
	check(t, unix.Mknod(filepath.Join(dir, "src/null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))))
	check(t, os.Chmod(filepath.Join(dir, "src/null"), 0o666))
	check(t, os.Chtimes(f, when, when))
	check(t, os.Chtimes(filepath.Join(dir, "src/sub"), when, when))
	var b bytes.Buffer
	check(t, Pack(t.Context(), &b, root, "/src/.", PackOptions{Exact: true}))
	check(t, Unpack(t.Context(), root, "/dest", &b, UnpackOptions{}))
	info, err := os.Stat(filepath.Join(dir, "dest/sub/f"))
	check(t, err)
	var u unix.Stat_t
	check(t, unix.Stat(filepath.Join(dir, "dest/sub/f"), &u))
	if info.Mode() != 0o750|fs.ModeSetuid || !info.ModTime().Equal(when) || u.Uid != 1234 || u.Gid != 5678 {
		t.Errorf("%v %v %d:%d", info.Mode(), info.ModTime(), u.Uid, u.Gid)
	}
	attr := make([]byte, 100)
	if n, err := unix.Getxattr(filepath.Join(dir, "dest/sub/f"), "security.capability", attr); err != nil || n != 20 {
		t.Errorf("capability: %d, %v", n, err)
	}
	if info, err := os.Stat(filepath.Join(dir, "dest/sub")); err != nil || !info.ModTime().Equal(when) {
		t.Errorf("directory: %v, %v", info.ModTime(), err)
	}
	check(t, unix.Stat(filepath.Join(dir, "dest/sparse"), &u))
	if u.Size != 50<<20 || u.Blocks > 100 {
		t.Errorf("sparse: %d bytes in %d blocks", u.Size, u.Blocks)
	}
	check(t, unix.Stat(filepath.Join(dir, "dest/null"), &u))
	if u.Mode != unix.S_IFCHR|0o666 || u.Rdev != unix.Mkdev(1, 3) {
		t.Errorf("node: %o %x", u.Mode, u.Rdev)
	}
}

func TestUnpackReplaces(t *testing.T) {
	root, dir := jail(t)
	before := []item{directory("d"), entry("d/x", "1"), entry("f", "1"), symlink("l", "f"), symlink("ld", "d")}
	check(t, unpack(t, root, UnpackOptions{}, before...))
	// Merging, replacing a file and a link, following a link on the way.
	check(t, unpack(t, root, UnpackOptions{NoOverwriteDirNonDir: true},
		directory("d"), entry("d/y", "2"), entry("f", "2"), entry("l", "2"), entry("ld/z", "2"), entry("new/deep/f", "2"), entry("f", "3")))
	want := []string{"d/", "d/x 1", "d/y 2", "d/z 2", "f 3", "l 2", "ld -> d", "new/", "new/deep/", "new/deep/f 2"}
	if got := tree(t, filepath.Join(dir, "dest")); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	for _, items := range [][]item{{entry("d", "x")}, {directory("f")}, {directory("ld")}} {
		err := unpack(t, root, UnpackOptions{NoOverwriteDirNonDir: true}, items...)
		if !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), "cannot overwrite ") {
			t.Errorf("%s: %v", items[0].Name, err)
		}
	}
	check(t, unpack(t, root, UnpackOptions{}, entry("d", "x"), directory("f")))
	if got := tree(t, filepath.Join(dir, "dest")); !slices.Equal(got[:2], []string{"d x", "f/"}) {
		t.Errorf("%q", got)
	}
}

// Streams that would like to get out, and what is left of them inside.
func TestHostileStreams(t *testing.T) {
	for name, tc := range map[string]struct {
		items []item
		want  []string // below the root, except dest/; nil: refused
	}{
		"dot dot":              {items: []item{entry("../canary", "x")}},
		"deep dot dot":         {items: []item{entry("a/../../../canary", "x")}},
		"absolute":             {[]item{entry("/etc/x", "1")}, []string{"dest/", "dest/etc/", "dest/etc/x 1"}},
		"absolute dot dot":     {items: []item{entry("/../x", "1")}},
		"link then file":       {[]item{symlink("a", "../../.."), entry("a/canary", "x")}, []string{"canary x", "dest/", "dest/a -> ../../.."}},
		"absolute link":        {[]item{symlink("a", "/"), entry("a/canary", "x")}, []string{"canary x", "dest/", "dest/a -> /"}},
		"dangling link":        {[]item{symlink("a", "/new/dir"), entry("a/f", "x")}, []string{"dest/", "dest/a -> /new/dir", "new/", "new/dir/", "new/dir/f x"}},
		"link loop":            {items: []item{symlink("a", "b"), symlink("b", "a"), entry("a/f", "x")}},
		"link replaced by dir": {[]item{symlink("a", "/"), directory("a"), entry("a/f", "x")}, []string{"dest/", "dest/a/", "dest/a/f x"}},
		"hard link outside":    {items: []item{hardlink("h", "../canary")}},
		"hard link by link":    {items: []item{symlink("a", "../.."), hardlink("h", "a/canary")}},
		"hard link absolute":   {items: []item{hardlink("h", "/canary")}},
		"hard link to link":    {[]item{symlink("a", "/x"), hardlink("h", "a"), entry("h", "1")}, []string{"dest/", "dest/a -> /x", "dest/h 1"}},
		"hard link to self":    {items: []item{entry("f", "1"), hardlink("f", "f")}},
		"duplicates":           {[]item{entry("f", "1"), entry("./f", "2"), entry("x/../f", "3")}, []string{"dest/", "dest/f 3"}},
		"the directory itself": {[]item{directory("."), directory("/"), entry("f", "1")}, []string{"dest/", "dest/f 1"}},
		"whiteouts are names":  {[]item{entry("f", "1"), entry(".wh.f", ""), entry(".wh..wh..opq", "")}, []string{"dest/", "dest/.wh..wh..opq ", "dest/.wh.f ", "dest/f 1"}},
		"overlay whiteout":     {items: []item{{tar.Header{Name: "f", Typeflag: tar.TypeChar}, ""}}},
		"unknown type":         {items: []item{{tar.Header{Name: "f", Typeflag: 'Z'}, ""}}},
		"long name":            {items: []item{entry(strings.Repeat("n", 300), "")}},
		"long path":            {items: []item{entry(strings.Repeat("n/", 3000)+"f", "")}},
		"huge name":            {items: []item{entry(strings.Repeat("n/", 400000)+"f", "")}},
	} {
		t.Run(name, func(t *testing.T) {
			root, dir := jail(t)
			err := unpack(t, root, UnpackOptions{}, tc.items...)
			if (err == nil) != (tc.want != nil) {
				t.Fatalf("%v", err)
			}
			if got := tree(t, dir); tc.want != nil && !slices.Equal(got, tc.want) {
				t.Errorf("%q", got)
			}
		})
	}
}

func TestForeignAttributesAreDropped(t *testing.T) {
	root, dir := jail(t)
	i := entry("f", "1")
	i.PAXRecords = map[string]string{
		paxXattr + "trusted.overlay.opaque": "y", paxXattr + "trusted.overlay.redirect": "/etc", paxXattr + "security.selinux": "x",
	}
	check(t, unpack(t, root, UnpackOptions{}, i))
	buf := make([]byte, 1000)
	n, err := unix.Listxattr(filepath.Join(dir, "dest/f"), buf)
	if err != nil || n != 0 {
		t.Errorf("%q, %v", buf[:max(n, 0)], err)
	}
}

func TestOwner(t *testing.T) {
	root, dir := jail(t)
	i := entry("f", "1")
	i.Uid, i.Gid = 7, 8
	check(t, unpack(t, root, UnpackOptions{Owner: &Owner{70, 80}}, i, symlink("l", "f")))
	for _, name := range []string{"f", "l"} {
		var st unix.Stat_t
		check(t, unix.Lstat(filepath.Join(dir, "dest", name), &st))
		if st.Uid != 70 || st.Gid != 80 {
			t.Errorf("%s: %d:%d", name, st.Uid, st.Gid)
		}
	}
}

func TestUnpackIntoMountedFile(t *testing.T) {
	root, dir := jail(t)
	outer := filepath.Join(t.TempDir(), "hosts")
	check(t, os.WriteFile(outer, []byte("a long old text"), 0o644))
	at := filepath.Join(dir, "dest/hosts")
	check(t, os.WriteFile(at, nil, 0o644))
	check(t, unix.Mount(outer, at, "", unix.MS_BIND, ""))
	defer func() { check(t, unix.Unmount(at, 0)) }()
	check(t, unpack(t, root, UnpackOptions{}, entry("hosts", "new")))
	if b, err := os.ReadFile(outer); err != nil || string(b) != "new" {
		t.Errorf("%q, %v", b, err)
	}
}

func TestKernelFileSystemsAreLeftAlone(t *testing.T) {
	root, err := os.Open("/")
	check(t, err)
	defer root.Close()
	for _, dir := range []string{"/proc", "/proc/sys/kernel", "/sys/kernel"} {
		err := Unpack(t.Context(), root, dir, bytes.NewReader(stream(t, entry("core_pattern", "x"))), UnpackOptions{})
		if !errdefs.IsInvalidArgument(err) {
			t.Errorf("%s: %v", dir, err)
		}
		if err := Pack(t.Context(), io.Discard, root, dir, PackOptions{}); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%s: %v", dir, err)
		}
	}
}

func TestCancel(t *testing.T) {
	root, _ := jail(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("why")
	cancel(why)
	if err := Pack(ctx, io.Discard, root, "/", PackOptions{}); !errors.Is(err, why) {
		t.Error(err)
	}
	if err := Unpack(ctx, root, "/dest", bytes.NewReader(stream(t, entry("f", "1"))), UnpackOptions{}); !errors.Is(err, why) {
		t.Error(err)
	}
}

func TestStat(t *testing.T) {
	root, dir := jail(t)
	check(t, os.MkdirAll(filepath.Join(dir, "a/b"), 0o750))
	check(t, os.WriteFile(filepath.Join(dir, "a/f"), []byte("12345"), 0o640))
	for name, target := range map[string]string{"l": "a/f", "up": "../../../a/l2", "a/l2": "/l", "gone": "/a/none/x", "loop": "loop"} {
		check(t, os.Symlink(target, filepath.Join(dir, name)))
	}
	for path, want := range map[string]string{"/l": "/a/f", "up": "/a/f", "gone": "/a/none/x", "a/f": ""} {
		st, err := Stat(root, path)
		if err != nil || st.LinkTarget != want || st.Name != filepath.Base(path) {
			t.Errorf("%s: %+v, %v", path, st, err)
		}
	}
	if st, err := Stat(root, "/a/f"); err != nil || st.Size != 5 || st.Mode != 0o640 {
		t.Errorf("%+v, %v", st, err)
	}
	if st, err := Stat(root, "/a/b/."); err != nil || st.Name != "." || st.Mode != fs.ModeDir|0o750 {
		t.Errorf("%+v, %v", st, err)
	}
	if _, err := Stat(root, "/loop"); err == nil {
		t.Error("resolved a loop")
	}
}
