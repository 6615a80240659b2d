package container

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
)

// namesDir lies beside the containers' directories; it cannot be an ID. Earlier
// programs kept a link for each name there.
const namesDir = "names"

var namePattern = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]+$`)

// names gives each name to one container. The record says which name a container
// has, and one daemon alone has the directory (berthd.lock): what is claimed and
// not in a record yet is of a container that nobody was told of, and goes with a
// daemon that is killed.
type names struct {
	mu   sync.RWMutex
	byID map[string]string // name → ID
}

// openNames takes in the names that records have; have maps IDs to them.
func openNames(root string, have map[string]string) (*names, error) {
	n := &names{byID: make(map[string]string, len(have))}
	for id, name := range have {
		n.byID[name] = id
	}
	if err := os.RemoveAll(filepath.Join(root, namesDir)); err != nil {
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
	n.mu.Lock()
	defer n.mu.Unlock()
	if owner, taken := n.byID[name]; taken {
		return conflict("Conflict. The container name %q is already in use by container %q. "+
			"You have to remove (or rename) that container to be able to reuse that name.", "/"+name, owner)
	}
	n.byID[name] = id
	return nil
}

// release gives the name back if the container has it.
func (n *names) release(name, id string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.byID[name] == id {
		delete(n.byID, name)
	}
}

// lookup returns the ID of the container that has this name.
func (n *names) lookup(name string) (string, bool) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	id, ok := n.byID[name]
	return id, ok
}
