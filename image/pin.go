package image

import (
	"context"
	"fmt"
	"maps"

	"github.com/containerd/containerd/v2/core/images"
)

// pinLabel is on the record of a name that is pinned.
const pinLabel = "berth.pinned"

func pinned(r images.Image) bool { return r.Labels[pinLabel] != "" }

// pinned tells whether a name of the image is.
func (v *view) pinned(r images.Image) bool {
	for _, other := range v.sharing(r.Target.Digest) {
		if pinned(other) {
			return true
		}
	}
	return false
}

// Pin keeps what a name stands for, now and later, from collections and prunes;
// Remove removes it still. An ID stands for all names that the image has. With on
// false it ends that.
func (s *Store) Pin(ctx context.Context, ref string, on bool) error {
	s.write.Lock()
	defer s.write.Unlock()
	v, err := s.view(ctx)
	if err != nil {
		return err
	}
	record, name, err := v.find(ref)
	if err != nil {
		return err
	}
	list := []images.Image{record}
	if name == "" {
		list = v.sharing(record.Target.Digest)
	}
	defer s.changed()
	return s.db.Update(ctx, func(ctx context.Context) error {
		for _, r := range list {
			r.Labels = maps.Clone(r.Labels)
			if r.Labels == nil {
				r.Labels = map[string]string{}
			}
			r.Labels[pinLabel] = "true"
			if !on {
				r.Labels[pinLabel] = "" // which removes it
			}
			if _, err := s.db.Images.Update(ctx, r, "labels."+pinLabel); err != nil {
				return fmt.Errorf("pin %s: %w", r.Name, err)
			}
		}
		return nil
	})
}
