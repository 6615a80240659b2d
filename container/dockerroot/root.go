// Package dockerroot reads the data-root of a Docker engine that does not run:
// its images (storage driver overlay2), volumes and containers. It changes
// nothing there. What it reads is trusted as far as the root of this host is:
// names are still not followed out of the directory.
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

// driver is the storage driver whose layers can be read.
const driver = "overlay2"

// Root is an open data-root.
type Root struct {
	dir     string
	volumes *bolt.DB // held open: Docker cannot start meanwhile
}

// Open opens a data-root. One that Docker is using is errdefs.FailedPrecondition,
// a directory that is none errdefs.InvalidArgument.
func Open(dir string) (*Root, error) {
	if !filepath.IsAbs(dir) {
		return nil, fmt.Errorf("%s is not an absolute path: %w", dir, errdefs.ErrInvalidArgument)
	}
	path := filepath.Join(dir, "volumes", "metadata.db")
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("%s is not the data-root of a Docker engine (%w): %w", dir, err, errdefs.ErrInvalidArgument)
	}
	db, err := bolt.Open(path, 0o600, &bolt.Options{ReadOnly: true, Timeout: time.Second})
	if errors.Is(err, berrors.ErrTimeout) {
		return nil, fmt.Errorf("Docker is running on %s: stop it first: %w", dir, errdefs.ErrFailedPrecondition)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &Root{dir, db}, nil
}

// Close lets Docker start again.
func (r *Root) Close() error { return r.volumes.Close() }

var hexID = regexp.MustCompile(`^[0-9a-f]{64}$`)

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

// Volume is a volume of the local driver.
type Volume struct {
	Name    string
	Driver  string
	Labels  map[string]string
	Options map[string]string
	Data    string `json:"-"` // directory of its files
}

// Volumes lists the volumes.
func (r *Root) Volumes() ([]Volume, error) {
	known := map[string]Volume{}
	err := r.volumes.View(func(tx *bolt.Tx) error {
		b := tx.Bucket([]byte("volumes"))
		if b == nil {
			return nil
		}
		return b.ForEach(func(_, v []byte) error {
			var vol Volume
			if json.Unmarshal(v, &vol) == nil && vol.Name != "" {
				known[vol.Name] = vol
			}
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(r.in("volumes"))
	if err != nil {
		return nil, err
	}
	var list []Volume
	for _, e := range entries {
		data := r.in("volumes", e.Name(), "_data")
		if info, err := os.Lstat(data); err != nil || !info.IsDir() {
			continue
		}
		v := known[e.Name()]
		v.Name, v.Data = e.Name(), data
		list = append(list, v)
	}
	return list, nil
}

func missing(err error) bool { return errors.Is(err, fs.ErrNotExist) }
