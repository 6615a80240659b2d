package build

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/containerd/v2/core/leases"
	bkmeta "github.com/moby/buildkit/cache/metadata"

	"github.com/berth-engine/berth/kernel/mount"
)

// temporary is the folder below Root where BuildKit mounts what it copies from and to.
const temporary = "tmp"

// Recover removes what builds of a killed daemon have left: mounts, contexts and
// what the cache never came to know. It does nothing if the builder was closed or
// never used; else it opens it.
func (e *Engine) Recover() error {
	_, err := os.Stat(filepath.Join(e.o.Root, openMark))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = e.open()
	if errors.Is(err, errClosed) {
		return nil
	}
	return err
}

// clearWork removes what is only there while something is built, and makes the
// folder for BuildKit's mounts. BuildKit knows no other way of saying where that
// is: it takes the system's.
func clearWork(root string) error {
	tmp := filepath.Join(root, temporary)
	if err := mount.Clear(tmp); err != nil {
		return err
	}
	for _, dir := range []string{filepath.Join(root, contexts), tmp} {
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	if err := os.Mkdir(tmp, 0o700); err != nil {
		return err
	}
	return os.Setenv("TMPDIR", tmp)
}

// dropStray ends leases of records that the cache does not have. BuildKit makes a
// record's lease before the record: a daemon that is killed between the two leaves
// it, and what it keeps would stay for ever.
func dropStray(ctx context.Context, meta *bkmeta.Store, m leases.Manager, ns string) (dropped bool, err error) {
	dropped, err = dropLeases(ctx, m, ns, func(l leases.Lease) bool {
		_, known := meta.Get(strings.TrimSuffix(l.ID, variants))
		return ofCache(l) && !known
	})
	if err != nil {
		return dropped, fmt.Errorf("remove what a killed build has left: %w", err)
	}
	return dropped, nil
}
