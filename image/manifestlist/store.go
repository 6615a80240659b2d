package manifestlist

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
)

// store keeps each list as a folder with a file for each manifest.
type store struct{ root string }

// safe is the name of a file for a reference.
func safe(ref reference.Named) string {
	return strings.NewReplacer(":", "-", "/", "_").Replace(ref.String())
}

func notFound(ref reference.Named) error {
	return errdefs.ErrNotFound.WithMessage("No such manifest: " + ref.String())
}

func (s store) get(list, ref reference.Named) (Entry, error) {
	return s.read(ref, filepath.Join(s.root, safe(list), safe(ref)))
}

func (store) read(ref reference.Named, path string) (e Entry, err error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return e, notFound(ref)
	}
	if err == nil {
		err = json.Unmarshal(data, &e)
	}
	if err != nil {
		return e, fmt.Errorf("read manifest %s: %w", ref, err)
	}
	return e, nil
}

func (s store) list(list reference.Named) (entries []Entry, err error) {
	dir := filepath.Join(s.root, safe(list))
	files, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, notFound(list)
	}
	for _, f := range files {
		e, err := s.read(list, filepath.Join(dir, f.Name()))
		if err != nil {
			return nil, err
		}
		entries = append(entries, e)
	}
	return entries, err
}

func (s store) save(list, ref reference.Named, e Entry) error {
	dir := filepath.Join(s.root, safe(list))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	data, err := json.Marshal(e)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, safe(ref)), data, 0o644) //nolint:gosec // as Docker's command
}

func (s store) remove(list reference.Named) error {
	return os.RemoveAll(filepath.Join(s.root, safe(list)))
}
