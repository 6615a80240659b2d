package build

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/exporter"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/worker/base"
	"github.com/opencontainers/go-digest"

	"github.com/berth-engine/berth/image"
)

// exporterMoby is what clients of Docker call the exporter to the engine's own
// images.
const exporterMoby = "moby"

// moby is BuildKit's worker with that exporter besides, and bounds on clones.
type moby struct {
	*base.Worker
	clones   cloning // zero: there is no git
	complete func(context.Context, digest.Digest) error
}

func (b *moby) Exporter(name string, sm *session.Manager) (exporter.Exporter, error) {
	of := name
	if name == exporterMoby {
		of = client.ExporterImage
	}
	e, err := b.Worker.Exporter(of, sm)
	if err != nil || of != client.ExporterImage {
		return e, err
	}
	return toStore{e, name == exporterMoby, b.complete}, nil
}

// toStore is an exporter of images to the engine's own.
type toStore struct {
	exporter.Exporter
	keep     bool // those without a name, as images without one
	complete func(context.Context, digest.Digest) error
}

func (s toStore) Resolve(ctx context.Context, id int, attrs map[string]string) (exporter.ExporterInstance, error) {
	attrs = maps.Clone(attrs)
	if attrs == nil {
		attrs = map[string]string{}
	}
	if s.keep && attrs["name"] == "" {
		delete(attrs, "name")
		attrs["dangling-name-prefix"] = image.DanglingPrefix
	}
	instance, err := s.Exporter.Resolve(ctx, id, attrs)
	if err != nil {
		return nil, err
	}
	return storing{instance, s.complete}, nil
}

type storing struct {
	exporter.ExporterInstance
	complete func(context.Context, digest.Digest) error
}

// Export names the image, and only then fetches what it has from a registry and no
// step has needed: of a base, or a remote cache.
func (s storing) Export(ctx context.Context, src *exporter.Source, info exporter.ExportBuildInfo) (map[string]string, exporter.FinalizeFunc, exporter.DescriptorReference, error) {
	response, finalize, ref, err := s.ExporterInstance.Export(ctx, src, info)
	if err != nil {
		return response, finalize, ref, err
	}
	if id, parseErr := digest.Parse(response[exptypes.ExporterImageDigestKey]); parseErr == nil {
		if err = s.complete(ctx, id); err != nil && ref != nil {
			err = errors.Join(err, ref.Release())
		}
	}
	if err != nil {
		return nil, nil, nil, fmt.Errorf("image of a build: %w", err)
	}
	return response, finalize, ref, nil
}
