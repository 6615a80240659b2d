package cp

import (
	"archive/tar"
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func tree(t *testing.T, dir string) []string {
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
		default:
			b, err := os.ReadFile(p)
			check(t, err)
			line += " " + string(b)
		}
		out = append(out, line)
		return nil
	}))
	return out
}

// What Docker's documentation says of sources and destinations, one line each.
func TestMeaning(t *testing.T) {
	for _, tc := range []struct {
		src, dst string
		follow   bool
		want     []string // in the destination's directory
		err      error
	}{
		{src: "file", dst: "new", want: []string{"dir/", "new F", "old O"}},
		{src: "file", dst: "new/", err: ErrDirNotExists},
		{src: "file", dst: "old", want: []string{"dir/", "old F"}},
		{src: "file", dst: "dir", want: []string{"dir/", "dir/file F", "old O"}},
		{src: "file", dst: "dir/.", want: []string{"dir/", "dir/file F", "old O"}},
		{src: "file", dst: "none/new", err: fs.ErrNotExist},
		{src: "d", dst: "new", want: []string{"dir/", "new/", "new/x X", "old O"}},
		{src: "d/", dst: "new", want: []string{"dir/", "new/", "new/x X", "old O"}},
		{src: "d/.", dst: "new", want: []string{"dir/", "new/", "new/x X", "old O"}},
		{src: "d", dst: "old", err: ErrCannotCopyDir},
		{src: "d", dst: "dir", want: []string{"dir/", "dir/d/", "dir/d/x X", "old O"}},
		{src: "d/.", dst: "dir", want: []string{"dir/", "dir/x X", "old O"}},
		{src: "link", dst: "new", want: []string{"dir/", "new -> file", "old O"}},
		{src: "link", dst: "new", follow: true, want: []string{"dir/", "new F", "old O"}},
		{src: "link", dst: "dir", follow: true, want: []string{"dir/", "dir/link F", "old O"}},
		{src: "dlink", dst: "dir", want: []string{"dir/", "dir/dlink -> d", "old O"}},
		{src: "dlink/.", dst: "dir", want: []string{"dir/", "dir/x X", "old O"}},
		{src: "dlink", dst: "dir", follow: true, want: []string{"dir/", "dir/dlink/", "dir/dlink/x X", "old O"}},
		{src: "none", dst: "dir", err: fs.ErrNotExist},
	} {
		from, to := t.TempDir(), t.TempDir()
		check(t, os.Mkdir(filepath.Join(from, "d"), 0o755))
		check(t, os.WriteFile(filepath.Join(from, "d/x"), []byte("X"), 0o644))
		check(t, os.WriteFile(filepath.Join(from, "file"), []byte("F"), 0o644))
		check(t, os.Symlink("file", filepath.Join(from, "link")))
		check(t, os.Symlink("d", filepath.Join(from, "dlink")))
		check(t, os.Mkdir(filepath.Join(to, "dir"), 0o755))
		check(t, os.WriteFile(filepath.Join(to, "old"), []byte("O"), 0o644))
		err := func() error {
			src, err := Source(from+"/"+tc.src, tc.follow)
			if err != nil {
				return err
			}
			dst, err := Destination(to + "/" + tc.dst)
			if err != nil {
				return err
			}
			dir, rename, err := Place(src, dst)
			if err != nil {
				return err
			}

			var b bytes.Buffer
			if err := Pack(&b, src, PackOptions{Rename: rename}); err != nil {
				return err
			}
			return Unpack(&b, dir, UnpackOptions{})
		}()
		if !errors.Is(err, tc.err) {
			t.Errorf("%s to %s: %v", tc.src, tc.dst, err)
		}
		if got := tree(t, to); err == nil && !slices.Equal(got, tc.want) {
			t.Errorf("%s to %s: %q", tc.src, tc.dst, got)
		}
	}
}

func TestPackOwnersAndLinks(t *testing.T) {
	dir := t.TempDir()
	check(t, os.WriteFile(filepath.Join(dir, "a"), []byte("1"), 0o640))
	check(t, os.Link(filepath.Join(dir, "a"), filepath.Join(dir, "b")))
	for _, keep := range []bool{true, false} {
		var b bytes.Buffer
		check(t, Pack(&b, Info{Path: dir + "/.", IsDir: true}, PackOptions{KeepOwner: keep}))
		r := tar.NewReader(&b)
		var names []string
		for h, err := r.Next(); err == nil; h, err = r.Next() {
			names = append(names, h.Name+" "+h.Linkname)
			if !keep && (h.Uid != 0 || h.Gid != 0) || keep && h.Uid != os.Getuid() {
				t.Errorf("%s: %d:%d", h.Name, h.Uid, h.Gid)
			}
		}
		if want := []string{"./ ", "./a ", "./b ./a"}; !slices.Equal(names, want) {
			t.Errorf("%q", names)
		}
	}
}

// Containers send what they like.
func TestHostileStreams(t *testing.T) {
	for name, items := range map[string][]tar.Header{
		"dot dot":           {{Name: "../canary"}},
		"link then file":    {{Name: "a", Typeflag: tar.TypeSymlink, Linkname: ".."}, {Name: "a/canary"}},
		"link then link":    {{Name: "a", Typeflag: tar.TypeSymlink, Linkname: "/"}, {Name: "a/x", Typeflag: tar.TypeSymlink, Linkname: "y"}},
		"link then dir":     {{Name: "a", Typeflag: tar.TypeSymlink, Linkname: ".."}, {Name: "a/", Typeflag: tar.TypeDir}},
		"hard link outside": {{Name: "a", Typeflag: tar.TypeLink, Linkname: "../canary"}},
		"hard link by link": {{Name: "a", Typeflag: tar.TypeSymlink, Linkname: ".."}, {Name: "b", Typeflag: tar.TypeLink, Linkname: "a/canary"}},
		"device":            {{Name: "a", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 3}},
	} {
		host := t.TempDir()
		dest := filepath.Join(host, "dest")
		check(t, os.Mkdir(dest, 0o755))
		check(t, os.WriteFile(filepath.Join(host, "canary"), []byte("alive"), 0o600))
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		for _, h := range items {
			h.Mode = 0o644
			check(t, w.WriteHeader(&h))
		}
		check(t, w.Close())
		if err := Unpack(&b, dest, UnpackOptions{}); err == nil {
			t.Errorf("%s: no error", name)
		}
		if c, err := os.ReadFile(filepath.Join(host, "canary")); err != nil || string(c) != "alive" {
			t.Errorf("%s: %q, %v", name, c, err)
		}
		if entries, err := os.ReadDir(host); err != nil || len(entries) != 2 {
			t.Errorf("%s: %v, %v", name, entries, err)
		}
	}
}
