package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	bolt "go.etcd.io/bbolt"
	"golang.org/x/sync/errgroup"
)

var temporarily = leases.WithLabel(builderLabel, "now")

// building is a store with a builder's parts of it.
type building struct {
	*testing.T
	*DB
	b Builder
}

func startBuilding(t *testing.T) building {
	t.Helper()
	db := open(t)
	return building{t, db, db.Builder()}
}

// lease makes a lease, and a context that has it.
func (b building) lease(id string, opts ...leases.Opt) context.Context {
	b.Helper()
	ctx := b.DB.Context(b.T.Context())
	if _, err := b.b.Leases.Create(ctx, append(opts, leases.WithID(id))...); err != nil {
		b.Fatal(err)
	}
	return leases.WithLease(ctx, id)
}

func (b building) end(id string) {
	b.Helper()
	if err := b.b.Leases.Delete(b.DB.Context(b.T.Context()), leases.Lease{ID: id}); err != nil {
		b.Error(err)
	}
}

func descriptor(text string) ocispec.Descriptor {
	return ocispec.Descriptor{Digest: digest.FromString(text), Size: int64(len(text))}
}

func (b building) write(ctx context.Context, text string) {
	b.Helper()
	if err := content.WriteBlob(ctx, b.b.Content, "ref-"+text, bytes.NewReader([]byte(text)), descriptor(text)); err != nil {
		b.Error(err)
	}
}

// there tells what is left after garbage is collected.
func (b building) there(blobs []string, snapshots []string) {
	b.Helper()
	ctx := b.DB.Context(b.T.Context())
	if err := b.CollectNow(ctx); err != nil {
		b.Error(err)
	}
	for _, text := range []string{"one", "two"} {
		_, err := b.Content.Info(ctx, digest.FromString(text))
		if is := err == nil; is != slices.Contains(blobs, text) {
			b.Errorf("blob %s: %v", text, err)
		}
	}
	for _, name := range []string{"work", "layer"} {
		_, err := b.Snapshots.Stat(ctx, name)
		if is := err == nil; is != slices.Contains(snapshots, name) {
			b.Errorf("snapshot %s: %v", name, err)
		}
	}
}

// TestTemporaryLeases: what is made under one stays while it or another keeps it,
// and no longer.
func TestTemporaryLeases(t *testing.T) {
	b := startBuilding(t)
	first := b.lease("first", temporarily)
	b.write(first, "one")
	if _, err := b.b.Snapshots.Prepare(first, "work", ""); err != nil {
		t.Fatal(err)
	}
	b.there([]string{"one"}, []string{"work"})
	second := b.lease("second", temporarily)
	before := b.Writes()
	b.write(second, "one") // it is there: it is kept, and nothing is written
	if n := b.Writes() - before; n != 0 {
		t.Errorf("%d writes", n)
	}
	b.end("first")
	b.there([]string{"one"}, nil)
	b.write(second, "two")
	if _, err := b.b.Snapshots.Prepare(second, "work", ""); err != nil {
		t.Fatal(err)
	}
	if err := b.b.Snapshots.Commit(second, "layer", "work"); err != nil {
		t.Fatal(err)
	}
	b.there([]string{"one", "two"}, []string{"layer"})
	list, err := b.b.Leases.ListResources(second, leases.Lease{ID: "second"})
	if err != nil || len(list) < 3 {
		t.Errorf("%v %v", list, err)
	}
	for _, r := range list { // as BuildKit hands on what a part of a build has made
		b.lease("third-"+r.ID, temporarily)
		if err := b.b.Leases.AddResource(second, leases.Lease{ID: "third-" + r.ID}, r); err != nil {
			t.Error(err)
		}
	}
	b.end("second")
	b.there([]string{"one", "two"}, []string{"layer"})
	for _, r := range list {
		b.end("third-" + r.ID)
	}
	b.there(nil, nil)
	if _, err := b.b.Snapshots.Prepare(first, "work", ""); !errdefs.IsNotFound(err) {
		t.Errorf("a snapshot under a lease that has ended: %v", err)
	}
}

// TestExpiredLease: it keeps nothing any more, as one of the database.
func TestExpiredLease(t *testing.T) {
	b := startBuilding(t)
	b.write(b.lease("old", temporarily, leases.WithLabel(expireLabel, "2001-02-03T04:05:06Z")), "one")
	b.write(b.lease("new", temporarily, leases.WithExpiration(time.Hour)), "two")
	b.there([]string{"two"}, nil)
}

