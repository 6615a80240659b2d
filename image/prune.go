package image

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/events"
	imagetypes "github.com/moby/moby/api/types/image"
	"github.com/opencontainers/go-digest"
)

// Prune removes images that no container uses, as filters (dangling, until,
// label, label!) select them: those without a name, or with dangling=false all, and
// what interrupted pulls have brought. With dry it only tells what it would remove.
func (s *Store) Prune(ctx context.Context, filters map[string]map[string]bool, dry bool) (imagetypes.PruneReport, error) {
	report := imagetypes.PruneReport{ImagesDeleted: []imagetypes.DeleteResponse{}}
	v, err := s.view(ctx)
	if err != nil {
		return report, err
	}
	targets, err := s.prunable(ctx, v, filters)
	if err != nil {
		return report, err
	}
	before, err := s.usage(ctx, v, except{}) // this measures what will be gone
	if err != nil {
		return report, err
	}
	gone := map[digest.Digest]bool{}
	for _, target := range targets {
		if ctx.Err() != nil {
			return report, context.Cause(ctx)
		}
		removed, err := s.pruneOne(ctx, target, dry)
		if err != nil {
			s.log.Warn("cannot prune an image", "image", target, "error", err)
			continue
		}
		gone[target] = gone[target] || len(removed) > 0
		report.ImagesDeleted = append(report.ImagesDeleted, removed...)
	}
	old, err := interruptedBefore(filters)
	if err != nil {
		return report, err
	}
	if !dry {
		gone, err := s.dropInterrupted(ctx, old)
		if err != nil {
			return report, err
		}
		report.ImagesDeleted = append(report.ImagesDeleted, gone...)
	}
	after, err := s.usage(ctx, v, except{images: gone, interrupted: old})
	if err != nil {
		return report, err
	}
	report.SpaceReclaimed = uint64(max(before-after, 0))
	if !dry {
		s.events.Publish(events.Message{
			Type: events.ImageEventType, Action: events.ActionPrune,
			Actor: events.Actor{Attributes: map[string]string{"reclaimed": strconv.FormatUint(report.SpaceReclaimed, 10)}},
		})
	}
	return report, nil
}

// interruptedBefore is the time before which pulls have to have begun for a prune to
// remove what they brought and did not finish; zero if it leaves them: one of images
// without a name, or with certain labels.
func interruptedBefore(filters map[string]map[string]bool) (time.Time, error) {
	all, err := boolean(filters["dangling"])
	if err != nil || all || len(filters["label"])+len(filters["label!"]) > 0 {
		return time.Time{}, nil //nolint:nilerr // prunable has told what is wrong
	}
	for text := range filters["until"] {
		return timestamp(text, time.Now())
	}
	return time.Now(), nil
}

// prunable lists the images that filters select and nobody uses.
func (s *Store) prunable(ctx context.Context, v *view, filters map[string]map[string]bool) ([]digest.Digest, error) {
	unnamed := true
	rest := map[string]map[string]bool{}
	for name, values := range filters {
		switch name {
		case "dangling":
			want, err := boolean(values)
			if err != nil {
				return nil, badFilter("'dangling=%s'", err.Error())
			}
			unnamed = want
		case "until":
			if len(values) > 1 {
				return nil, fmt.Errorf("more than one until filter specified%w", kind{errdefs.ErrInvalidArgument})
			}
			rest[name] = values
		case "label", "label!":
			rest[name] = values
		default:
			return nil, badFilter("'%s'", name)
		}
	}
	f, err := s.filter(ctx, v, rest)
	if err != nil {
		return nil, err
	}
	named, targets := map[digest.Digest]bool{}, map[digest.Digest]bool{}
	for _, r := range v.records {
		named[r.Target.Digest] = named[r.Target.Digest] || !isDangling(r)
		variants, err := s.variants(ctx, v, r.Target)
		if err != nil {
			s.log.Warn("unreadable image", "name", r.Name, "error", err)
			continue
		}
		if f.image(r, variants) {
			targets[r.Target.Digest] = true
		}
	}
	var list []digest.Digest
	for t := range targets {
		if record, ok := v.firstOf(t); ok && (!unnamed || !named[t]) && s.Containers(t) == 0 && !v.pinned(record) {
			list = append(list, t)
		}
	}
	slices.SortFunc(list, func(a, b digest.Digest) int { return strings.Compare(a.String(), b.String()) })
	return list, nil
}

// pruneOne removes an image with all its names, unless somebody uses it now.
func (s *Store) pruneOne(ctx context.Context, target digest.Digest, dry bool) ([]imagetypes.DeleteResponse, error) {
	s.write.Lock()
	defer s.write.Unlock()
	v, err := s.view(ctx)
	if err != nil {
		return nil, err
	}
	record, ok := v.firstOf(target)
	if !ok || s.Containers(target) > 0 || v.pinned(record) {
		return nil, nil
	}
	r := s.newRemoval(ctx, v, record)
	r.dry = dry
	return r.delete(ctx, r.all, true)
}
