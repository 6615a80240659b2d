package image

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/berth-engine/berth/image/pull"
)

// AssembleOptions describe an image that is made of layers from elsewhere.
type AssembleOptions struct {
	// Config is the image's, with its history; its RootFS is filled in.
	Config dockerspec.DockerOCIImage
	// Layers write the tars of the layers, the lowest first, and tell how many
	// entries they have. Each becomes a layer, also without entries.
	Layers []func(ctx context.Context, w io.Writer) (entries int, err error)
	Name   string // "": the image gets no name
}

// Assemble makes an image of layers. As with Commit, there is either all of it
// afterwards or nothing.
func (s *Store) Assemble(ctx context.Context, o AssembleOptions) (_ digest.Digest, err error) {
	if len(o.Layers) > pull.MaxLayers {
		return "", fmt.Errorf("max depth exceeded: an image can have %d layers: %w", pull.MaxLayers, errdefs.ErrInvalidArgument)
	}
	var named reference.Named
	if o.Name != "" {
		if named, err = tagName(o.Name); err != nil {
			return "", err
		}
	}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return "", errClosed
	}
	s.work.Add(1)
	s.mu.Unlock()
	defer s.work.Done()
	ctx = s.db.Context(ctx)
	lease, err := s.db.WorkLease(ctx, "assemble")
	if err != nil {
		return "", fmt.Errorf("make an image: %w", err)
	}
	defer func() {
		if err != nil {
			s.abandon(context.WithoutCancel(ctx), err, []leases.Lease{lease})
		}
	}()
	leased := leases.WithLease(ctx, lease.ID)
	config := o.Config
	config.RootFS = ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{}}
	var layers []ocispec.Descriptor
	for i, write := range o.Layers {
		layer, diffID, err := s.writeLayer(leased, func(ctx context.Context, w io.Writer) (int, error) {
			n, err := write(ctx, w)
			return max(n, 1), err // kept in any case: the history counts it
		})
		if err != nil {
			return "", fmt.Errorf("make an image: layer %d: %w", i+1, err)
		}
		layers, config.RootFS.DiffIDs = append(layers, layer), append(config.RootFS.DiffIDs, diffID)
	}
	target, err := s.writeManifest(leased, config, layers)
	if err != nil {
		return "", fmt.Errorf("make an image: %w", err)
	}
	if err := s.puller.Unpack(leased, target); err != nil {
		return "", fmt.Errorf("make an image: %w", err)
	}
	made := composed{target, identity.ChainID(slices.Clone(config.RootFS.DiffIDs))}
	if err := s.nameNew(ctx, named, made, lease); err != nil {
		return "", fmt.Errorf("make an image: %w", err)
	}
	s.announceMade(ctx, named, target)
	return target.Digest, nil
}
