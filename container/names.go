package container

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
)

// namesDir lies beside the containers' directories; it cannot be an ID.
const namesDir = "names"

var namePattern = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]+$`)

// names gives each name to one container. The claim is a symbolic link
// names/NAME → ../ID: making one is atomic and fails if it exists, so that it
// holds between processes and after a kill -9. The map repeats the links for
// lookups. The record says which name a container has; a link that no record
// agrees with is dropped by settle.
type names struct {
	dir string

	mu   sync.RWMutex
	byID map[string]string // name → ID
}

func openNames(root string) (*names, error) {
	n := &names{dir: filepath.Join(root, namesDir), byID: map[string]string{}}
	if err := os.MkdirAll(n.dir, 0o700); err != nil {
		return nil, fmt.Errorf("open names: %w", err)
	}
	return n, nil
}

// cleanName checks a name as the user wrote it.
func cleanName(name string) (string, error) {
	name = strings.TrimPrefix(name, "/")
	if !namePattern.MatchString(name) {
		return "", invalid("Invalid container name (%s), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed", name)
	}
	if len(name) > 255 {
		return "", invalid("Invalid container name (%s…): longer than 255 characters", name[:32])
	}
	return name, nil
}

// claim takes the name for the container.
func (n *names) claim(name, id string) error {
	err := os.Symlink(filepath.Join("..", id), filepath.Join(n.dir, name))
	if errors.Is(err, os.ErrExist) {
		owner, _ := n.owner(name)
		return conflict("Conflict. The container name %q is already in use by container %q. "+
			"You have to remove (or rename) that container to be able to reuse that name.", "/"+name, owner)
	}
	if err != nil {
		return fmt.Errorf("claim name %s: %w", name, err)
	}
	n.mu.Lock()
	n.byID[name] = id
	n.mu.Unlock()
	return nil
}

// release gives the name back if the container has it.
func (n *names) release(name, id string) error {
	owner, err := n.owner(name)
	if errors.Is(err, os.ErrNotExist) || err == nil && owner != id {
		return nil
	}
	if err != nil {
		return fmt.Errorf("release name %s: %w", name, err)
	}
	n.mu.Lock()
	delete(n.byID, name)
	n.mu.Unlock()
	if err := os.Remove(filepath.Join(n.dir, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("release name %s: %w", name, err)
	}
	return nil
}

// owner asks the link, not the map: the claim of another may be a moment old.
func (n *names) owner(name string) (string, error) {
	target, err := os.Readlink(filepath.Join(n.dir, name))
	if err != nil {
		return "", err
	}
	return filepath.Base(target), nil
}

// lookup returns the ID of the container that has this name.
func (n *names) lookup(name string) (string, bool) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	id, ok := n.byID[name]
	return id, ok
}

// settle makes the links agree with the records: have maps IDs to names.
func (n *names) settle(have map[string]string) error {
	entries, err := os.ReadDir(n.dir)
	if err != nil {
		return fmt.Errorf("settle names: %w", err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, e := range entries {
		id, err := n.owner(e.Name())
		if err == nil && have[id] == e.Name() {
			n.byID[e.Name()] = id
			continue
		}
		if err := os.RemoveAll(filepath.Join(n.dir, e.Name())); err != nil {
			return fmt.Errorf("settle names: %w", err)
		}
	}
	for id, name := range have {
		if n.byID[name] == id {
			continue
		}
		// The link never reached the disk, the record did.
		if err := os.Symlink(filepath.Join("..", id), filepath.Join(n.dir, name)); err != nil {
			return fmt.Errorf("settle names: %w", err)
		}
		n.byID[name] = id
	}
	return nil
}
