package exec

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/containerd/errdefs"
)

const (
	// keep is how long an instance can be inspected after its end.
	keep = 5 * time.Minute
	// maxEnded bounds those that are kept for that; the oldest go first.
	maxEnded = 2000
	// maxOpen bounds the instances of one container that have not ended.
	maxOpen = 1024
)

// A Table holds all instances of an engine. The zero value is empty.
type Table struct {
	mu    sync.Mutex
	byID  map[string]*Instance
	open  map[string]map[string]*Instance // that have not ended, by container
	ended []*Instance                     // in the order of their ends
}

// Add enters an instance; errdefs.ResourceExhausted if its container has too
// many that have not ended.
func (t *Table) Add(i *Instance) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	of := t.open[i.ContainerID]
	if len(of) >= maxOpen {
		return errdefs.ErrResourceExhausted.WithMessage(fmt.Sprintf("container %s has %d exec instances that have not ended", i.ContainerID, len(of)))
	}
	if t.byID == nil {
		t.byID, t.open = map[string]*Instance{}, map[string]map[string]*Instance{}
	}
	if of == nil {
		of = map[string]*Instance{}
		t.open[i.ContainerID] = of
	}
	t.byID[i.ID], of[i.ID] = i, i
	return nil
}

// Get finds an instance by its whole ID.
func (t *Table) Get(id string) (*Instance, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if i := t.byID[id]; i != nil {
		return i, nil
	}
	return nil, errdefs.ErrNotFound.WithMessage("No such exec instance: " + id)
}

// End notes the exit code of an instance and forgets those that ended long ago.
func (t *Table) End(i *Instance, code int, at time.Time) {
	i.Ended(code, at)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.close(i)
	t.ended = append(t.ended, i)
	for len(t.ended) > maxEnded || at.Sub(t.ended[0].when()) >= keep {
		delete(t.byID, t.ended[0].ID)
		if t.ended = t.ended[1:]; len(t.ended) == 0 {
			break
		}
	}
}

func (t *Table) close(i *Instance) {
	delete(t.open[i.ContainerID], i.ID)
	if len(t.open[i.ContainerID]) == 0 {
		delete(t.open, i.ContainerID)
	}
}

// Of lists the instances of a container that have not ended; nil if there are
// none.
func (t *Table) Of(containerID string) []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Sorted(maps.Keys(t.open[containerID]))
}

// Drop forgets the instances of a container that were not started: it has
// ended.
func (t *Table) Drop(containerID string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for id, i := range t.open[containerID] {
		if i.idle() {
			delete(t.byID, id)
			t.close(i)
		}
	}
}
