package image

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/moby/moby/api/types/registry"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/berth-engine/berth/image/remote"
	"github.com/berth-engine/berth/oci"
)

// InspectRemote asks a registry what a name stands for and for which platforms,
// without fetching the image. Errors are those of Pull.
func (s *Store) InspectRemote(ctx context.Context, ref string, auth *registry.AuthConfig) (registry.DistributionInspect, error) {
	var answer registry.DistributionInspect
	named, err := oci.ParseName(ref)
	if err != nil {
		return answer, err
	}
	repo, err := s.client.Open(ctx, s.Registries(), named, auth)
	if err != nil {
		return answer, err
	}
	if answer.Descriptor, err = repo.Resolve(ctx); err != nil {
		return answer, err
	}
	fetcher, err := repo.Fetcher(ctx)
	if err != nil {
		return answer, err
	}
	answer.Platforms, err = remotePlatforms(ctx, fetcher, answer.Descriptor)
	return answer, err
}

func remotePlatforms(ctx context.Context, f remotes.Fetcher, desc ocispec.Descriptor) ([]ocispec.Platform, error) {
	list := []ocispec.Platform{}
	if images.IsIndexType(desc.MediaType) {
		var index ocispec.Index
		if err := fetchJSON(ctx, f, desc, maxManifest, &index); err != nil {
			return nil, err
		}
		for _, m := range index.Manifests {
			if m.Platform != nil {
				list = append(list, *m.Platform)
			}
		}
		return list, nil
	}
	var manifest ocispec.Manifest
	if err := fetchJSON(ctx, f, desc, maxManifest, &manifest); err != nil {
		return nil, err
	}
	if !images.IsConfigType(manifest.Config.MediaType) {
		return list, nil
	}
	var config ocispec.Image
	if err := fetchJSON(ctx, f, manifest.Config, maxConfig, &config); err != nil {
		return nil, err
	}
	if config.OS != "" || config.Architecture != "" {
		list = append(list, platforms.Normalize(config.Platform))
	}
	return list, nil
}

// fetchJSON decodes a blob of at most limit bytes, and verifies its digest.
func fetchJSON(ctx context.Context, f remotes.Fetcher, desc ocispec.Descriptor, limit int64, into any) error {
	if desc.Size <= 0 || desc.Size > limit {
		return fmt.Errorf("%s has a size of %d bytes, which is not acceptable (limit %d): %w", desc.Digest, desc.Size, limit, errdefs.ErrInvalidArgument)
	}
	if err := desc.Digest.Validate(); err != nil {
		return fmt.Errorf("digest %q: %w: %w", desc.Digest, err, errdefs.ErrInvalidArgument)
	}
	body, err := f.Fetch(ctx, desc)
	if err != nil {
		return remote.BlobError(desc, err)
	}
	defer body.Close()
	data, err := io.ReadAll(io.LimitReader(body, desc.Size+1))
	if err != nil {
		return remote.BlobError(desc, err)
	}
	if desc.Digest.Algorithm().FromBytes(data) != desc.Digest {
		return fmt.Errorf("%s: the registry sent something else: %w", desc.Digest, errdefs.ErrInvalidArgument)
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("%s: %w: %w", desc.Digest, err, errdefs.ErrInvalidArgument)
	}
	return nil
}

// Search looks for repositories at a registry that has a search; see
// remote.Client.Search.
func (s *Store) Search(ctx context.Context, term string, limit int, auth *registry.AuthConfig) ([]registry.SearchResult, error) {
	return s.client.Search(ctx, s.Registries(), term, limit, auth)
}

// PullAll pulls every tag of a repository, one after the other. Errors are those
// of Pull; tags before the one that failed stay.
func (s *Store) PullAll(ctx context.Context, repository string, o PullOptions) error {
	named, err := oci.ParseRepository(repository)
	if err != nil {
		return err
	}
	repo, err := s.client.Open(ctx, s.Registries(), named, o.Auth)
	if err != nil {
		return err
	}
	tags, err := repo.Tags(ctx)
	if err != nil {
		return err
	}
	for _, tag := range tags {
		if err := s.Pull(ctx, named.Name()+":"+tag, o); err != nil {
			return err
		}
	}
	return nil
}
