package container

import (
	"context"
	"time"
)

const (
	// persistWithin is how long after it was saved a later version of a record is
	// written to its file. Most that is saved in that time is replaced in it: a
	// container that lives for milliseconds has gone through all its states, and is
	// removed. A power loss costs the states of that time, not the container:
	// nothing runs after one anyway.
	persistWithin = 500 * time.Millisecond
	// persistAgain is how long it takes until what could not be written is tried
	// again.
	persistAgain = 10 * time.Second
)

// keepDurable writes out what is saved, until ctx ends, and then the rest.
func (s *Service) keepDurable(ctx context.Context) {
	states := s.records.states
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
			continue
		case <-states.added:
		}
		select {
		case <-ctx.Done():
		case <-states.full:
		case <-time.After(persistWithin):
		}
		if !s.persist() {
			select {
			case <-ctx.Done():
			case <-time.After(persistAgain):
			}
		}
	}
	s.persist()
}

func (s *Service) persist() bool {
	return s.records.writeOut(func(id string, err error) {
		s.log.Warn("cannot make a record durable", "container", id, "err", err)
	})
}
