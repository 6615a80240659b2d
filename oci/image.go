package oci

import (
	"encoding/json"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Image is everything a registry needs to hold an image: the blobs, then the
// manifests, of which the last is the one a tag points to.
type Image struct {
	Blobs     []Blob
	Manifests []Blob
}

// Root is the manifest or index that a tag names.
func (i Image) Root() Blob { return i.Manifests[len(i.Manifests)-1] }

// NewImage makes an image for one platform of layers, lowest first. created
// says in words how, for the history.
func NewImage(p ocispec.Platform, c ocispec.ImageConfig, created string, layers ...Layer) (Image, error) {
	epoch := time.Unix(0, 0).UTC()
	config := ocispec.Image{
		Created: &epoch, Platform: p, Config: c,
		RootFS: ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{}},
	}
	m := ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Layers: []ocispec.Descriptor{},
	}
	var image Image
	for _, l := range layers {
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, l.DiffID)
		config.History = append(config.History, ocispec.History{Created: &epoch, CreatedBy: created})
		m.Layers = append(m.Layers, l.Descriptor)
		image.Blobs = append(image.Blobs, l.Blob)
	}
	data, err := json.Marshal(config)
	if err != nil {
		return Image{}, err
	}
	blob := NewBlob(ocispec.MediaTypeImageConfig, data)
	image.Blobs = append(image.Blobs, blob)
	m.Config = blob.Descriptor
	if data, err = json.Marshal(m); err != nil {
		return Image{}, err
	}
	root := NewBlob(ocispec.MediaTypeImageManifest, data)
	root.Descriptor.Platform = &p
	image.Manifests = []Blob{root}
	return image, nil
}

// NewIndex joins images of several platforms into one.
func NewIndex(images ...Image) (Image, error) {
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex}
	var all Image
	for _, i := range images {
		all.Blobs = append(all.Blobs, i.Blobs...)
		all.Manifests = append(all.Manifests, i.Manifests...)
		index.Manifests = append(index.Manifests, i.Root().Descriptor)
	}
	data, err := json.Marshal(index)
	if err != nil {
		return Image{}, err
	}
	all.Manifests = append(all.Manifests, NewBlob(ocispec.MediaTypeImageIndex, data))
	return all, nil
}
