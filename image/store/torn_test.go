package store

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// TestTornDatabases: what a full disk left of a new database does not spoil the
// store.
func TestTornDatabases(t *testing.T) {
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "overlay"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"metadata.db", "overlay/metadata.db"} {
		if err := os.WriteFile(filepath.Join(root, file), make([]byte, 4096), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // the second finds whole ones
		db, err := Open(t.Context(), Options{Root: root})
		if err != nil {
			t.Fatal(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestTornIngest: a blob that a full disk kept from being begun does not keep
// others from being removed.
func TestTornIngest(t *testing.T) {
	db := open(t)
	ingests := filepath.Join(db.root, "content", "ingest")
	ctx := db.Context(t.Context())
	l, err := db.Leases.Create(ctx, leases.WithID("a pull"))
	if err != nil {
		t.Fatal(err)
	}
	w, err := db.Content.Writer(leases.WithLease(ctx, l.ID), content.WithRef("garbage"), content.WithDescriptor(ocispec.Descriptor{Size: small + 1}))
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	torn := filepath.Join(ingests, digest.FromString("torn").Encoded())
	if err := errors.Join(os.Mkdir(torn, 0o700), os.WriteFile(filepath.Join(torn, "ref"), []byte("torn"), 0o600)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Leases.Delete(ctx, l), db.CollectNow(ctx)); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(ingests)
	if err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}
