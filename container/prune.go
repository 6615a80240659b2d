package container

import (
	"context"
	"slices"
	"strconv"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"
)

// Prune removes the containers that do not run, as filters (until, label,
// label!) select them, and tells how many bytes their files had.
func (s *Service) Prune(ctx context.Context, f Filters) (container.PruneReport, error) {
	report := container.PruneReport{ContainersDeleted: []string{}}
	list, err := s.prunable(f)
	if err != nil {
		return report, err
	}
	for _, e := range list {
		if err := ctx.Err(); err != nil {
			return report, err
		}
		size, err := s.sizeRw(e.id)
		if err != nil {
			s.log.Warn("cannot measure a container", "container", e.id, "err", err)
		}
		err = s.Remove(ctx, e.id, RemoveOptions{})
		if errdefs.IsConflict(err) || errdefs.IsNotFound(err) {
			continue // it was started, or removed, meanwhile
		}
		if err != nil {
			s.log.Warn("cannot prune a container", "container", e.id, "err", err)
			continue
		}
		report.ContainersDeleted = append(report.ContainersDeleted, e.id)
		report.SpaceReclaimed += uint64(size)
	}
	s.announcePrune(report.SpaceReclaimed)
	return report, nil
}

// prunable are the containers that filters select and that do not run.
func (s *Service) prunable(f Filters) ([]*entry, error) {
	if err := f.only("until", "label", "label!"); err != nil {
		return nil, err
	}
	until, hasUntil, err := f.until(s.clock.now())
	if err != nil {
		return nil, err
	}
	var list []*entry
	for _, e := range s.index.all() {
		r := e.record()
		if slices.Contains([]State{Created, Exited, Dead}, r.State) && (!hasUntil || !r.Created.After(until)) && f.labels(r.Config.Labels) {
			list = append(list, e)
		}
	}
	return list, nil
}

func (s *Service) announcePrune(bytes uint64) {
	s.events.Publish(events.Message{
		Type: events.ContainerEventType, Action: events.ActionPrune,
		Actor: events.Actor{Attributes: map[string]string{"reclaimed": strconv.FormatUint(bytes, 10)}},
	})
}
