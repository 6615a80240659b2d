package image

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/berth-engine/berth/image/pull"
	"github.com/berth-engine/berth/oci"
)

// Image is an image that can be run. It is shared: nothing in it may be changed.
type Image struct {
	ID       digest.Digest             // of Target
	Ref      string                    // familiar name it was found by; "" when found by ID
	Target   ocispec.Descriptor        // what the name stands for: an index or a manifest
	Manifest ocispec.Descriptor        // manifest of the chosen platform
	Config   dockerspec.DockerOCIImage // its config
	ChainID  digest.Digest             // of all its layers; "" when it has none
	Platform ocispec.Platform
}

// Resolve finds an image by name, name@digest, full or short ID. With p nil the
// host's platform is preferred and any other that is here will do. Errors:
// NotFound with Docker's text, InvalidArgument for what is no reference.
func (s *Store) Resolve(ctx context.Context, refOrID string, p *ocispec.Platform) (*Image, error) {
	v, err := s.view(ctx)
	if err != nil {
		return nil, err
	}
	key := refOrID
	if p != nil {
		key += "\x00" + platforms.FormatAll(*p)
	}
	v.mu.Lock()
	img := v.resolved[key]
	v.mu.Unlock()
	if img != nil {
		return img, nil
	}
	record, ref, err := v.find(refOrID)
	if err != nil {
		return nil, err
	}
	list, err := s.variants(ctx, v, record.Target)
	if err != nil {
		return nil, err
	}
	best := choose(list, p)
	if best == nil {
		return nil, platformNotFound(refOrID, p)
	}
	img = &Image{
		ID: record.Target.Digest, Ref: ref, Target: record.Target, Manifest: best.desc,
		Config: best.config, ChainID: best.chainID(), Platform: best.platform,
	}
	v.mu.Lock()
	v.resolved[key] = img
	v.mu.Unlock()
	return img, nil
}

// choose picks the variant for a platform among those that are here: the best
// match for p, or with p nil the best for the host, or else any.
func choose(list []*variant, p *ocispec.Platform) *variant {
	var m platforms.MatchComparer
	if p == nil {
		m = pull.Matcher(nil)
	} else {
		m = platforms.OnlyStrict(*p)
	}
	var best *variant
	for _, v := range list {
		matches := v.isImage && v.available && m.Match(v.platform)
		if matches && (best == nil || m.Less(v.platform, best.platform)) {
			best = v
		}
	}
	if best == nil && p == nil {
		if i := slices.IndexFunc(list, func(v *variant) bool { return v.isImage && v.available }); i >= 0 {
			best = list[i]
		}
	}
	return best
}

// find returns the record that refOrID means, and its familiar name if it was
// found by name.
func (v *view) find(refOrID string) (images.Image, string, error) {
	named, id, err := oci.ParseNameOrID(refOrID)
	if err != nil {
		return images.Image{}, "", err
	}
	if id != "" {
		if r, ok := v.firstOf(id); ok {
			return r, "", nil
		}
		return images.Image{}, "", notFound(id.String())
	}
	if d, ok := named.(reference.Digested); ok {
		for _, r := range v.sharing(d.Digest()) {
			if n, err := reference.ParseNormalizedNamed(r.Name); err == nil && n.Name() == named.Name() {
				return r, reference.FamiliarString(named), nil
			}
		}
		return images.Image{}, "", notFound(reference.FamiliarString(named))
	}
	if r, ok := v.byName[named.String()]; ok {
		return r, reference.FamiliarString(named), nil
	}
	if prefix := oci.IDPrefix(refOrID); prefix != "" {
		ids := map[digest.Digest]bool{}
		for _, r := range v.records {
			if strings.HasPrefix(r.Target.Digest.Encoded(), prefix) {
				ids[r.Target.Digest] = true
			}
		}
		if len(ids) > 1 {
			return images.Image{}, "", fmt.Errorf("ambiguous reference: %s is the start of the ID of several images%w", refOrID, kind{errdefs.ErrNotFound})
		}
		for id := range maps.Keys(ids) {
			r, _ := v.firstOf(id)
			return r, "", nil
		}
	}
	return images.Image{}, "", notFound(reference.FamiliarString(named))
}

// firstOf returns one record of an image, preferring a name to none.
func (v *view) firstOf(id digest.Digest) (images.Image, bool) {
	list := v.sharing(id)
	for _, r := range list {
		if !isDangling(r) {
			return r, true
		}
	}
	if len(list) > 0 {
		return list[0], true
	}
	return images.Image{}, false
}

// kind adds a kind to an error without adding to its text, which is Docker's.
type kind struct{ err error }

func (kind) Error() string   { return "" }
func (k kind) Unwrap() error { return k.err }

func notFound(ref string) error {
	return fmt.Errorf("No such image: %s%w", ref, kind{errdefs.ErrNotFound}) // Docker's text
}

func platformNotFound(ref string, p *ocispec.Platform) error {
	what := "any platform"
	if p != nil {
		what = "the specified platform (" + platforms.FormatAll(*p) + ")"
	}
	return fmt.Errorf("image with reference %s was found but does not provide %s%w", ref, what, kind{errdefs.ErrNotFound})
}
