package image

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/containerd/containerd/v2/core/content"
	imagetypes "github.com/moby/moby/api/types/image"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Labels of in-toto statements in images, as BuildKit writes them
// (https://docs.docker.com/build/metadata/attestations/attestation-storage/).
const (
	predicateAnnotation = "in-toto.io/predicate-type"
	maxStatement        = 16 << 20
)

// AttestationOptions configures Attestations.
type AttestationOptions struct {
	Platform  *ocispec.Platform // nil: the host's
	Types     []string          // predicate types; none: all
	Statement bool              // with the statements themselves
}

// Attestations lists the statements that an image's index holds about the image
// for one platform. Those that are not here, which a pull leaves at the registry,
// are not listed. NotFound for an unknown image or platform.
func (s *Store) Attestations(ctx context.Context, ref string, o AttestationOptions) ([]imagetypes.AttestationStatement, error) {
	v, err := s.view(ctx)
	if err != nil {
		return nil, err
	}
	record, _, err := v.find(ref)
	if err != nil {
		return nil, err
	}
	list, err := s.variants(ctx, v, record.Target)
	if err != nil {
		return nil, err
	}
	about := choose(list, o.Platform)
	if about == nil {
		return nil, platformNotFound(ref, o.Platform)
	}
	answer := []imagetypes.AttestationStatement{}
	for _, m := range list {
		if m.subject != about.desc.Digest {
			continue
		}
		for _, l := range m.manifest.Layers {
			predicate := l.Annotations[predicateAnnotation]
			if len(o.Types) > 0 && !slices.Contains(o.Types, predicate) || m.blobs[l.Digest] == 0 {
				continue
			}
			statement := imagetypes.AttestationStatement{Descriptor: l, PredicateType: predicate}
			if o.Statement {
				if statement.Statement, err = s.statement(ctx, l); err != nil {
					return nil, err
				}
			}
			answer = append(answer, statement)
		}
	}
	return answer, nil
}

func (s *Store) statement(ctx context.Context, desc ocispec.Descriptor) (*json.RawMessage, error) {
	if desc.Size > maxStatement {
		return nil, fmt.Errorf("attestation %s has %d bytes, more than %d", desc.Digest, desc.Size, maxStatement)
	}
	data, err := content.ReadBlob(s.db.Context(ctx), s.db.Content, desc)
	if err != nil {
		return nil, err
	}
	if !json.Valid(data) {
		return nil, fmt.Errorf("attestation %s is no JSON", desc.Digest)
	}
	raw := json.RawMessage(data)
	return &raw, nil
}
