package container

import (
	"context"
	"math"
	"strconv"

	"github.com/moby/moby/api/types/events"
)

// Resize sets the size of the container's terminal in characters.
func (s *Service) Resize(ctx context.Context, ref string, height, width uint) error {
	if height > math.MaxUint16 || width > math.MaxUint16 {
		return invalid("invalid resize height or width: out of range")
	}
	e, err := s.find(ref)
	if err != nil {
		return err
	}
	box := e.streams.current()
	if box == nil || !e.record().State.live() {
		return conflict("container %s is not running", e.id)
	}
	// Without a terminal there is nothing to do, and no error, as under Docker.
	if e.record().Config.Tty {
		if err := box.Resize(ctx, uint16(height), uint16(width)); err != nil {
			return err
		}
	}
	s.announce(e.record(), events.ActionResize,
		"height", strconv.FormatUint(uint64(height), 10), "width", strconv.FormatUint(uint64(width), 10))
	return nil
}
