package file

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestWrite: it does what os.WriteFile does, errors included.
func TestWrite(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	for _, content := range []string{strings.Repeat("long ", 100_000), "short", ""} {
		if err := errors.Join(Write(path, []byte(content), 0o640), Sync(path), Sync(dir)); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != content {
			t.Errorf("%.20q, %v", got, err)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o640 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	for name, want := range map[string]error{"no/such": syscall.ENOENT, ".": syscall.EISDIR} {
		path := filepath.Join(dir, name)
		err, same := Write(path, nil, 0o600), os.WriteFile(path, nil, 0o600)
		if !errors.Is(err, want) || err.Error() != same.Error() {
			t.Errorf("%v; os.WriteFile: %v", err, same)
		}
	}
	if err := Sync(filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	full := Write("/dev/full", []byte("x"), 0o600)
	if path := new(os.PathError); !errors.As(full, &path) || !errors.Is(full, syscall.ENOSPC) || path.Op != "write" {
		t.Errorf("%v", full)
	}
}
