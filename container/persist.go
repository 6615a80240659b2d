package container

import (
	"context"
	"errors"
	"maps"
	"os"
	"slices"
	"sync"
	"time"
)

// persistWithin is how long after it was written a later version of a record is
// made durable. Most that is written in that time is replaced in it: a container
// that lives for milliseconds has gone through all its states, and is removed.
const persistWithin = 500 * time.Millisecond

// persister makes later versions of records durable a moment after they were
// written, all of that moment together. Until then a power loss costs the last
// state, not the container: nothing runs after one anyway.
type persister struct {
	mu    sync.Mutex
	ids   map[string]struct{}
	added chan struct{} // of the first
}

func newPersister() *persister {
	return &persister{ids: map[string]struct{}{}, added: make(chan struct{}, 1)}
}

// add asks for the record of a container.
func (p *persister) add(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ids[id] = struct{}{}
	select {
	case p.added <- struct{}{}:
	default:
	}
}

// drop takes the request back: the container is gone.
func (p *persister) drop(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.ids, id)
}

// take returns all that was asked for.
func (p *persister) take() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	ids := slices.Collect(maps.Keys(p.ids))
	clear(p.ids)
	return ids
}

// keepDurable makes durable what is asked for, until ctx ends, and then the rest.
func (s *Service) keepDurable(ctx context.Context) {
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
			continue
		case <-s.persist.added:
		}
		select {
		case <-ctx.Done():
		case <-time.After(persistWithin):
		}
		s.persistAll()
	}
	s.persistAll()
}

func (s *Service) persistAll() {
	ids := s.persist.take()
	for i, err := range s.records.persist(ids) {
		if err != nil && !errors.Is(err, os.ErrNotExist) { // removed meanwhile
			s.log.Warn("cannot make a record durable", "container", ids[i], "err", err)
		}
	}
}
