package sandbox

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/containerd/errdefs"
)

// A daemon may be killed before it has written which monitor it took.
func TestAdoptBeforeInstanceFile(t *testing.T) {
	r := newRuntime(t, Options{Warm: -1})
	for id, file := range map[string]string{"empty": "", "torn": `{"version":1,"id":"to`} {
		if err := os.Mkdir(r.dir(id), 0o700); err != nil {
			t.Fatal(err)
		}
		if file != "" {
			if err := os.WriteFile(filepath.Join(r.dir(id), instanceFile), []byte(file), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := r.Adopt(t.Context(), id, t.TempDir()); !errdefs.IsNotFound(err) {
			t.Errorf("%s: %v", id, err)
		}
		if _, err := os.Stat(r.dir(id)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: the directory is left: %v", id, err)
		}
	}
	b := bundle(t, "again", "exit", "0")
	if err := os.Mkdir(r.dir(b.ID), 0o700); err != nil {
		t.Fatal(err)
	}
	s := r.launch(t, b)
	s.startTest(t)
	if x := s.waitTest(t); x.Code != 0 {
		t.Errorf("%+v", x)
	}
}
