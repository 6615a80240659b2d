package image

import (
	"context"
	"time"

	imagetypes "github.com/moby/moby/api/types/image"
	"github.com/moby/moby/api/types/storage"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// InspectOptions configures Inspect.
type InspectOptions struct {
	Platform  *ocispec.Platform // nil: the best that is here
	Manifests bool              // list all manifests of an index
}

// Inspect describes an image. With a platform the description, and its ID, is
// that of the platform's manifest.
func (s *Store) Inspect(ctx context.Context, ref string, o InspectOptions) (imagetypes.InspectResponse, error) {
	var answer imagetypes.InspectResponse
	v, err := s.view(ctx)
	if err != nil {
		return answer, err
	}
	record, _, err := v.find(ref)
	if err != nil {
		return answer, err
	}
	variants, err := s.variants(ctx, v, record.Target)
	if err != nil {
		return answer, err
	}
	best := choose(variants, o.Platform)
	if best == nil && o.Platform != nil {
		return answer, platformNotFound(ref, o.Platform)
	}
	records := v.sharing(record.Target.Digest)
	target := record.Target
	if o.Platform != nil {
		target = best.desc
	}
	answer = imagetypes.InspectResponse{
		ID: target.Digest.String(), Descriptor: &target,
		GraphDriver: &storage.DriverData{Name: Driver},
	}
	answer.RepoTags, answer.RepoDigests = names(records)
	for _, r := range records {
		if r.UpdatedAt.After(answer.Metadata.LastTagTime) {
			answer.Metadata.LastTagTime = r.UpdatedAt
		}
	}
	if o.Manifests {
		if answer.Manifests, err = s.manifests(ctx, v, record.Target, variants); err != nil {
			return answer, err
		}
	}
	if best == nil {
		return answer, nil
	}
	if answer.Size, err = s.size(ctx, v, record.Target, []*variant{best}); err != nil {
		return answer, err
	}
	describe(&answer, best)
	return answer, nil
}

// describe copies what the config says.
func describe(answer *imagetypes.InspectResponse, m *variant) {
	c := &m.config
	config := c.Config
	answer.Config = &config
	answer.Author = c.Author
	answer.Architecture, answer.Variant, answer.Os, answer.OsVersion = c.Architecture, c.Variant, c.OS, c.OSVersion
	if n := len(c.History); n > 0 {
		answer.Comment = c.History[n-1].Comment
	}
	if c.Created != nil {
		answer.Created = c.Created.Format(time.RFC3339Nano)
	}
	answer.RootFS = imagetypes.RootFS{Type: c.RootFS.Type}
	for _, d := range c.RootFS.DiffIDs {
		answer.RootFS.Layers = append(answer.RootFS.Layers, d.String())
	}
}
