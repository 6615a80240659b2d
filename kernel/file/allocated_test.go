package file

import (
	"os"
	"path/filepath"
	"testing"
)

func TestAllocated(t *testing.T) {
	dir := t.TempDir()
	for name, size := range map[string]int{"a": 1 << 20, "sub/b": 1 << 16} {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		data := make([]byte, size)
		for i := range data {
			data[i] = byte(i)
		}
		if err := os.WriteFile(p, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	one, err := Allocated(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if one < 1<<20+1<<16 || one > 2<<20 {
		t.Errorf("%d", one)
	}
	if err := os.Link(filepath.Join(dir, "a"), filepath.Join(dir, "again")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/", filepath.Join(dir, "out")); err != nil {
		t.Fatal(err)
	}
	hole, err := os.OpenFile(filepath.Join(dir, "hole"), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer hole.Close()
	if err := hole.Truncate(1 << 30); err != nil {
		t.Fatal(err)
	}
	if n, err := Allocated(t.Context(), dir); err != nil || n > one+1<<16 {
		t.Errorf("%d, %v; before %d", n, err, one)
	}
	if n, err := Allocated(t.Context(), filepath.Join(dir, "none")); n != 0 || err != nil {
		t.Error(n, err)
	}
}
