package image

import (
	"context"
	"fmt"

	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/moby/moby/api/types/events"
	"github.com/opencontainers/go-digest"

	"github.com/berth-engine/berth/oci"
)

// Tag gives the image src the name dst, which is taken from the image that has
// it.
func (s *Store) Tag(ctx context.Context, src, dst string) error {
	named, err := tagName(dst)
	if err != nil {
		return err
	}
	s.write.Lock()
	defer s.write.Unlock()
	v, err := s.view(ctx)
	if err != nil {
		return err
	}
	record, _, err := v.find(src)
	if err != nil {
		return err
	}
	err = s.db.Update(ctx, func(ctx context.Context) error {
		_, err := s.setName(ctx, named.String(), record.Target)
		return err
	})
	s.changed()
	if err != nil {
		return fmt.Errorf("tag %s: %w", dst, err)
	}
	s.announce(ctx, events.ActionTag, record.Target.Digest.String(), reference.FamiliarString(named), record.Target)
	return nil
}

// tagName reads a name that an image may be given.
func tagName(text string) (reference.Named, error) {
	named, err := oci.ParseRepository(text)
	if err != nil {
		return nil, err
	}
	if _, ok := named.(reference.Digested); ok {
		return nil, fmt.Errorf("refusing to create a tag with a digest reference%w", kind{errdefs.ErrInvalidArgument})
	}
	if reference.FamiliarName(named) == digest.Canonical.String() {
		return nil, fmt.Errorf("refusing to create an ambiguous tag using digest algorithm as name%w", kind{errdefs.ErrInvalidArgument})
	}
	return reference.TagNameOnly(named), nil
}
