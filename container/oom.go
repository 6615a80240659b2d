package container

import (
	"context"
	"strconv"

	"github.com/moby/moby/api/types/events"

	"github.com/berth-engine/berth/sandbox"
)

// outOfMemory notes that the kernel killed a process of a run for want of
// memory, and says so. It need not be the end of the container.
func (s *Service) outOfMemory(ctx context.Context, e *entry, box *sandbox.Sandbox, k sandbox.OOMKill) {
	e.during(ctx, box, func() { s.noteOutOfMemory(e, k) })
}

// noteOutOfMemory is outOfMemory for a container that the caller has locked.
func (s *Service) noteOutOfMemory(e *entry, k sandbox.OOMKill) {
	if r := e.record(); !r.OOMKilled {
		next := *r
		next.OOMKilled = true
		if err := s.save(e, &next); err != nil {
			s.log.Error("cannot record a kill for want of memory", "container", e.id, "err", err)
		}
	}
	s.announceOOM(e.record(), k)
}

// announceOOM publishes Docker's event, and who was killed, where it is known.
func (s *Service) announceOOM(r *Record, k sandbox.OOMKill) {
	if k.Pid == 0 {
		s.announce(r, events.ActionOOM, "process", "unknown")
		return
	}
	s.announce(r, events.ActionOOM, "process", printable(k.Process), "pid", strconv.Itoa(k.Pid))
}
