// Package dockerroot reads the data-root of a Docker engine that does not run:
// its images, of the storage drivers overlay2 and vfs or of containerd's image
// store, its volumes and its containers. It changes nothing there. What it reads
// is trusted as far as the root of this host is: names are still not followed
// out of the directory.
package dockerroot

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/containerd/errdefs"
	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// Root is an open data-root.
type Root struct {
	dir        string
	volumes    *bolt.DB // held open: Docker cannot start meanwhile
	containerd *containerd
}

// Open opens a data-root. One that Docker is using is errdefs.FailedPrecondition,
// a directory that is none errdefs.InvalidArgument.
//
// containerdRoot is the root of the containerd whose image store Docker used;
// "": the one that Docker itself ran, in the data-root, or else the folder
// "containerd" beside it, if there is one.
func Open(dir, containerdRoot string) (*Root, error) {
	if !filepath.IsAbs(dir) {
		return nil, fmt.Errorf("%s is not an absolute path: %w", dir, errdefs.ErrInvalidArgument)
	}
	if remapped.MatchString(filepath.Base(dir)) {
		return nil, fmt.Errorf("%s is of a Docker engine with userns-remap, whose files have other owners than their images say: %w", dir, errdefs.ErrNotImplemented)
	}
	path := filepath.Join(dir, "volumes", "metadata.db")
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("%s is not the data-root of a Docker engine (%w): %w", dir, err, errdefs.ErrInvalidArgument)
	}
	db, err := openDB(path)
	if errors.Is(err, berrors.ErrTimeout) {
		return nil, fmt.Errorf("Docker is running on %s: stop it first: %w", dir, errdefs.ErrFailedPrecondition)
	}
	if err != nil {
		return nil, err
	}
	r := &Root{dir: dir, volumes: db}
	if r.containerd, err = r.openContainerd(containerdRoot); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return r, nil
}

// openDB opens a database for reading; that fails with berrors.ErrTimeout while
// somebody else writes it.
func openDB(path string) (*bolt.DB, error) {
	db, err := bolt.Open(path, 0o600, &bolt.Options{ReadOnly: true, Timeout: time.Second})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return db, nil
}

// Close lets Docker start again.
func (r *Root) Close() error { return errors.Join(r.volumes.Close(), r.containerd.close()) }

var (
	hexID    = regexp.MustCompile(`^[0-9a-f]{64}$`)
	remapped = regexp.MustCompile(`^[0-9]+\.[0-9]+$`) // UID.GID
)

func (r *Root) in(elem ...string) string { return filepath.Join(append([]string{r.dir}, elem...)...) }

// readJSON decodes a file; it is bounded because it is read into memory.
func (r *Root) readJSON(into any, elem ...string) error {
	const limit = 64 << 20
	path := r.in(elem...)
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.Size() > limit {
		return fmt.Errorf("%s is larger than %d bytes: %w", path, limit, errdefs.ErrInvalidArgument)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

func missing(err error) bool { return errors.Is(err, fs.ErrNotExist) }
