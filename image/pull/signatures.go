package pull

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/moby/moby/api/types/registry"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/berth-engine/berth/image/policy"
	"github.com/berth-engine/berth/image/remote"
)

// Signatures are stored by cosign beside an image, as the layers of an image with
// the tag "sha256-HEX.sig".
const (
	signatureType       = "application/vnd.dev.cosign.simplesigning.v1+json"
	signatureAnnotation = "dev.cosignproject.cosign/signature"
	maxSignatures       = 128
	maxStatement        = 128 << 10 // bytes
)

// Admit asks a policy whether the image with that digest may come by the name
// ref, whose tag or digest is what the user asked for. It fetches signatures if the
// policy demands some, and stores nothing.
func (p *Puller) Admit(ctx context.Context, rules *policy.Policy, ref reference.Named, target digest.Digest, r remote.Registries, auth *registry.AuthConfig) error {
	return rules.Admit(ctx, ref, target, func(ctx context.Context) ([]policy.Signature, error) {
		tagged, err := reference.WithTag(reference.TrimNamed(ref), target.Algorithm().String()+"-"+target.Encoded()+".sig")
		if err != nil {
			return nil, err
		}
		repo, err := p.client.Open(ctx, r, tagged, auth)
		if err != nil {
			return nil, err
		}
		desc, err := repo.Resolve(ctx)
		if errdefs.IsNotFound(err) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		fetcher, err := repo.Fetcher(ctx)
		if err != nil {
			return nil, err
		}
		return readSignatures(ctx, fetcher, desc)
	})
}

func readSignatures(ctx context.Context, f remotes.Fetcher, desc ocispec.Descriptor) ([]policy.Signature, error) {
	if !images.IsManifestType(desc.MediaType) {
		return nil, nil
	}
	data, err := readBlob(ctx, f, desc, maxManifest)
	if err != nil {
		return nil, err
	}
	var m ocispec.Manifest
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, fmt.Errorf("%s: %w: %w", desc.Digest, err, errdefs.ErrInvalidArgument)
	}
	if len(m.Layers) > maxSignatures {
		return nil, fmt.Errorf("%d signatures, more than %d: %w", len(m.Layers), maxSignatures, errdefs.ErrInvalidArgument)
	}
	var list []policy.Signature
	for _, l := range m.Layers {
		if l.MediaType != signatureType || l.Annotations[signatureAnnotation] == "" {
			continue
		}
		l.URLs = nil
		payload, err := readBlob(ctx, f, l, maxStatement)
		if err != nil {
			return nil, err
		}
		list = append(list, policy.Signature{Payload: payload, Base64: l.Annotations[signatureAnnotation]})
	}
	return list, nil
}

// readBlob fetches a blob of at most limit bytes and verifies its digest.
func readBlob(ctx context.Context, f remotes.Fetcher, desc ocispec.Descriptor, limit int64) ([]byte, error) {
	if err := desc.Digest.Validate(); err != nil || desc.Size <= 0 || desc.Size > limit {
		return nil, fmt.Errorf("%s with %d bytes is not acceptable (limit %d): %w", desc.Digest, desc.Size, limit, errdefs.ErrInvalidArgument)
	}
	body, err := f.Fetch(ctx, desc)
	if err != nil {
		return nil, remote.BlobError(desc, err)
	}
	defer body.Close()
	data, err := io.ReadAll(io.LimitReader(body, desc.Size+1))
	if err != nil {
		return nil, remote.BlobError(desc, err)
	}
	if desc.Digest.Algorithm().FromBytes(data) != desc.Digest {
		return nil, fmt.Errorf("%s: the registry sent something else: %w", desc.Digest, errdefs.ErrInvalidArgument)
	}
	return data, nil
}
