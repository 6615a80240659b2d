package dockerroot

import (
	"encoding/binary"
	"fmt"
	"path/filepath"
	"strconv"

	"github.com/containerd/errdefs"
	bolt "go.etcd.io/bbolt"
)

// written finds what a container wrote over its image.
func (c *containerd) written(of *Container, snapshotter string) error {
	switch {
	case snapshotter != "overlayfs" && snapshotter != "native":
		return fmt.Errorf("what the storage driver %q keeps cannot be read: %w", snapshotter, errdefs.ErrNotImplemented)
	case c == nil:
		return fmt.Errorf("its files are in containerd's image store, which was not found: say where it is: %w", errdefs.ErrInvalidArgument)
	case c.locked != nil:
		return c.locked
	}
	name, parent, err := c.snapshot(snapshotter, of.ID)
	if errdefs.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	dir := filepath.Join(c.root, "io.containerd.snapshotter.v1."+snapshotter)
	db, err := openDB(filepath.Join(dir, "metadata.db"))
	if err != nil {
		return err
	}
	defer db.Close()
	files, err := snapshotDir(db, dir, name)
	if err != nil {
		return err
	}
	if snapshotter == "overlayfs" {
		of.Written = Files{Dir: filepath.Join(files, "fs")}
		return nil
	}
	of.Written = Files{files, true}
	of.Began, err = snapshotDir(db, dir, parent)
	return err
}

// snapshot is the snapshotter's name of a snapshot, and of its parent.
func (c *containerd) snapshot(snapshotter, key string) (name, parent string, err error) {
	err = c.db.View(func(tx *bolt.Tx) error {
		b := bucket(tx, "v1", namespace, "snapshots", snapshotter)
		if b == nil || b.Bucket([]byte(key)) == nil {
			return fmt.Errorf("snapshot %s: %w", key, errdefs.ErrNotFound)
		}
		name = string(b.Bucket([]byte(key)).Get([]byte("name")))
		if above := b.Bucket(b.Bucket([]byte(key)).Get([]byte("parent"))); above != nil {
			parent = string(above.Get([]byte("name")))
		}
		return nil
	})
	return name, parent, err
}

// snapshotDir is the directory of a snapshot, which is named by a number.
func snapshotDir(db *bolt.DB, root, name string) (dir string, err error) {
	err = db.View(func(tx *bolt.Tx) error {
		b := bucket(tx, "v1", "snapshots", name)
		if b == nil {
			return fmt.Errorf("snapshot %q: %w", name, errdefs.ErrNotFound)
		}
		id, n := binary.Uvarint(b.Get([]byte("id")))
		if n <= 0 {
			return fmt.Errorf("snapshot %q has no number: %w", name, errdefs.ErrInvalidArgument)
		}
		dir = filepath.Join(root, "snapshots", strconv.FormatUint(id, 10))
		return nil
	})
	return dir, err
}

func bucket(tx *bolt.Tx, path ...string) *bolt.Bucket {
	b := tx.Bucket([]byte(path[0]))
	for _, p := range path[1:] {
		if b == nil || p == "" {
			return nil
		}
		b = b.Bucket([]byte(p))
	}
	return b
}
