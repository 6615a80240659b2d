package volume

import (
	"context"
	"os"
	"strconv"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/api/types/volume"

	"github.com/berth-engine/berth/kernel/file"
)

// Prune removes the volumes that nothing refers to, as filters (label, label!,
// all) select them: anonymous ones, and those with names only if all is true.
func (s *Store) Prune(ctx context.Context, f Filters) (volume.PruneReport, error) {
	report := volume.PruneReport{VolumesDeleted: []string{}}
	if err := f.only("all", "label", "label!"); err != nil {
		return report, err
	}
	all, _, err := f.boolean("all")
	if err != nil {
		return report, err
	}
	unused, err := s.List(Filters{"dangling": {"true": true}, "label": f["label"], "label!": f["label!"]})
	if err != nil {
		return report, err
	}
	for i := range unused {
		v := &unused[i]
		if ctx.Err() != nil {
			return report, context.Cause(ctx)
		}
		if _, anonymous := v.Labels[AnonymousLabel]; !anonymous && !all {
			continue
		}
		size, err := s.remove(ctx, v.Name, true)
		if errdefs.IsConflict(err) || errdefs.IsNotFound(err) {
			continue // it was used, or removed, meanwhile
		}
		if err != nil {
			s.log.Warn("cannot prune a volume", "volume", v.Name, "err", err)
			continue
		}
		report.VolumesDeleted = append(report.VolumesDeleted, v.Name)
		report.SpaceReclaimed += uint64(size)
	}
	s.events.Publish(events.Message{
		Type: events.VolumeEventType, Action: events.ActionPrune,
		Actor: events.Actor{Attributes: map[string]string{"reclaimed": strconv.FormatUint(report.SpaceReclaimed, 10)}},
	})
	return report, nil
}

func sizeOf(ctx context.Context, path string) (int64, error) {
	dir, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer dir.Close()
	return file.Usage(ctx, dir)
}
