package build

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	bkmeta "github.com/moby/buildkit/cache/metadata"
	bolt "go.etcd.io/bbolt"

	"github.com/berth-engine/berth/kernel/file"
)

// The databases of the cache are not synced as they are written, some forty times
// in a build. A daemon that is killed loses nothing by that, its writes are the
// kernel's. If the machine goes down under them they may be torn in ways that nobody
// can see; then the cache begins anew. A file tells the one from the other: it
// is there while the databases are open, with the name of the kernel's life.

const (
	openMark = "open"
	variants = "-variants" // of a record's other compressions: the end of their lease's name
	bootID   = "/proc/sys/kernel/random/boot_id"
)

// cacheFiles are the databases.
func cacheFiles(root string) []string {
	return []string{filepath.Join(root, "metadata.db"), filepath.Join(root, "cache.db")}
}

// dropUnsure removes a cache that was open when the machine went down. What its
// leases kept is garbage then. boot is the name of the kernel's life now.
func dropUnsure(ctx context.Context, root, boot string, m leases.Manager, ns string) (dropped bool, err error) {
	was, err := os.ReadFile(filepath.Join(root, openMark))
	if errors.Is(err, os.ErrNotExist) || err == nil && string(was) == boot {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	// The mark goes last: until then what is half done is begun again.
	if _, err := dropLeases(ctx, m, ns, ofCache); err != nil {
		return false, fmt.Errorf("drop the cache: %w", err)
	}
	for _, path := range cacheFiles(root) {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return false, err
		}
	}
	return true, os.Remove(filepath.Join(root, openMark))
}

// dropLeases ends the leases that are as which says, and tells whether there were any.
func dropLeases(ctx context.Context, m leases.Manager, ns string, which func(leases.Lease) bool) (dropped bool, err error) {
	ctx = namespaces.WithNamespace(ctx, ns)
	list, err := m.List(ctx)
	if err != nil {
		return false, err
	}
	for _, l := range list {
		if !which(l) {
			continue
		}
		if err := m.Delete(ctx, l); err != nil {
			return dropped, err
		}
		dropped = true
	}
	return dropped, nil
}

// ofCache tells whether a lease is a record's of the cache: BuildKit has these
// keep what they name and not what that refers to, or names them after a record.
func ofCache(l leases.Lease) bool {
	_, flat := l.Labels["containerd.io/gc.flat"]
	return flat || strings.HasSuffix(l.ID, variants)
}

// unsync marks the cache as open and has its metadata not be synced from now on;
// BuildKit itself opens the other database so. Where it cannot be marked it is synced.
func unsync(root, boot string, meta *bkmeta.Store) error {
	if err := writeSynced(filepath.Join(root, openMark), boot); err != nil {
		return err
	}
	return meta.DB().View(func(tx *bolt.Tx) error {
		tx.DB().NoSync = true
		return nil
	})
}

// settle syncs the databases, which are closed, and removes the mark.
func settle(root string) error {
	for _, path := range append(cacheFiles(root), root) {
		if err := file.Sync(path); err != nil {
			return err
		}
	}
	err := os.Remove(filepath.Join(root, openMark))
	if errors.Is(err, os.ErrNotExist) { // it could not be written
		return nil
	}
	return err
}

func writeSynced(path, text string) error {
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return err
	}
	return errors.Join(file.Sync(path), file.Sync(filepath.Dir(path)))
}

// thisBoot names the life of the kernel.
func thisBoot() (string, error) {
	text, err := os.ReadFile(bootID)
	return strings.TrimSpace(string(text)), err
}