// TestLeaseThatKeepsNothing is in no list and writes nothing; others write once.
func TestLeaseThatKeepsNothing(t *testing.T) {
	b := startBuilding(t)
	ctx := b.lease("record")
	before := b.Writes()
	b.lease("temporary", temporarily)
	b.lease("another")
	for _, id := range []string{"record", "temporary", "another"} {
		if _, err := b.b.Leases.Create(ctx, leases.WithID(id)); !errdefs.IsAlreadyExists(err) {
			t.Errorf("%s again: %v", id, err)
		}
	}
	b.end("temporary")
	b.end("another")
	list, err := b.Leases.List(ctx)
	if n := b.Writes() - before; n != 0 || err != nil || len(list) != 0 {
		t.Errorf("%d writes, %v, %v", n, list, err)
	}
	b.write(b.lease("x", temporarily), "one")
	if err := b.b.Leases.AddResource(ctx, leases.Lease{ID: "record"}, blob(digest.FromString("one"))); err != nil {
		t.Fatal(err)
	}
	if _, err := b.b.Leases.Create(ctx, leases.WithID("record")); !errdefs.IsAlreadyExists(err) {
		t.Errorf("one that is written: %v", err)
	}
	b.end("x")
	b.there([]string{"one"}, nil)
	b.write(b.lease("whole"), "two") // one of the database, by a context
	b.there([]string{"one", "two"}, nil)
	b.write(b.lease("y", temporarily), "one") // which by now only the record keeps
	b.end("record")
	b.end("whole")
	b.there([]string{"one"}, nil)
	b.end("y")
	b.there(nil, nil)
}

