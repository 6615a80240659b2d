package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/metadata"
	"github.com/containerd/containerd/v2/core/metadata/boltutil"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/containerd/containerd/v2/plugins/snapshots/overlay"
	"github.com/containerd/errdefs"
	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/berth-engine/berth/kernel/file"
)

const (
	// Namespace is the namespace of everything in the metadata database.
	Namespace = "berth"
	// Snapshotter is the name that content labels and the API know the
	// snapshotter by; it is Docker's.
	Snapshotter = "overlayfs"
	// UpperLabel is the label on a snapshot's Info that holds its directory.
	UpperLabel = "containerd.io/snapshot/overlay.upperdir"
)

// Options configures Open.
type Options struct {
	Root string       // made with mode 0700 if absent
	Log  *slog.Logger // nil: silent
}

// DB is an open store. Contexts given to its parts must come from Context.
type DB struct {
	Content   content.Store
	Images    images.Store
	Snapshots snapshots.Snapshotter
	Leases    leases.Manager
	Applier   *Applier
	Locks     *KeyedLock // serialises work on one blob or snapshot

	root    string
	log     *slog.Logger
	bolt    *bolt.DB
	meta    *metadata.DB
	overlay *removing
	blobs   content.Store // below the metadata: what is kept as it is
	remade  *remade
	builds  *temporary
	gc      collector

	collecting sync.RWMutex // held while the metadata store collects garbage
}

// Open opens the store below o.Root, or makes it, and removes what a process
// that was killed left behind.
func Open(ctx context.Context, o Options) (_ *DB, err error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	root, err := filepath.Abs(o.Root)
	if err != nil {
		return nil, fmt.Errorf("open image store: %w", err)
	}
	if strings.ContainsAny(root, ":,\\\"") {
		return nil, fmt.Errorf("open image store: %q: overlayfs cannot have ':', ',', '\"' or '\\' in a path: %w", root, errdefs.ErrInvalidArgument)
	}
	forwardLogs(o.Log)
	// Without the folder of blobs no collection looks at what pulls left behind.
	for _, dir := range []string{root, filepath.Join(root, "content", "blobs")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("open image store: %w", err)
		}
	}
	if err := os.MkdirAll(filepath.Join(root, "empty"), 0o755); err != nil {
		return nil, fmt.Errorf("open image store: %w", err)
	}
	var undo []io.Closer
	defer func() {
		if err != nil {
			for i := range undo {
				err = errors.Join(err, undo[len(undo)-1-i].Close())
			}
		}
	}()

	for _, file := range []string{"metadata.db", filepath.Join("overlay", "metadata.db")} {
		if err := dropTorn(filepath.Join(root, file)); err != nil {
			return nil, fmt.Errorf("open image store: %w", err)
		}
	}
	boltDB, err := bolt.Open(filepath.Join(root, "metadata.db"), 0o600, &bolt.Options{
		NoFreelistSync: true, FreelistType: bolt.FreelistMapType, Timeout: time.Second,
	})
	if errors.Is(err, berrors.ErrTimeout) {
		return nil, fmt.Errorf("open image store: %s is in use by another process: %w", root, errdefs.ErrFailedPrecondition)
	}
	if err != nil {
		return nil, fmt.Errorf("open image store: %w", err)
	}
	undo = append(undo, boltDB)
	if err := clearIngests(filepath.Join(root, "content", "ingest")); err != nil {
		return nil, fmt.Errorf("open image store: %w", err)
	}
	files, err := local.NewStore(filepath.Join(root, "content"))
	if err != nil {
		return nil, fmt.Errorf("open image store: %w", err)
	}
	blobs := NewSpooling(files, filepath.Join(root, "content"), true)
	sn, err := overlay.NewSnapshotter(filepath.Join(root, "overlay"), overlay.AsynchronousRemove, overlay.WithUpperdirLabel)
	if err != nil {
		return nil, fmt.Errorf("open image store: %w", err)
	}
	undo = append(undo, sn)
	// The snapshotter makes its database at its first use: now, while a full
	// disk is an error of Open and not of a pull.
	if _, err := sn.Stat(ctx, "none"); err != nil && !errdefs.IsNotFound(err) {
		return nil, fmt.Errorf("open image store: %w", err)
	}
	if err := clearSnapshots(ctx, sn, filepath.Join(root, "overlay", "snapshots")); err != nil {
		return nil, fmt.Errorf("open image store: %w", err)
	}
	db := &DB{
		Locks: &KeyedLock{}, root: root, log: o.Log, bolt: boltDB, overlay: &removing{Snapshotter: sn},
		blobs: blobs, remade: &remade{root: root, log: o.Log},
	}
	if err := db.remade.load(); err != nil {
		return nil, fmt.Errorf("open image store: %w", err)
	}
	db.overlay.needed = db.needed
	db.overlay.look.Store(len(db.remade.known) > 0)
	meta := metadata.NewDB(frugal{boltDB}, underlying{blobs, db.remade}, map[string]snapshots.Snapshotter{Snapshotter: db.overlay})
	if err := meta.Init(ctx); err != nil {
		return nil, fmt.Errorf("open image store: %w", err)
	}
	db.meta = meta
	db.Content, db.Images = guarded{meta.ContentStore(), blobs}, metadata.NewImageStore(meta)
	db.Snapshots, db.Leases = making{meta.Snapshotter(Snapshotter), db.overlay}, metadata.NewLeaseManager(meta)
	db.Applier = NewApplier(db.Content)
	db.builds = newTemporary(db)
	meta.RegisterCollectibleResource(noResource, db.builds)
	if err := db.endWork(db.Context(ctx)); err != nil {
		return nil, fmt.Errorf("open image store: %w", err)
	}
	db.keepBallast()
	db.gc.start(db)
	db.Collect()
	return db, nil
}

