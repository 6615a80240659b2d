package image

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/errdefs"
	imagetypes "github.com/moby/moby/api/types/image"
	"github.com/opencontainers/go-digest"

	"github.com/berth-engine/berth/image/pull"
)

// interrupted lists the leases of pulls that were given up or killed and whose name
// is not being pulled, as those that keep says: what has come waits to be continued.
func (s *Store) interrupted(ctx context.Context, keep func(began time.Time) bool) ([]leases.Lease, error) {
	list, err := s.db.Leases.List(s.db.Context(ctx), fmt.Sprintf("labels.%q", leaseRef))
	if err != nil {
		return nil, fmt.Errorf("interrupted pulls: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	going := map[string]bool{}
	for _, l := range list {
		if s.active[l.ID] {
			going[l.Labels[leaseRef]] = true
		}
	}
	return slices.DeleteFunc(list, func(l leases.Lease) bool {
		return going[l.Labels[leaseRef]] || !keep(l.CreatedAt)
	}), nil
}

// addInterrupted adds what interrupted pulls have brought that began at a time or
// later; with the zero time, all.
func (s *Store) addInterrupted(ctx context.Context, c contents, since time.Time) error {
	list, err := s.interrupted(ctx, func(began time.Time) bool { return !began.Before(since) })
	if err != nil {
		return err
	}
	ctx = s.db.Context(ctx)
	for _, l := range list {
		resources, err := s.db.Leases.ListResources(ctx, l)
		if errdefs.IsNotFound(err) {
			continue // ended meanwhile
		}
		if err != nil {
			return fmt.Errorf("interrupted pull %s: %w", l.Labels[leaseRef], err)
		}
		for _, r := range resources {
			if err := s.addPart(ctx, c, r); err != nil && !errdefs.IsNotFound(err) {
				return fmt.Errorf("interrupted pull %s: %s: %w", l.Labels[leaseRef], r.ID, err)
			}
		}
	}
	return nil
}

// addPart adds one thing that a lease keeps.
func (s *Store) addPart(ctx context.Context, c contents, r leases.Resource) error {
	switch {
	case r.Type == "content":
		info, err := s.db.Content.Info(ctx, digest.Digest(r.ID))
		if err == nil {
			c.blobs[info.Digest] = info.Size
		}
		return err
	case r.Type == "ingests":
		status, err := s.db.Content.Status(ctx, r.ID)
		if err == nil {
			c.blobs[digest.Digest(r.ID)] = status.Offset
		}
		return err
	case strings.HasPrefix(r.Type, "snapshots/"):
		c.chains[digest.Digest(r.ID)] = true
	}
	return nil
}

// dropInterrupted removes what interrupted pulls have brought that began before a
// time; with the zero time, none. It lists the blobs that are gone.
func (s *Store) dropInterrupted(ctx context.Context, before time.Time) ([]imagetypes.DeleteResponse, error) {
	s.write.Lock() // no pull begins to continue one meanwhile
	defer s.write.Unlock()
	list, err := s.interrupted(ctx, before.After)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	ctx = s.db.Context(ctx)
	parts := map[leases.Resource]bool{}
	for _, l := range list {
		resources, err := s.db.Leases.ListResources(ctx, l)
		if err == nil {
			err = s.db.Leases.Delete(ctx, l)
		}
		if err != nil && !errdefs.IsNotFound(err) {
			return nil, fmt.Errorf("interrupted pull %s: %w", l.Labels[leaseRef], err)
		}
		for _, r := range resources {
			parts[r] = true
		}
	}
	if err := s.db.CollectNow(ctx); err != nil {
		return nil, err
	}
	gone := []imagetypes.DeleteResponse{}
	for r := range parts {
		switch r.Type {
		case "content":
			_, err = s.db.Content.Info(ctx, digest.Digest(r.ID))
		case "ingests":
			_, err = s.db.Content.Status(ctx, r.ID)
		default:
			continue
		}
		if errdefs.IsNotFound(err) {
			gone = append(gone, imagetypes.DeleteResponse{Deleted: strings.TrimPrefix(r.ID, pull.BlobRef(""))})
		}
	}
	slices.SortFunc(gone, func(a, b imagetypes.DeleteResponse) int { return strings.Compare(a.Deleted, b.Deleted) })
	return slices.Compact(gone), nil
}
