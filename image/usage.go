package image

import (
	"context"
	"maps"
	"time"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
)

// contents is what the store keeps for images and containers.
type contents struct {
	blobs  map[digest.Digest]int64 // by size
	chains map[digest.Digest]bool  // unpacked layers
}

// DiskUsage is how many bytes images have here, blobs and unpacked layers, each
// once, with layers that only containers still use and what interrupted pulls have
// brought; and how many of them would be free without the images that no container
// uses and without such pulls.
func (s *Store) DiskUsage(ctx context.Context) (total, reclaimable int64, err error) {
	v, err := s.view(ctx)
	if err != nil {
		return 0, 0, err
	}
	unused := map[digest.Digest]bool{}
	for _, r := range v.records {
		if s.Containers(r.Target.Digest) == 0 {
			unused[r.Target.Digest] = true
		}
	}
	if total, err = s.usage(ctx, v, except{}); err != nil {
		return 0, 0, err
	}
	used, err := s.usage(ctx, v, except{images: unused, interrupted: time.Now()})
	return total, max(total-used, 0), err
}

// except is what not to count: images, manifests of images, and what pulls have
// brought that began before a time and were interrupted.
type except struct {
	images, manifests map[digest.Digest]bool
	interrupted       time.Time
}

// usage is the total of DiskUsage without what only those in skip have. An image that cannot be read counts with its manifest alone.
func (s *Store) usage(ctx context.Context, v *view, skip except) (int64, error) {
	c := contents{map[digest.Digest]int64{}, map[digest.Digest]bool{}}
	for _, r := range v.records {
		if skip.images[r.Target.Digest] {
			continue
		}
		c.blobs[r.Target.Digest] = r.Target.Size
		variants, err := s.variants(ctx, v, r.Target)
		if err != nil {
			s.log.Warn("unreadable image", "name", r.Name, "error", err)
			continue
		}
		for _, m := range variants {
			if skip.manifests[m.desc.Digest] {
				continue
			}
			maps.Copy(c.blobs, m.blobs)
			for _, chain := range m.chains {
				c.chains[chain] = true
			}
		}
	}
	if err := s.addHeld(ctx, c.chains); err != nil {
		return 0, err
	}
	if err := s.addInterrupted(ctx, c, skip.interrupted); err != nil {
		return 0, err
	}
	var sum int64
	for _, n := range c.blobs {
		sum += n
	}
	for chain := range c.chains {
		n, err := s.layerSize(ctx, v, chain)
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}

// addHeld adds the layers that containers use.
func (s *Store) addHeld(ctx context.Context, chains map[digest.Digest]bool) error {
	s.mu.Lock()
	var tops []digest.Digest
	for h := range s.holders {
		tops = append(tops, h.chain)
	}
	s.mu.Unlock()
	for _, top := range tops {
		for name := top.String(); name != "" && !chains[digest.Digest(name)]; {
			chains[digest.Digest(name)] = true
			_, parent, err := s.db.SnapshotDir(ctx, name)
			if errdefs.IsNotFound(err) {
				break // not unpacked
			}
			if err != nil {
				return err
			}
			name = parent
		}
	}
	return nil
}