// needed tells whether a blob that the metadata has is made from the directory.
func (db *DB) needed(ctx context.Context, dir string) (bool, error) {
	name, err := filepath.Rel(db.root, dir)
	if err != nil {
		return false, err
	}
	for _, d := range db.remade.from(name) {
		if _, err := db.Content.Info(db.Context(ctx), d); !errdefs.IsNotFound(err) {
			return true, err
		}
	}
	return false, nil
}

// clearSnapshots removes directories of snapshots whose entry a kill left out.
// They would stand in the way of the next snapshot, which gets the same number.
func clearSnapshots(ctx context.Context, sn snapshots.Snapshotter, dir string) error {
	err := sn.(snapshots.Cleaner).Cleanup(ctx)
	if !errdefs.IsNotFound(err) {
		return err
	}
	// The database has no bucket yet: there was never a whole snapshot.
	left, err := os.ReadDir(dir)
	for _, d := range left {
		err = errors.Join(err, os.RemoveAll(filepath.Join(dir, d.Name())))
	}
	return err
}

// clearIngests removes the directories of blobs that a kill caught while they were
// made or removed: without the file that names its blob no collection finds one.
func clearIngests(dir string) error {
	list, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	for _, d := range list {
		path := filepath.Join(dir, d.Name())
		if _, statErr := os.Stat(filepath.Join(path, "ref")); errors.Is(statErr, os.ErrNotExist) {
			err = errors.Join(err, os.RemoveAll(path))
		}
	}
	return err
}

// dropTorn removes a database whose making a full disk cut short. It holds
// nothing yet, and bolt would never open it again.
func dropTorn(path string) error {
	const pages = 4 // that bolt writes to a new file
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Size() >= int64(pages*os.Getpagesize()) {
		return nil
	}
	return os.Remove(path)
}

// Close finishes the collection of garbage and closes the files.
func (db *DB) Close() error {
	db.gc.stop()
	return errors.Join(db.meta.Close(), db.bolt.Close(), db.overlay.Close())
}

// Context returns ctx for use with the parts of the store.
func (*DB) Context(ctx context.Context) context.Context {
	return namespaces.WithNamespace(ctx, Namespace)
}

// Update makes what fn writes with its context one transaction: all of it or,
// if fn fails, nothing. Content and snapshots themselves must not be written.
func (db *DB) Update(ctx context.Context, fn func(context.Context) error) error {
	return db.meta.Update(func(tx *bolt.Tx) error {
		return fn(boltutil.WithTransaction(db.Context(ctx), tx))
	})
}

// whole is Update for what makes a blob or a snapshot, for which the metadata store
// has several transactions. In one of ours it asks for its own locks after the
// database's, which others hold while they wait for that: no harm as long as nobody
// wants these locks for himself, as a collection of garbage does. During one there
// are as many transactions as ever.
func (db *DB) whole(ctx context.Context, fn func(context.Context) error) error {
	if !db.collecting.TryRLock() {
		return fn(ctx)
	}
	defer db.collecting.RUnlock()
	return db.Update(ctx, fn)
}

// EmptyDir is the lower directory of images without layers.
func (db *DB) EmptyDir() string { return filepath.Join(db.root, "empty") }

// SnapshotDir returns the directory with the content of one committed snapshot,
// without its parents', and its parent's name ("" if it has none).
func (db *DB) SnapshotDir(ctx context.Context, name string) (dir, parent string, err error) {
	info, err := db.Snapshots.Stat(db.Context(ctx), name)
	if err != nil {
		return "", "", err
	}
	dir = info.Labels[UpperLabel]
	if dir == "" {
		return "", "", fmt.Errorf("snapshot %s has no directory: %w", name, errdefs.ErrInternal)
	}
	return dir, info.Parent, nil
}

// Writes counts the page writes of the database's transactions since Open.
func (db *DB) Writes() int64 { stats := db.bolt.Stats(); return stats.TxStats.GetWrite() }

// Parts are what takes space in the store's directory.
func (db *DB) Parts() []file.Space {
	in := func(what string, path ...string) file.Space {
		return file.Space{What: what, Path: filepath.Join(append([]string{db.root}, path...)...)}
	}
	return []file.Space{
		in("image content (compressed)", "content", "blobs"),
		in("image content (records of layers, to compress them again)", "remade"),
		in("image content, not complete", "content", "ingest"),
		in("image layers (unpacked)", "overlay", "snapshots"),
		in("image databases", "*.db"), in("image databases", "overlay", "*.db"),
	}
}
