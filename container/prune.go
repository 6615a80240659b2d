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
	if err := f.only("until", "label", "label!"); err != nil {
		return report, err
	}
	until, hasUntil, err := f.until(s.clock.now())
	if err != nil {
		return report, err
	}
	for _, e := range s.index.all() {
		if err := ctx.Err(); err != nil {
			return report, err
		}
		r := e.record()
		if !slices.Contains([]State{Created, Exited, Dead}, r.State) {
			continue
		}
		if hasUntil && r.Created.After(until) || !f.labels(r.Config.Labels) {
			continue
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

func (s *Service) announcePrune(bytes uint64) {
	s.events.Publish(events.Message{
		Type: events.ContainerEventType, Action: events.ActionPrune,
		Actor: events.Actor{Attributes: map[string]string{"reclaimed": strconv.FormatUint(bytes, 10)}},
	})
}
