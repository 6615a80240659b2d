package container

import (
	"context"

	"github.com/berth-engine/berth/api"
)

// WouldRemove tells what Remove would take away, or why it would refuse.
func (s *Service) WouldRemove(ctx context.Context, ref string, o RemoveOptions) (api.Removal, error) {
	e, err := s.find(ref)
	if err != nil || o.Link { // nothing that takes space goes with a link
		return api.Removal{}, err
	}
	if err := mayRemove(e.record(), o.Force); err != nil {
		return api.Removal{}, err
	}
	var out api.Removal
	s.addRemoved(ctx, &out, e, o.Volumes)
	return out, nil
}

// WouldPrune tells what Prune would remove.
func (s *Service) WouldPrune(ctx context.Context, f Filters) (api.Removal, error) {
	var out api.Removal
	list, err := s.prunable(f)
	for _, e := range list {
		s.addRemoved(ctx, &out, e, false)
	}
	return out, err
}

func (s *Service) addRemoved(ctx context.Context, out *api.Removal, e *entry, volumes bool) {
	r := e.record()
	out.Containers = append(out.Containers, api.RemovedContainer{ID: r.ID, Name: r.Name, Kill: r.State.live()})
	size, err := s.sizeRw(e.id)
	if err != nil {
		s.log.Warn("cannot measure a container", "container", e.id, "err", err)
	}
	out.SpaceReclaimed += uint64(size)
	// Those with --rm take their volumes along in any case.
	if !volumes && !r.autoRemove() {
		return
	}
	for _, v := range s.ownVolumes(r) {
		if users := s.volumes.Users(v.Name); len(users) > 1 {
			continue // others use it, too
		}
		out.Volumes = append(out.Volumes, v.Name)
		size, err := s.volumes.Size(ctx, v.Name)
		if err != nil {
			s.log.Warn("cannot measure a volume", "volume", v.Name, "err", err)
		}
		out.SpaceReclaimed += uint64(size)
	}
}
