package container

import (
	"context"
	"fmt"

	"github.com/moby/moby/api/types/events"

	"github.com/berth-engine/berth/fault"
)

// Rename gives the container another name. The new one is claimed, the record
// saved, the old one released: a daemon killed in between finds a record that
// has one of the two.
func (s *Service) Rename(ctx context.Context, ref, name string) error {
	if name == "" {
		return invalid("Neither old nor new names may be empty")
	}
	clean, err := cleanName(name)
	if err != nil {
		return err
	}
	e, err := s.findLocked(ctx, ref)
	if err != nil {
		return err
	}
	defer e.release()
	old := e.record()
	if old.Name == clean {
		return invalid("Renaming a container with the same name as its current name")
	}
	if err := s.names.claim(clean, e.id); err != nil {
		return fmt.Errorf("Error when allocating new name: %w", err)
	}
	var u undo
	u.push(func(context.Context) { s.names.release(clean, e.id) })
	if err := fault.Point("container.rename.claimed"); err != nil {
		u.run(ctx)
		return err
	}
	next := *old
	next.Name = clean
	if res, ok, err := s.networks.Rename(ctx, e.id, clean); err != nil {
		s.log.Warn("cannot tell a container's network its new name", "container", e.id, "err", err)
	} else if ok {
		next.Network = &res
	}
	if err := s.save(e, &next); err != nil {
		u.run(ctx)
		return err
	}
	s.names.release(old.Name, e.id)
	s.announce(&next, events.ActionRename, "oldName", "/"+old.Name)
	return nil
}
