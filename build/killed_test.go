package build

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/containerd/containerd/v2/core/leases"
	bkmeta "github.com/moby/buildkit/cache/metadata"
	bolt "go.etcd.io/bbolt"
)

// TestStrayLeases: a lease of the cache goes if no record has it, and no other one.
func TestStrayLeases(t *testing.T) {
	flat := map[string]string{"containerd.io/gc.flat": "x"}
	manager := someLeases{t: t, all: map[string]leases.Lease{
		"record": {ID: "record", Labels: flat}, "record-variants": {ID: "record-variants"}, "image": {ID: "image"},
		"stray": {ID: "stray", Labels: flat}, "stray-variants": {ID: "stray-variants"},
	}}
	meta, err := bkmeta.NewStore(filepath.Join(t.TempDir(), "metadata.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer meta.Close()
	record, _ := meta.Get("record")
	value, err := bkmeta.NewValue("x")
	if err != nil {
		t.Fatal(err)
	}
	if err := record.Update(func(b *bolt.Bucket) error { return record.SetValue(b, "key", value) }); err != nil {
		t.Fatal(err)
	}
	for _, want := range []bool{true, false} {
		dropped, err := dropStray(t.Context(), meta, manager, "images")
		if err != nil || dropped != want {
			t.Fatal(dropped, err)
		}
		if len(manager.all) != 3 || manager.all["record"].ID == "" || manager.all["record-variants"].ID == "" || manager.all["image"].ID == "" {
			t.Fatal(manager.all)
		}
	}
}

// TestClearWork: what builds work in is empty afterwards, and BuildKit works there.
func TestClearWork(t *testing.T) {
	t.Setenv("TMPDIR", os.TempDir())
	root := t.TempDir()
	for range 2 { // the first time there is nothing
		if err := clearWork(root); err != nil {
			t.Fatal(err)
		}
		if os.TempDir() != filepath.Join(root, temporary) {
			t.Error(os.TempDir())
		}
		for _, dir := range []string{contexts, temporary} {
			if list, err := os.ReadDir(filepath.Join(root, dir)); err != nil && !errors.Is(err, os.ErrNotExist) || len(list) > 0 {
				t.Error(dir, list, err)
			}
			if err := os.MkdirAll(filepath.Join(root, dir, "left"), 0o700); err != nil {
				t.Fatal(err)
			}
		}
	}
}
