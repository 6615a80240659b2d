package image

import (
	"context"
	"fmt"
	"io"

	"github.com/distribution/reference"
	"github.com/moby/moby/api/types/events"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/berth-engine/berth/image/layout"
	"github.com/berth-engine/berth/oci"
)

// Save writes images as a tar stream in the OCI image layout, with Docker's
// manifest.json. A reference is a name, all tags of a repository, or an ID; the
// last is written without a name. Images for several platforms are written whole,
// as far as they are here; with one platform named its manifest is the image, with
// several the index and what it has for them.
//
// Nothing is written before all references are found: NotFound else.
func (s *Store) Save(ctx context.Context, refs []string, only []ocispec.Platform, start func() io.Writer) error {
	v, err := s.view(ctx)
	if err != nil {
		return err
	}
	var list []layout.Image
	at := map[string]int{}
	for _, ref := range refs {
		img, err := s.exported(ctx, v, ref, only)
		if err != nil {
			return err
		}
		for _, one := range img {
			i, known := at[one.Target.Digest.String()]
			if !known {
				at[one.Target.Digest.String()] = len(list)
				list = append(list, one)
				continue
			}
			list[i].Names = append(list[i].Names, one.Names...)
		}
	}
	for _, img := range list {
		keep, err := s.keepContent(ctx, img.Target)
		if err != nil {
			return err
		}
		defer keep()
	}
	if err := layout.Write(s.db.Context(ctx), s.db.Content, start(), list); err != nil {
		return fmt.Errorf("save: %w", err)
	}
	for _, img := range list {
		id := img.Target.Digest.String()
		s.announce(ctx, events.ActionSave, id, id, img.Target)
	}
	return nil
}

// exported finds what a reference given to Save means.
func (s *Store) exported(ctx context.Context, v *view, ref string, only []ocispec.Platform) ([]layout.Image, error) {
	type target struct {
		desc ocispec.Descriptor
		name string
	}
	var targets []target
	if named, err := oci.ParseRepository(ref); err == nil && reference.IsNameOnly(named) {
		for _, r := range v.tags(named) {
			targets = append(targets, target{r.Target, r.Name})
		}
	}
	if len(targets) == 0 {
		record, name, err := v.find(ref)
		if err != nil {
			return nil, err
		}
		full := ""
		if named, err := oci.ParseName(ref); name != "" && err == nil {
			if _, tagged := named.(reference.Tagged); tagged {
				full = named.String()
			}
		}
		targets = append(targets, target{record.Target, full})
	}
	var list []layout.Image
	for _, t := range targets {
		variants, err := s.variants(ctx, v, t.desc)
		if err != nil {
			return nil, err
		}
		best, err := chooseAll(variants, ref, only)
		if err != nil {
			return nil, err
		}
		manifest := bare(best.desc)
		img := layout.Image{Target: t.desc, Manifest: &manifest, Platforms: only}
		if len(only) == 1 {
			img.Target = manifest
		}
		if t.name != "" {
			img.Names = []string{t.name}
		}
		list = append(list, img)
	}
	return list, nil
}

// chooseAll is choose for each of some platforms: the best of the first, or with
// none the best for the host. All must be here: NotFound else.
func chooseAll(list []*variant, ref string, only []ocispec.Platform) (*variant, error) {
	if len(only) == 0 {
		best := choose(list, nil)
		if best == nil {
			return nil, platformNotFound(ref, nil)
		}
		return best, nil
	}
	var first *variant
	for _, p := range only {
		best := choose(list, &p)
		if best == nil {
			return nil, platformNotFound(ref, &p)
		}
		if first == nil {
			first = best
		}
	}
	return first, nil
}
