package image

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/berth-engine/berth/fault"
	"github.com/berth-engine/berth/image/pull"
	"github.com/berth-engine/berth/oci"
)

// CommitOptions describe an image that is made of one more layer on another.
type CommitOptions struct {
	Base *Image // what the layer is on; nil, or without layers: nothing
	// Layer writes the layer's tar and tells how many entries it has; 0 makes an
	// image without it. Nil: no layer.
	Layer     func(ctx context.Context, w io.Writer) (entries int, err error)
	Config    dockerspec.DockerOCIImageConfig
	Name      string // familiar or full, a tag or none; "": the image gets no name
	Author    string
	Comment   string
	CreatedBy string    // for the history
	Created   time.Time // zero: now
	Platform  *ocispec.Platform
}

// Commit makes an image and, if wanted, names it. As with Pull, there is either
// the whole image afterwards or nothing of it. It is unpacked already: a
// container can be made of it at once. Of Base, the layers' blobs must still be
// there, otherwise the error is errdefs.NotFound.
func (s *Store) Commit(ctx context.Context, o CommitOptions) (_ digest.Digest, err error) {
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
	lease, err := s.db.WorkLease(ctx, "commit")
	if err != nil {
		return "", fmt.Errorf("make an image: %w", err)
	}
	defer func() {
		if err != nil {
			s.abandon(context.WithoutCancel(ctx), err, []leases.Lease{lease})
		}
	}()
	made, err := s.compose(leases.WithLease(ctx, lease.ID), lease, o)
	if err != nil {
		return "", fmt.Errorf("make an image: %w", err)
	}
	if err := fault.Point("image.commit.composed"); err != nil {
		return "", err
	}
	if err := s.nameNew(ctx, named, made, lease); err != nil {
		return "", fmt.Errorf("make an image: %w", err)
	}
	s.announceMade(ctx, named, made.target)
	s.db.Collect()
	return made.target.Digest, nil
}

// composed is an image whose content is in the store.
type composed struct {
	target  ocispec.Descriptor
	chainID digest.Digest
}

// compose writes the blobs of an image and unpacks its layer. The lease of ctx
// keeps them.
func (s *Store) compose(ctx context.Context, lease leases.Lease, o CommitOptions) (composed, error) {
	config := dockerspec.DockerOCIImage{Config: o.Config}
	config.Platform = platforms.DefaultSpec()
	config.Platform.OSVersion, config.Platform.OSFeatures = "", nil
	config.RootFS = ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{}}
	if o.Platform != nil {
		config.Platform = *o.Platform
	}
	var layers []ocispec.Descriptor
	if o.Base != nil && o.Base.Manifest.Digest != "" {
		base, err := s.holdBase(ctx, lease, o.Base)
		if err != nil {
			return composed{}, err
		}
		layers = slices.Clone(base.manifest.Layers)
		config.Platform, config.RootFS.DiffIDs = base.config.Platform, slices.Clone(base.config.RootFS.DiffIDs)
		config.History = slices.Clone(base.config.History)
	}
	layer, diffID, err := s.writeLayer(ctx, o.Layer)
	if err != nil {
		return composed{}, err
	}
	if layer.Digest != "" {
		layers = append(layers, layer)
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, diffID)
	}
	if len(layers) > pull.MaxLayers {
		return composed{}, fmt.Errorf("max depth exceeded: an image can have %d layers: %w", pull.MaxLayers, errdefs.ErrInvalidArgument)
	}
	created := o.Created
	if created.IsZero() {
		created = time.Now()
	}
	created = created.UTC()
	config.Created, config.Author = &created, o.Author
	config.History = append(config.History, ocispec.History{
		Created: &created, CreatedBy: o.CreatedBy, Author: o.Author, Comment: o.Comment, EmptyLayer: layer.Digest == "",
	})
	target, err := s.writeManifest(ctx, config, layers)
	if err != nil {
		return composed{}, err
	}
	if err := s.puller.Unpack(ctx, target); err != nil {
		return composed{}, err
	}
	return composed{target, identity.ChainID(slices.Clone(config.RootFS.DiffIDs))}, nil
}

// holdBase makes sure that the blobs of an image are there and stay.
func (s *Store) holdBase(ctx context.Context, lease leases.Lease, base *Image) (*variant, error) {
	err := s.db.Leases.AddResource(ctx, lease, leases.Resource{ID: base.Manifest.Digest.String(), Type: "content"})
	if err != nil {
		return nil, err
	}
	v, err := s.readVariant(ctx, base.Manifest)
	if err != nil {
		return nil, err
	}
	if !v.isImage || !v.available {
		return nil, fmt.Errorf("the image %s that it is based on was removed: %w", oci.ShortID(base.ID), errdefs.ErrNotFound)
	}
	return v, nil
}

// writeManifest writes config and manifest, labelled so that whoever keeps the
// manifest keeps all of it.
func (s *Store) writeManifest(ctx context.Context, config dockerspec.DockerOCIImage, layers []ocispec.Descriptor) (ocispec.Descriptor, error) {
	data, err := json.Marshal(config)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	configBlob := oci.NewBlob(ocispec.MediaTypeImageConfig, data)
	if err := s.writeBlob(ctx, configBlob, nil); err != nil {
		return ocispec.Descriptor{}, err
	}
	manifest := ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: configBlob.Descriptor, Layers: []ocispec.Descriptor{},
	}
	labels := map[string]string{"containerd.io/gc.ref.content.config": configBlob.Descriptor.Digest.String()}
	for i, l := range layers {
		manifest.Layers = append(manifest.Layers, ocispec.Descriptor{MediaType: layerType(l.MediaType), Digest: l.Digest, Size: l.Size})
		labels["containerd.io/gc.ref.content.l."+strconv.Itoa(i)] = l.Digest.String()
	}
	if data, err = json.Marshal(manifest); err != nil {
		return ocispec.Descriptor{}, err
	}
	blob := oci.NewBlob(ocispec.MediaTypeImageManifest, data)
	return blob.Descriptor, s.writeBlob(ctx, blob, labels)
}

// layerType is Docker's type of a layer in the words of the image-spec: an OCI
// manifest should not mix both.
func layerType(t string) string {
	switch t {
	case images.MediaTypeDockerSchema2LayerGzip:
		return ocispec.MediaTypeImageLayerGzip
	case images.MediaTypeDockerSchema2Layer:
		return ocispec.MediaTypeImageLayer
	case images.MediaTypeDockerSchema2LayerZstd:
		return ocispec.MediaTypeImageLayerZstd
	}
	return t
}

func (s *Store) writeBlob(ctx context.Context, b oci.Blob, labels map[string]string) error {
	ref := "commit-" + b.Descriptor.Digest.String()
	return content.WriteBlob(ctx, s.db.Content, ref, bytes.NewReader(b.Data), b.Descriptor, content.WithLabels(labels))
}

// nameNew records a new image, under its name or as one without, keeps its file
// system for containers, and ends the lease, all in one transaction.
func (s *Store) nameNew(ctx context.Context, named reference.Named, made composed, lease leases.Lease) error {
	s.write.Lock()
	defer s.write.Unlock()
	defer s.changed()
	return s.db.Update(ctx, func(ctx context.Context) error {
		if named != nil {
			if _, err := s.setName(ctx, named.String(), made.target); err != nil {
				return err
			}
		} else if err := s.keepUnnamed(ctx, made.target); err != nil {
			return err
		}
		if err := s.lease(ctx, made.chainID); err != nil {
			return err
		}
		return s.db.Leases.Delete(ctx, lease)
	})
}