// TestKilledBuilder: nothing of what temporary leases kept is left for the next
// process, be it whole or not.
func TestKilledBuilder(t *testing.T) {
	root := t.TempDir()
	db, err := Open(t.Context(), Options{Root: root})
	if err != nil {
		t.Fatal(err)
	}
	b := building{t, db, db.Builder()}
	ctx := b.lease("build", temporarily)
	b.write(ctx, "one")
	w, err := b.b.Content.Writer(ctx, content.WithRef("half"), content.WithDescriptor(ocispec.Descriptor{Size: small + 1}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("ha")); err != nil {
		t.Fatal(err)
	}
	w.Close()
	b.there([]string{"one"}, nil)
	if left, _ := filepath.Glob(filepath.Join(root, "content/ingest/*")); len(left) != 1 {
		t.Errorf("what is being written was collected: %q", left)
	}
	if err := db.Close(); err != nil { // as a kill: the leases were not ended
		t.Fatal(err)
	}
	if db, err = Open(t.Context(), Options{Root: root}); err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	building{t, db, db.Builder()}.there(nil, nil)
	for _, dir := range []string{"content/ingest", "content/blobs/sha256"} {
		if left, err := os.ReadDir(filepath.Join(root, dir)); err != nil && !errors.Is(err, os.ErrNotExist) || len(left) > 0 {
			t.Errorf("%s: %v %v", dir, left, err)
		}
	}
}

// TestFrugal: what changes nothing is not committed, what changes something is.
func TestFrugal(t *testing.T) {
	db := open(t)
	ctx := db.Context(t.Context())
	add := func() {
		t.Helper()
		err := db.Update(ctx, func(ctx context.Context) error {
			_, err := db.Leases.Create(ctx, leases.WithID("x"))
			if errdefs.IsAlreadyExists(err) {
				return nil
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
	before := db.Writes()
	add()
	written := db.Writes()
	if written == before {
		t.Error("nothing was written")
	}
	add()
	if n := db.Writes() - written; n != 0 {
		t.Errorf("%d writes of what is there", n)
	}
	func() {
		defer func() { _ = recover() }()
		_ = frugal{db.bolt}.Update(func(*bolt.Tx) error { panic("in a transaction") })
	}()
	if err := db.Leases.Delete(ctx, leases.Lease{ID: "x"}); err != nil {
		t.Error(err)
	}
	if err := db.Leases.Delete(ctx, leases.Lease{ID: "x"}); !errdefs.IsNotFound(err) {
		t.Error(err)
	}
}

// TestLeaseIsWrittenWithItsSnapshot: a record's lease waits for its snapshot, however
// that comes, and then keeps it for the next process, too.
func TestLeaseIsWrittenWithItsSnapshot(t *testing.T) {
	root := t.TempDir()
	db, err := Open(t.Context(), Options{Root: root})
	if err != nil {
		t.Fatal(err)
	}
	b := building{t, db, db.Builder()}
	ctx := b.DB.Context(t.Context())
	keep := func(lease, name string) {
		t.Helper()
		b.lease(lease)
		l := leases.Lease{ID: lease}
		if err := b.b.Leases.AddResource(ctx, l, leases.Resource{ID: name, Type: snapshotType}); err != nil {
			t.Fatal(err)
		}
		if list, err := b.b.Leases.ListResources(ctx, l); err != nil || len(list) != 1 || list[0].ID != name {
			t.Error(list, err)
		}
	}
	commits := func(do func() error) int64 {
		t.Helper()
		n := lastTx(t, db)
		if err := do(); err != nil {
			t.Fatal(err)
		}
		return lastTx(t, db) - n
	}
	for len(db.gc.wake) > 0 { // that of Open is yet to come
		b.there(nil, nil)
	}
	b.there(nil, nil)
	keep("of work", "work")
	if n := commits(func() error { _, err := b.b.Snapshots.Prepare(ctx, "work", ""); return err }); n != 1 {
		t.Errorf("a snapshot and its lease took %d transactions", n)
	}
	if _, err := b.b.Snapshots.Prepare(ctx, "work", ""); !errdefs.IsAlreadyExists(err) {
		t.Errorf("one that is there: %v", err)
	}
	keep("of layer", "layer")
	if n := commits(func() error { return b.b.Snapshots.Commit(ctx, "layer", "work") }); n != 1 {
		t.Errorf("a layer and its lease took %d transactions", n)
	}
	// As when the image is pulled at the same time.
	keep("of another's", "other")
	if _, err := db.Snapshots.Prepare(ctx, "other", "layer"); err != nil {
		t.Fatal(err)
	}
	b.there(nil, []string{"layer"})
	if _, err := b.b.Snapshots.Stat(ctx, "other"); err != nil {
		t.Errorf("what a lease waits for was collected: %v", err)
	}
	keep("of what never comes", "none")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if db, err = Open(t.Context(), Options{Root: root}); err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	b = building{t, db, db.Builder()}
	b.there(nil, []string{"layer"})
	if _, err := b.b.Snapshots.Stat(ctx, "other"); err != nil {
		t.Error(err)
	}
	list, err := b.b.Leases.List(ctx)
	if err != nil || len(list) != 3 {
		t.Error(list, err)
	}
	b.end("of another's")
	b.end("of layer")
	b.there(nil, nil)
}

// lastTx is the number of the last transaction that was committed.
func lastTx(t *testing.T, db *DB) (id int64) {
	t.Helper()
	if err := db.bolt.View(func(tx *bolt.Tx) error { id = int64(tx.ID()); return nil }); err != nil {
		t.Fatal(err)
	}
	return id
}

// TestSnapshotsDuringCollection: what makes a snapshot and what collects garbage do
// not wait for each other.
func TestSnapshotsDuringCollection(t *testing.T) {
	b := startBuilding(t)
	ctx := b.lease("all", temporarily)
	var g errgroup.Group
	for i := range 4 {
		g.Go(func() error {
			for n := range 25 {
				name := fmt.Sprintf("%d-%d", i, n)
				if err := content.WriteBlob(ctx, b.b.Content, name, strings.NewReader(name), descriptor(name)); err != nil {
					return err
				}
				if _, err := b.b.Snapshots.Prepare(ctx, name, ""); err != nil {
					return err
				}
				if err := b.b.Snapshots.Commit(ctx, "done-"+name, name); err != nil {
					return err
				}
				// Only after a removal does a collection look at snapshots.
				if _, err := b.b.Snapshots.Prepare(ctx, name, ""); err != nil {
					return err
				}
				if err := b.b.Snapshots.Remove(ctx, name); err != nil {
					return err
				}
			}
			return nil
		})
	}
	for range 10 {
		if err := b.CollectNow(b.DB.Context(t.Context())); err != nil {
			t.Error(err)
		}
	}
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
	for i := range 4 {
		if _, err := b.Snapshots.Stat(ctx, fmt.Sprintf("done-%d-24", i)); err != nil {
			t.Error(err)
		}
	}
}
