package build

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	bkmeta "github.com/moby/buildkit/cache/metadata"
	bolt "go.etcd.io/bbolt"
)

// someLeases is as much of a manager as is asked for.
type someLeases struct {
	leases.Manager
	all map[string]leases.Lease
	t   *testing.T
}

func (s someLeases) List(ctx context.Context, _ ...string) ([]leases.Lease, error) {
	if ns, _ := namespaces.Namespace(ctx); ns != "images" {
		s.t.Errorf("leases of %q are listed", ns)
	}
	return slices.Collect(maps.Values(s.all)), nil
}

func (s someLeases) Delete(_ context.Context, l leases.Lease, _ ...leases.DeleteOpt) error {
	delete(s.all, l.ID)
	return nil
}

func TestCacheThatTheMachineWentDownUnder(t *testing.T) {
	root := t.TempDir()
	manager := someLeases{t: t, all: map[string]leases.Lease{
		"record": {ID: "record", Labels: map[string]string{"containerd.io/gc.flat": "x"}}, "image": {ID: "image"},
		"record-variants": {ID: "record-variants"},
	}}
	open := func(boot string) (dropped bool) {
		dropped, err := dropUnsure(t.Context(), root, boot, manager, "images")
		if err != nil {
			t.Fatal(err)
		}
		meta, err := bkmeta.NewStore(filepath.Join(root, "metadata.db"))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, "cache.db"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := unsync(root, boot, meta); err != nil {
			t.Fatal(err)
		}
		if err := meta.DB().View(func(tx *bolt.Tx) error {
			if !tx.DB().NoSync {
				t.Error("it is synced")
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if err := meta.Close(); err != nil {
			t.Fatal(err)
		}
		return dropped
	}
	if open("first") || open("first") { // the second time after a kill
		t.Fatal("a cache was dropped under the same kernel")
	}
	if err := settle(root); err != nil {
		t.Fatal(err)
	}
	if open("second") {
		t.Fatal("a cache was dropped that had been closed")
	}
	if len(manager.all) != 3 {
		t.Fatal(manager.all)
	}
	dropped, err := dropUnsure(t.Context(), root, "third", manager, "images")
	if err != nil || !dropped {
		t.Fatal(dropped, err)
	}
	for _, path := range append(cacheFiles(root), filepath.Join(root, openMark)) {
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Error(path, err)
		}
	}
	if _, ok := manager.all["image"]; !ok || len(manager.all) != 1 {
		t.Error(manager.all)
	}
}
