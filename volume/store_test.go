package volume

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/containerd/errdefs"
)

func open(t *testing.T) *Store {
	t.Helper()
	s, err := Open(filepath.Join(t.TempDir(), "volumes"), nil, nil, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestCreateIsIdempotentAndRemoveRespectsUsers(t *testing.T) {
	s := open(t)
	v, err := s.Create(t.Context(), CreateOptions{Name: "data", Labels: map[string]string{"a": "b"}})
	if err != nil {
		t.Fatal(err)
	}
	again, err := s.Create(t.Context(), CreateOptions{Name: "data"})
	if err != nil || again.Labels["a"] != "b" || again.Path != v.Path {
		t.Fatalf("second create: %+v, %v", again, err)
	}
	release, err := s.Use("", "data", "c1")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Remove(t.Context(), "data"); !errdefs.IsConflict(err) {
		t.Fatalf("removing a volume in use: %v", err)
	}
	release()
	release() // harmless
	if err := s.Remove(t.Context(), "data"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get("data"); !errdefs.IsNotFound(err) {
		t.Fatalf("after removal: %v", err)
	}
}

func TestCheckName(t *testing.T) {
	for _, bad := range []string{"", "a", "../x", "a/b", ".new-x", "a\nb", "-x"} {
		if err := CheckName(bad); !errdefs.IsInvalidArgument(err) {
			t.Errorf("CheckName(%q) = %v", bad, err)
		}
	}
}

func TestOpenRemovesLeftovers(t *testing.T) {
	root := t.TempDir()
	for _, d := range []string{halfMade + "x", halfGone + "y"} {
		if err := os.MkdirAll(filepath.Join(root, d, dataDir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Open(root, nil, nil, nil, nil); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(root)
	if err != nil || len(left) != 0 {
		t.Fatalf("left: %v, %v", left, err)
	}
}

func TestCopyUpFollowsNoLinks(t *testing.T) {
	s := open(t)
	v, err := s.Create(t.Context(), CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	src := t.TempDir()
	if err := os.WriteFile(filepath.Join(src, "file"), []byte("hi"), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(src, "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc", filepath.Join(src, "dirlink")); err != nil {
		t.Fatal(err)
	}
	dir, err := os.Open(src)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	if err := CopyUp(t.Context(), v, dir); err != nil {
		t.Fatal(err)
	}
	if got, err := os.Readlink(filepath.Join(v.Path, "link")); err != nil || got != "/etc/passwd" {
		t.Fatalf("link: %q, %v", got, err)
	}
	if got, err := os.Readlink(filepath.Join(v.Path, "dirlink")); err != nil || got != "/etc" {
		t.Fatalf("dirlink: %q, %v", got, err)
	}
	st, err := os.Stat(filepath.Join(v.Path, "file"))
	if err != nil || st.Mode().Perm() != 0o640 {
		t.Fatalf("file: %v, %v", st, err)
	}
	if err := os.WriteFile(filepath.Join(v.Path, "file"), []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := CopyUp(t.Context(), v, dir); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(filepath.Join(v.Path, "file")); err != nil || string(b) != "mine" {
		t.Fatalf("a filled volume was filled again: %q, %v", b, err)
	}
}
