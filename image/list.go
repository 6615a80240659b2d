package image

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/distribution/reference"
	imagetypes "github.com/moby/moby/api/types/image"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// ListOptions configures List.
type ListOptions struct {
	All        bool // accepted for Docker's sake: there are no intermediate images
	Digests    bool // accepted for Docker's sake: digests are always given
	Manifests  bool // fill Summary.Manifests
	SharedSize bool // compute Summary.SharedSize; -1 otherwise
	// Filters by name: dangling, label, label!, reference, before, since, until.
	Filters map[string]map[string]bool
}

// List lists images, newest first, one entry for all names of an image.
func (s *Store) List(ctx context.Context, o ListOptions) ([]imagetypes.Summary, error) {
	v, err := s.view(ctx)
	if err != nil {
		return nil, err
	}
	f, err := s.filter(ctx, v, o.Filters)
	if err != nil {
		return nil, err
	}
	named := map[digest.Digest][]images.Image{}
	for _, r := range v.records {
		if f.record(r) {
			named[r.Target.Digest] = append(named[r.Target.Digest], r)
		}
	}
	list := []imagetypes.Summary{}
	layers := map[digest.Digest]int{} // images by layer
	chains := map[string][]digest.Digest{}
	for id, records := range named {
		variants, err := s.variants(ctx, v, records[0].Target)
		if err != nil {
			s.log.Warn("unreadable image", "name", records[0].Name, "error", err)
			continue
		}
		if !f.image(records[0], variants) {
			continue
		}
		summary, err := s.summary(ctx, v, records, variants, o)
		if err != nil {
			return nil, err
		}
		list = append(list, summary)
		for _, m := range variants {
			chains[id.String()] = append(chains[id.String()], m.chains...)
			for _, c := range m.chains {
				layers[c]++
			}
		}
	}
	if o.SharedSize {
		for i := range list {
			list[i].SharedSize = 0
			for _, c := range chains[list[i].ID] {
				if layers[c] > 1 {
					n, err := s.layerSize(ctx, v, c)
					if err != nil {
						return nil, err
					}
					list[i].SharedSize += n
				}
			}
		}
	}
	slices.SortFunc(list, func(a, b imagetypes.Summary) int {
		return cmp.Or(cmp.Compare(b.Created, a.Created), strings.Compare(a.ID, b.ID))
	})
	return list, nil
}

func (s *Store) summary(ctx context.Context, v *view, records []images.Image, variants []*variant, o ListOptions) (imagetypes.Summary, error) {
	target := records[0].Target
	summary := imagetypes.Summary{
		ID: target.Digest.String(), Created: created(records[0], variants).Unix(),
		Descriptor: &target, SharedSize: -1, Containers: int64(s.Containers(target.Digest)),
	}
	summary.RepoTags, summary.RepoDigests = names(records)
	if best := choose(variants, nil); best != nil {
		summary.Labels = maps.Clone(best.config.Config.Labels)
	}
	size, err := s.size(ctx, v, target, variants)
	if err != nil {
		return summary, err
	}
	summary.Size = size
	if o.Manifests {
		summary.Manifests, err = s.manifests(ctx, v, target, variants)
	}
	return summary, err
}

// created is when an image was built, or, if it does not say, came here.
func created(r images.Image, variants []*variant) time.Time {
	if best := choose(variants, nil); best != nil && best.config.Created != nil {
		return *best.config.Created
	}
	return r.CreatedAt
}

// names splits the records of an image into its tags and digests.
func names(records []images.Image) (tags, digests []string) {
	tags, digests = []string{}, []string{}
	for _, r := range records {
		if isDangling(r) {
			continue
		}
		n, err := reference.ParseNormalizedNamed(r.Name)
		if err != nil {
			tags = append(tags, r.Name)
			continue
		}
		if _, digested := n.(reference.Digested); !digested {
			tags = append(tags, reference.FamiliarString(n))
		}
		if d, err := reference.WithDigest(reference.TrimNamed(n), r.Target.Digest); err == nil {
			digests = append(digests, reference.FamiliarString(d))
		}
	}
	slices.Sort(tags)
	slices.Sort(digests)
	return tags, slices.Compact(digests)
}

// size sums what is here of an image: blobs, each once, and unpacked layers.
func (s *Store) size(ctx context.Context, v *view, target ocispec.Descriptor, variants []*variant) (int64, error) {
	blobs := map[digest.Digest]int64{target.Digest: target.Size}
	chains := map[digest.Digest]bool{}
	for _, m := range variants {
		maps.Copy(blobs, m.blobs)
		for _, c := range m.chains {
			chains[c] = true
		}
	}
	var sum int64
	for _, n := range blobs {
		sum += n
	}
	unpacked, err := s.unpackedSize(ctx, v, slices.Collect(maps.Keys(chains)))
	return sum + unpacked, err
}

// manifests describes all manifests of an image, for clients that ask.
func (s *Store) manifests(ctx context.Context, v *view, target ocispec.Descriptor, variants []*variant) ([]imagetypes.ManifestSummary, error) {
	containers := []string{}
	for _, h := range s.holdersOf(target.Digest) {
		containers = append(containers, h.ContainerID)
	}
	best := choose(variants, nil)
	list := []imagetypes.ManifestSummary{}
	for _, m := range variants {
		entry := imagetypes.ManifestSummary{
			ID: m.desc.Digest.String(), Descriptor: m.desc, Available: m.available, Kind: imagetypes.ManifestKindUnknown,
		}
		for _, n := range m.blobs {
			entry.Size.Content += n
		}
		entry.Size.Total = entry.Size.Content
		switch {
		case m.subject != "":
			entry.Kind = imagetypes.ManifestKindAttestation
			entry.AttestationData = &imagetypes.AttestationProperties{For: m.subject}
		case m.isImage || m.platform.OS != "" && m.platform.OS != "unknown":
			entry.Kind = imagetypes.ManifestKindImage
			entry.ImageData = &imagetypes.ImageProperties{Platform: m.platform, Containers: []string{}}
			if m == best {
				entry.ImageData.Containers = containers
			}
			n, err := s.unpackedSize(ctx, v, m.chains)
			if err != nil {
				return nil, err
			}
			entry.ImageData.Size.Unpacked = n
			entry.Size.Total += n
		}
		list = append(list, entry)
	}
	return list, nil
}
