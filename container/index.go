package container

import (
	"context"
	"strings"
	"sync"
)

// index finds containers by ID; names are in names.
type index struct {
	mu   sync.RWMutex
	byID map[string]*entry
}

func (x *index) add(e *entry) {
	x.mu.Lock()
	x.byID[e.id] = e
	x.mu.Unlock()
}

func (x *index) remove(id string) {
	x.mu.Lock()
	delete(x.byID, id)
	x.mu.Unlock()
}

func (x *index) get(id string) *entry {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.byID[id]
}

func (x *index) all() []*entry {
	x.mu.RLock()
	defer x.mu.RUnlock()
	out := make([]*entry, 0, len(x.byID))
	for _, e := range x.byID {
		out = append(out, e)
	}
	return out
}

// prefix returns the container whose ID starts with p, if it is the only one.
func (x *index) prefix(p string) (found *entry, many bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	for id, e := range x.byID {
		if strings.HasPrefix(id, p) {
			if found != nil {
				return nil, true
			}
			found = e
		}
	}
	return found, false
}

// find resolves what a user may call a container: its ID, its name, the
// name of a link to it, or a prefix of its ID that no other has. It waits until
// the container is adopted, if it runs since a daemon before this one.
func (s *Service) find(ref string) (*entry, error) {
	e, err := s.lookup(ref)
	if err == nil && e.await() {
		return s.lookup(ref) // it may have ended, and be gone
	}
	return e, err
}

// lookup is find that does not wait.
func (s *Service) lookup(ref string) (*entry, error) {
	if ref == "" {
		return nil, invalid("No container name or ID supplied")
	}
	if e := s.index.get(ref); e != nil {
		return e, nil
	}
	if id, ok := s.names.lookup(strings.TrimPrefix(ref, "/")); ok {
		if e := s.index.get(id); e != nil {
			return e, nil
		}
	}
	if e := s.byLink(ref); e != nil {
		return e, nil
	}
	e, many := s.index.prefix(ref)
	switch {
	case many:
		return nil, invalid("multiple IDs found with provided prefix: %s", ref)
	case e == nil:
		return nil, notFound("No such container: %s", ref)
	}
	return e, nil
}

// findLocked is find that takes the container's lock.
func (s *Service) findLocked(ctx context.Context, ref string) (*entry, error) {
	e, err := s.find(ref)
	if err != nil {
		return nil, err
	}
	if err := e.acquire(ctx); err != nil {
		return nil, err
	}
	if e.gone {
		e.release()
		return nil, notFound("No such container: %s", ref)
	}
	return e, nil
}
