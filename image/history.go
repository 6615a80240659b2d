package image

import (
	"context"
	"slices"

	"github.com/containerd/containerd/v2/core/images"
	imagetypes "github.com/moby/moby/api/types/image"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// History lists the steps an image was built in, newest first. Sizes are those
// of the unpacked layers; a history that does not fit the layers gives them to
// its steps in order as far as they go.
func (s *Store) History(ctx context.Context, ref string, p *ocispec.Platform) ([]imagetypes.HistoryResponseItem, error) {
	v, err := s.view(ctx)
	if err != nil {
		return nil, err
	}
	record, _, err := v.find(ref)
	if err != nil {
		return nil, err
	}
	variants, err := s.variants(ctx, v, record.Target)
	if err != nil {
		return nil, err
	}
	best := choose(variants, p)
	if best == nil {
		return nil, platformNotFound(ref, p)
	}
	list := []imagetypes.HistoryResponseItem{}
	layer := 0
	for _, h := range best.config.History {
		item := imagetypes.HistoryResponseItem{ID: "<missing>", Comment: h.Comment, CreatedBy: h.CreatedBy}
		if h.Created != nil {
			item.Created = h.Created.Unix()
		}
		if !h.EmptyLayer && layer < len(best.chains) {
			if item.Size, err = s.layerSize(ctx, v, best.chains[layer]); err != nil {
				return nil, err
			}
			layer++
		}
		list = append(list, item)
	}
	slices.Reverse(list)
	if len(list) > 0 {
		list[0].ID = record.Target.Digest.String()
		list[0].Tags = tags(v.sharing(record.Target.Digest))
	}
	return list, nil
}

func tags(records []images.Image) []string {
	list, _ := names(records)
	if len(list) == 0 {
		return nil
	}
	return list
}
