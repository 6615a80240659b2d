package image

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
)

// uses remembers when images were last used: a container was made of one or
// removed, a build began with it. It costs a start nothing but an entry in a map;
// the file is written now and then. After a crash some uses are forgotten, which
// a collection then dates back by as much.
type uses struct {
	path string

	mu      sync.Mutex
	last    map[digest.Digest]time.Time
	changed bool
}

// openUses reads the file; one that cannot be read counts as empty, since only
// the order of a collection depends on it.
func openUses(path string) (*uses, error) {
	u := &uses{path: path, last: map[digest.Digest]time.Time{}}
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return u, os.WriteFile(path, []byte("{}"), 0o600)
	}
	if err == nil {
		err = json.Unmarshal(data, &u.last)
	}
	return u, err
}

func (u *uses) mark(id digest.Digest) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.last[id] = time.Now()
	u.changed = true
}

func (u *uses) of(id digest.Digest) time.Time {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.last[id]
}

// save writes the file if something has changed, without what is not an image any
// more.
func (u *uses) save(isImage func(digest.Digest) bool) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.changed {
		return nil
	}
	for id := range u.last {
		if !isImage(id) {
			delete(u.last, id)
		}
	}
	data, err := json.Marshal(u.last)
	if err != nil {
		return err
	}
	next := u.path + ".new"
	err = os.WriteFile(next, data, 0o600)
	if err == nil {
		err = os.Rename(next, u.path)
	}
	if err != nil {
		return errors.Join(err, ignoreAbsent(os.Remove(next)))
	}
	u.changed = false
	return nil
}

func ignoreAbsent(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// saveUses writes when images were used.
func (s *Store) saveUses() {
	v, err := s.view(context.Background())
	if err == nil {
		err = s.uses.save(func(id digest.Digest) bool { return len(v.sharing(id)) > 0 })
	}
	if err != nil {
		s.log.Warn("when images were used is not recorded", "error", err)
	}
}

func usesPath(root string) string { return filepath.Join(root, "used.json") }
