package image

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// view is what the store knows about its images at one moment. It is filled on
// demand and thrown away at every change.
type view struct {
	records []images.Image
	byName  map[string]images.Image

	mu       sync.Mutex
	targets  map[digest.Digest][]*variant
	resolved map[string]*Image
	sizes    map[digest.Digest]int64 // of unpacked layers, by chain
}

// variant is one manifest of an image.
type variant struct {
	desc      ocispec.Descriptor
	platform  ocispec.Platform
	subject   digest.Digest // of an attestation: the manifest it is about
	manifest  ocispec.Manifest
	config    dockerspec.DockerOCIImage
	isImage   bool // manifest and config are here and describe an image
	available bool // so are all layers
	chains    []digest.Digest
	blobs     map[digest.Digest]int64 // bytes that what is here takes
}

func (v *variant) chainID() digest.Digest {
	if len(v.chains) == 0 {
		return ""
	}
	return v.chains[len(v.chains)-1]
}

// Bounds on what is read from the store into memory; larger blobs of these
// kinds are not fetched, but a build might make them.
const (
	maxManifest = 4 << 20
	maxConfig   = 16 << 20
	maxDepth    = 4
)

func (s *Store) view(ctx context.Context) (*view, error) {
	s.viewMu.Lock()
	defer s.viewMu.Unlock()
	if s.cached != nil {
		return s.cached, nil
	}
	records, err := s.db.Images.List(s.db.Context(ctx))
	if err != nil {
		return nil, err
	}
	v := &view{
		records: records, byName: make(map[string]images.Image, len(records)),
		targets: map[digest.Digest][]*variant{}, resolved: map[string]*Image{}, sizes: map[digest.Digest]int64{},
	}
	for _, r := range records {
		v.byName[r.Name] = r
	}
	s.cached = v
	return v, nil
}

// changed makes later calls see what was written before.
func (s *Store) changed() {
	s.viewMu.Lock()
	defer s.viewMu.Unlock()
	s.cached = nil
	s.compactor.wake()
}

// variants lists the manifests of an image, also those that are not here.
func (s *Store) variants(ctx context.Context, v *view, target ocispec.Descriptor) ([]*variant, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if list, ok := v.targets[target.Digest]; ok {
		return list, nil
	}
	list, err := s.readVariants(s.db.Context(ctx), target, 0)
	if err != nil {
		return nil, fmt.Errorf("read image %s: %w", target.Digest, err)
	}
	v.targets[target.Digest] = list
	return list, nil
}

func (s *Store) readVariants(ctx context.Context, desc ocispec.Descriptor, depth int) ([]*variant, error) {
	if !images.IsIndexType(desc.MediaType) {
		v, err := s.readVariant(ctx, desc)
		if err != nil {
			return nil, err
		}
		return []*variant{v}, nil
	}
	if depth == maxDepth {
		return nil, nil
	}
	var index ocispec.Index
	if err := s.readJSON(ctx, desc, maxManifest, &index); err != nil {
		if errdefs.IsNotFound(err) {
			return nil, nil
		}
		return nil, err
	}
	var list []*variant
	for _, m := range index.Manifests {
		more, err := s.readVariants(ctx, m, depth+1)
		if err != nil {
			return nil, err
		}
		list = append(list, more...)
	}
	return list, nil
}

func (s *Store) readVariant(ctx context.Context, desc ocispec.Descriptor) (*variant, error) {
	v := &variant{desc: desc, blobs: map[digest.Digest]int64{}}
	if desc.Platform != nil {
		v.platform = platforms.Normalize(*desc.Platform)
	}
	if desc.Annotations["vnd.docker.reference.type"] == "attestation-manifest" {
		v.subject = digest.Digest(desc.Annotations["vnd.docker.reference.digest"])
	}
	if !images.IsManifestType(desc.MediaType) {
		return v, nil
	}
	if err := s.readJSON(ctx, desc, maxManifest, &v.manifest); err != nil {
		if errdefs.IsNotFound(err) {
			return v, nil
		}
		return nil, err
	}
	v.blobs[desc.Digest] = desc.Size
	v.available = true
	for _, b := range append([]ocispec.Descriptor{v.manifest.Config}, v.manifest.Layers...) {
		info, err := s.db.Content.Info(ctx, b.Digest)
		switch {
		case err == nil:
			v.blobs[b.Digest] = s.db.Stored(b.Digest, info.Size)
		case errdefs.IsNotFound(err):
			v.available = false
		default:
			return nil, err
		}
	}
	if v.subject != "" || !images.IsConfigType(v.manifest.Config.MediaType) || v.blobs[v.manifest.Config.Digest] == 0 {
		return v, nil
	}
	if err := s.readJSON(ctx, v.manifest.Config, maxConfig, &v.config); err != nil {
		return nil, err
	}
	v.isImage = true
	if desc.Platform == nil {
		v.platform = platforms.Normalize(v.config.Platform)
		v.platform.OSVersion, v.platform.OSFeatures = v.config.OSVersion, v.config.OSFeatures
	}
	v.chains = identity.ChainIDs(append([]digest.Digest(nil), v.config.RootFS.DiffIDs...))
	return v, nil
}

// readJSON decodes a blob of at most limit bytes.
func (s *Store) readJSON(ctx context.Context, desc ocispec.Descriptor, limit int64, into any) error {
	info, err := s.db.Content.Info(ctx, desc.Digest)
	if err != nil {
		return err
	}
	if info.Size > limit {
		return fmt.Errorf("blob %s has %d bytes, more than the limit of %d: %w", desc.Digest, info.Size, limit, errdefs.ErrInvalidArgument)
	}
	data, err := content.ReadBlob(ctx, s.db.Content, ocispec.Descriptor{Digest: desc.Digest, Size: info.Size})
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("blob %s: %w", desc.Digest, err)
	}
	return nil
}

// unpackedSize sums the sizes of a variant's layers on disk.
func (s *Store) unpackedSize(ctx context.Context, v *view, chains []digest.Digest) (int64, error) {
	var sum int64
	for _, c := range chains {
		n, err := s.layerSize(ctx, v, c)
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}

// layerSize is the size of one unpacked layer, 0 if it is not unpacked.
func (s *Store) layerSize(ctx context.Context, v *view, chain digest.Digest) (int64, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if n, ok := v.sizes[chain]; ok {
		return n, nil
	}
	usage, err := s.db.Snapshots.Usage(s.db.Context(ctx), chain.String())
	if err != nil && !errdefs.IsNotFound(err) {
		return 0, err
	}
	v.sizes[chain] = usage.Size
	return usage.Size, nil
}

// DanglingPrefix starts the name of the record that keeps an image which lost
// its last name.
const DanglingPrefix = "berth-dangling"

func danglingName(d digest.Digest) string { return DanglingPrefix + "@" + d.String() }

func isDangling(r images.Image) bool { return strings.HasPrefix(r.Name, DanglingPrefix+"@") }

// sharing returns the records with the target of r.
func (v *view) sharing(target digest.Digest) []images.Image {
	var list []images.Image
	for _, r := range v.records {
		if r.Target.Digest == target {
			list = append(list, r)
		}
	}
	return list
}
