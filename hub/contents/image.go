package contents

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/berth-engine/berth/oci"
	"github.com/containerd/errdefs"
	"github.com/distribution/distribution/v3"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// What a registry may be sent as a manifest, and what a configuration may
// reasonably be.
const (
	maxManifest = 4 << 20
	maxConfig   = 8 << 20
	maxLayers   = 512
	maxVariants = 256
)

// Docker's names for what the image-spec names anew.
const (
	dockerList = "application/vnd.docker.distribution.manifest.list.v2+json"
)

// Variant is an image's form for one platform.
type Variant struct {
	Digest   digest.Digest // of the manifest
	Platform ocispec.Platform
	Size     int64 // bytes of its layers as they are stored
	Layers   int
}

// Layer is one layer of an image, lowest first.
type Layer struct {
	Digest    digest.Digest
	MediaType string
	Size      int64 // bytes as it is stored
}

// Image is a variant with what its manifest and configuration say. Artifacts
// that are no images have no steps and an empty configuration.
type Image struct {
	Variant
	ArtifactType string // "" for images
	Created      time.Time
	Author       string
	Config       ocispec.ImageConfig
	Annotations  map[string]string
	Layers       []Layer
	Steps        []Step
}

// Variants tells for which platforms there is an image at a digest, in the
// order of its index. What is only attested of another manifest is left out.
func (r *Reader) Variants(ctx context.Context, repo string, d digest.Digest) ([]Variant, error) {
	repository, err := r.repository(ctx, repo)
	if err != nil {
		return nil, err
	}
	mediaType, data, err := r.manifest(ctx, repository, d)
	if err != nil {
		return nil, err
	}
	if !isIndex(mediaType) {
		image, err := r.describe(ctx, repository, d, data)
		return []Variant{image.Variant}, err
	}
	var index ocispec.Index
	if err := json.Unmarshal(data, &index); err != nil {
		return nil, fmt.Errorf("index %s: %w", d, errdefs.ErrInvalidArgument.WithMessage(err.Error()))
	}
	var variants []Variant
	for _, m := range index.Manifests {
		if len(variants) == maxVariants {
			break
		}
		if m.Annotations[oci.AnnotationReferenceType] != "" || isIndex(m.MediaType) {
			continue
		}
		v := Variant{Digest: m.Digest}
		// A manifest that the index names and the repository does not have (yet)
		// is still named.
		if _, data, err := r.manifest(ctx, repository, m.Digest); err == nil {
			if m.Platform == nil {
				if image, err := r.describe(ctx, repository, m.Digest, data); err == nil {
					v = image.Variant
				}
			} else if parsed, err := parseManifest(m.Digest, data); err == nil {
				v.Size, v.Layers = weigh(parsed), len(parsed.Layers)
			}
		}
		if m.Platform != nil {
			v.Platform = *m.Platform
		}
		variants = append(variants, v)
	}
	return variants, nil
}

// Image reads the manifest of one variant, and its configuration.
func (r *Reader) Image(ctx context.Context, repo string, d digest.Digest) (Image, error) {
	repository, err := r.repository(ctx, repo)
	if err != nil {
		return Image{}, err
	}
	mediaType, data, err := r.manifest(ctx, repository, d)
	if err != nil {
		return Image{}, err
	}
	if isIndex(mediaType) {
		return Image{}, fmt.Errorf("%s is an index, choose a platform of it: %w", d, errdefs.ErrInvalidArgument)
	}
	return r.describe(ctx, repository, d, data)
}

func (r *Reader) manifest(ctx context.Context, repository distribution.Repository, d digest.Digest) (string, []byte, error) {
	if err := d.Validate(); err != nil {
		return "", nil, fmt.Errorf("digest %q: %w", d, errdefs.ErrInvalidArgument.WithMessage(err.Error()))
	}
	service, err := repository.Manifests(ctx)
	if err != nil {
		return "", nil, fmt.Errorf("manifests of %s: %w", repository.Named(), err)
	}
	m, err := service.Get(ctx, d)
	if err != nil {
		return "", nil, missing(d, err)
	}
	mediaType, data, err := m.Payload()
	if err != nil {
		return "", nil, fmt.Errorf("manifest %s: %w", d, err)
	}
	if len(data) > maxManifest {
		return "", nil, fmt.Errorf("manifest %s is larger than %d bytes: %w", d, maxManifest, errdefs.ErrResourceExhausted)
	}
	return mediaType, data, nil
}

func parseManifest(d digest.Digest, data []byte) (ocispec.Manifest, error) {
	var m ocispec.Manifest
	if err := json.Unmarshal(data, &m); err != nil {
		return m, fmt.Errorf("manifest %s: %w", d, errdefs.ErrInvalidArgument.WithMessage(err.Error()))
	}
	if len(m.Layers) > maxLayers {
		return m, fmt.Errorf("manifest %s has more than %d layers: %w", d, maxLayers, errdefs.ErrResourceExhausted)
	}
	return m, nil
}

func (r *Reader) describe(ctx context.Context, repository distribution.Repository, d digest.Digest, data []byte) (Image, error) {
	m, err := parseManifest(d, data)
	if err != nil {
		return Image{}, err
	}
	image := Image{
		Variant:      Variant{Digest: d, Size: weigh(m), Layers: len(m.Layers)},
		ArtifactType: m.ArtifactType, Annotations: m.Annotations,
	}
	for _, l := range m.Layers {
		image.Layers = append(image.Layers, Layer{Digest: l.Digest, MediaType: l.MediaType, Size: l.Size})
	}
	if !isConfig(m.Config.MediaType) {
		if image.ArtifactType == "" {
			image.ArtifactType = m.Config.MediaType
		}
		return image, nil
	}
	raw, err := r.blob(ctx, repository, m.Config.Digest, maxConfig)
	if err != nil {
		return Image{}, fmt.Errorf("configuration of %s: %w", d, err)
	}
	var config ocispec.Image
	if err := json.Unmarshal(raw, &config); err != nil {
		return Image{}, fmt.Errorf("configuration of %s: %w", d, errdefs.ErrInvalidArgument.WithMessage(err.Error()))
	}
	image.Platform, image.Config, image.Author = config.Platform, config.Config, config.Author
	if config.Created != nil {
		image.Created = *config.Created
	}
	image.Steps = steps(config.History, image.Layers)
	return image, nil
}

func weigh(m ocispec.Manifest) (size int64) {
	for _, l := range m.Layers {
		size += max(l.Size, 0)
	}
	return size
}

func isIndex(mediaType string) bool {
	return mediaType == ocispec.MediaTypeImageIndex || mediaType == dockerList
}

func isConfig(mediaType string) bool {
	return mediaType == ocispec.MediaTypeImageConfig || mediaType == "application/vnd.docker.container.image.v1+json"
}
