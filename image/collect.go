package image

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/containerd/errdefs"
	imagetypes "github.com/moby/moby/api/types/image"
	"github.com/opencontainers/go-digest"

	disk "github.com/berth-engine/berth/kernel/file"
)

// Limits say which images are removed without being asked. Images that containers
// use and pinned ones never are. The zero value removes none.
type Limits struct {
	UnusedFor time.Duration // images that were not used for so long go; 0: none
	MaxUsed   Amount        // the longest unused go while images take more; 0: no limit
	MinFree   Amount        // the longest unused go while less of the disk is free; 0: no limit
	Tagged    bool          // also images that have a name
}

// Amount is an amount of disk space: bytes, or per cent of the disk.
type Amount struct{ Bytes, Percent int64 }

func (a Amount) of(disk int64) int64 {
	if a.Bytes > 0 {
		return a.Bytes
	}
	return disk / 100 * a.Percent
}

func (l Limits) none() bool {
	return l.UnusedFor == 0 && l.MaxUsed == Amount{} && l.MinFree == Amount{}
}

// SetLimits replaces the limits that CollectUnused keeps.
func (s *Store) SetLimits(l Limits) {
	s.mu.Lock()
	s.limits = l
	s.mu.Unlock()
	s.compactor.wake()
}

// candidate is an image that may be removed.
type candidate struct {
	id   digest.Digest
	used time.Time
}

// CollectUnused removes images as the limits say, the longest unused first. With
// dry it only tells which and how many bytes would be free. FailedPrecondition if
// there are no limits.
func (s *Store) CollectUnused(ctx context.Context, dry bool) (imagetypes.PruneReport, error) {
	limits := s.limited()
	if limits.none() {
		return imagetypes.PruneReport{}, fmt.Errorf("there is no limit for images: set unusedFor, maxUsedSpace or minFreeSpace of image-gc in daemon.json, or remove images by `image prune`: %w", errdefs.ErrFailedPrecondition)
	}
	return s.collectUnused(ctx, limits, dry)
}

func (s *Store) limited() Limits {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.limits
}

func (s *Store) collectUnused(ctx context.Context, limits Limits, dry bool) (imagetypes.PruneReport, error) {
	report := imagetypes.PruneReport{ImagesDeleted: []imagetypes.DeleteResponse{}}
	v, err := s.view(ctx)
	if err != nil {
		return report, err
	}
	size, free, err := disk.Disk(s.db.EmptyDir())
	if err != nil {
		return report, fmt.Errorf("collect images: %w", err)
	}
	now := time.Now()
	before, err := s.usage(ctx, v, except{interrupted: now})
	if err != nil {
		return report, err
	}
	taken := before
	gone := map[digest.Digest]bool{}
	for _, c := range s.unused(v, limits.Tagged) {
		old := limits.UnusedFor > 0 && now.Sub(c.used) > limits.UnusedFor
		much := limits.MaxUsed != Amount{} && taken > limits.MaxUsed.of(size)
		full := limits.MinFree != Amount{} && free+before-taken < limits.MinFree.of(size)
		if !old && !much && !full {
			break // the others were used later
		}
		if ctx.Err() != nil {
			return report, context.Cause(ctx)
		}
		removed, err := s.pruneOne(ctx, c.id, dry)
		if err != nil {
			s.log.Warn("cannot collect an image", "image", c.id, "error", err)
			continue
		}
		if len(removed) == 0 {
			continue // used or pinned meanwhile
		}
		gone[c.id] = true
		report.ImagesDeleted = append(report.ImagesDeleted, removed...)
		if taken, err = s.usage(ctx, v, except{images: gone, interrupted: now}); err != nil {
			return report, err
		}
		if !dry {
			s.log.Info("image collected", "image", c.id, "used", c.used)
		}
	}
	report.SpaceReclaimed = uint64(max(before-taken, 0))
	return report, nil
}

// unused lists the images that may go, the longest unused first.
func (s *Store) unused(v *view, tagged bool) []candidate {
	named, list := map[digest.Digest]bool{}, map[digest.Digest]time.Time{}
	for _, r := range v.records {
		id := r.Target.Digest
		named[id] = named[id] || !isDangling(r)
		for _, t := range []time.Time{r.UpdatedAt, s.uses.of(id)} {
			if t.After(list[id]) {
				list[id] = t
			}
		}
	}
	var out []candidate
	for id, used := range list {
		if record, ok := v.firstOf(id); !ok || v.pinned(record) || s.Containers(id) > 0 || named[id] && !tagged {
			continue
		}
		out = append(out, candidate{id, used})
	}
	slices.SortFunc(out, func(a, b candidate) int { return cmp.Or(a.used.Compare(b.used), cmp.Compare(a.id, b.id)) })
	return out
}
