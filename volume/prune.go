package volume

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
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
	unused, err := s.prunable(f)
	if err != nil {
		return report, err
	}
	for i := range unused {
		v := &unused[i]
		if ctx.Err() != nil {
			return report, context.Cause(ctx)
		}
		size, err := s.remove(ctx, v.Name, removal{measure: true})
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

// WouldPrune tells what Prune would remove.
func (s *Store) WouldPrune(ctx context.Context, f Filters) (volume.PruneReport, error) {
	report := volume.PruneReport{VolumesDeleted: []string{}}
	unused, err := s.prunable(f)
	for i := range unused {
		report.VolumesDeleted = append(report.VolumesDeleted, unused[i].Name)
		report.SpaceReclaimed += uint64(s.ownSize(ctx, &unused[i]))
	}
	return report, err
}

// prunable are the volumes that nothing refers to and that filters select.
func (s *Store) prunable(f Filters) ([]Volume, error) {
	if err := f.only("all", "label", "label!"); err != nil {
		return nil, err
	}
	all, _, err := f.boolean("all")
	if err != nil {
		return nil, err
	}
	unused, err := s.List(Filters{"dangling": {"true": true}, "label": f["label"], "label!": f["label!"]})
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(unused, func(v Volume) bool {
		_, anonymous := v.Labels[AnonymousLabel]
		return !anonymous && !all
	}), nil
}

// Usage is a volume with what df says of it.
type Usage struct {
	Volume
	Users int   // containers that refer to it
	Size  int64 // bytes of its files; -1: they are not in the data-root
}

// DiskUsage measures all volumes.
func (s *Store) DiskUsage(ctx context.Context) ([]Usage, error) {
	list, err := s.List(nil)
	if err != nil {
		return nil, err
	}
	out := make([]Usage, 0, len(list))
	for _, v := range list {
		u := Usage{Volume: v, Size: -1}
		if e, err := s.find(v.Name); err == nil {
			s.mu.Lock()
			u.Users = len(e.users)
			s.mu.Unlock()
		}
		if !v.hasDevice() && !v.remote() {
			u.Status = s.quotaStatus(&v)
			size, err := sizeOf(ctx, v.Path)
			if errors.Is(err, os.ErrNotExist) {
				continue // removed meanwhile
			}
			if err != nil {
				return nil, fmt.Errorf("measure volume %s: %w", v.Name, err)
			}
			u.Size = size
		}
		out = append(out, u)
	}
	return out, nil
}

func sizeOf(ctx context.Context, path string) (int64, error) {
	dir, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer dir.Close()
	return file.Usage(ctx, dir)
}

// Space tells where the volumes' bytes are.
func (s *Store) Space(ctx context.Context) ([]file.Space, error) {
	return file.Measure(ctx, []file.Space{
		{What: "volumes", Path: filepath.Join(s.root, "*", dataDir)},
		{What: "volume snapshots", Path: filepath.Join(s.root, "*", snapshotsDir)},
	})
}
