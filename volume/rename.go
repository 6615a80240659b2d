package volume

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/events"

	"github.com/berth-engine/berth/fault"
)

// Rename gives a volume another name, also while it is in use: what refers to
// it by its ID finds it.
func (s *Store) Rename(name, newName string) (Volume, error) {
	if err := CheckName(newName); err != nil {
		return Volume{}, err
	}
	if name == newName {
		return Volume{}, fail(errdefs.ErrInvalidArgument, "Renaming a volume with the same name as its current name")
	}
	e, err := s.lock(name)
	if err != nil {
		return Volume{}, err
	}
	defer e.busy.Unlock()
	if old := s.current(e); old.remote() {
		return Volume{}, ofDriver("rename", &old)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byName[newName] != nil {
		return Volume{}, taken(newName)
	}
	if err := s.claim(name, newName); err != nil {
		if errors.Is(err, os.ErrExist) {
			return Volume{}, taken(newName)
		}
		return Volume{}, fmt.Errorf("rename %s: %w", name, err)
	}
	if err := fault.Point("volume.rename.renamed"); err != nil {
		return Volume{}, errors.Join(fmt.Errorf("rename %s: %w", name, err), s.claim(newName, name))
	}
	v := *e.vol
	v.Name, v.Path = newName, filepath.Join(s.dir(newName), dataDir)
	// Whoever named it wants to keep it.
	if v.Anonymous {
		v.Anonymous = false
		v.Labels = without(v.Labels, AnonymousLabel)
		if err := v.save(s.dir(newName)); err != nil {
			return Volume{}, errors.Join(fmt.Errorf("rename %s: %w", name, err), s.claim(newName, name))
		}
	}
	delete(s.byName, name)
	e.vol, s.byName[newName] = &v, e
	s.Publish(v, events.ActionRename, "oldName", name)
	return v, nil
}

func without(labels map[string]string, key string) map[string]string {
	out := map[string]string{}
	for k, v := range labels {
		if k != key {
			out[k] = v
		}
	}
	return out
}
