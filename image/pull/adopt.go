package pull

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/berth-engine/berth/image/progress"
	"github.com/berth-engine/berth/oci"
)

// Adopt checks an image whose blobs are in the store already as if it were
// pulled, and unpacks it if it is for this host. An index may lack some of its
// manifests, as long as one is there whole; with some platforms named it is to
// keep only those for them. The context is as for Fetch.
func (p *Puller) Adopt(ctx context.Context, target ocispec.Descriptor, only []ocispec.Platform, out *progress.Stream) (Result, error) {
	a := adoption{p: p, only: only, out: out}
	if err := a.walk(ctx, target, 0); err != nil {
		return Result{}, err
	}
	if a.whole == 0 {
		return Result{}, fmt.Errorf("image %s: its content is not here: %w", target.Digest, errdefs.ErrNotFound)
	}
	return Result{Target: target, Manifest: a.best, ChainID: a.chain}, nil
}

// adoption is one call of Adopt.
type adoption struct {
	p     *Puller
	only  []ocispec.Platform // none: all
	out   *progress.Stream
	whole int // images that are there with all layers
	best  ocispec.Descriptor
	plat  ocispec.Platform
	chain digest.Digest
}

func (a *adoption) walk(ctx context.Context, desc ocispec.Descriptor, depth int) error {
	if err := check(desc); err != nil {
		return err
	}
	if depth > maxDepth {
		return fmt.Errorf("index %s: indexes are nested more than %d deep: %w", desc.Digest, maxDepth, errdefs.ErrInvalidArgument)
	}
	info, err := a.p.db.Content.Info(ctx, desc.Digest)
	if errdefs.IsNotFound(err) && depth > 0 {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Size != desc.Size {
		return fmt.Errorf("%s has %d bytes, not %d: %w", desc.Digest, info.Size, desc.Size, errdefs.ErrInvalidArgument)
	}
	if !images.IsIndexType(desc.MediaType) {
		return a.image(ctx, desc, depth)
	}
	children, err := images.Children(ctx, a.p.db.Content, desc)
	if err != nil {
		return fmt.Errorf("index %s: %w: %w", desc.Digest, err, errdefs.ErrInvalidArgument)
	}
	children = oci.ForPlatforms(children, a.only)
	if err := (&job{content: a.p.db.Content}).label(ctx, desc, children); err != nil {
		return err
	}
	for _, c := range children {
		if err := a.walk(ctx, c, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// image adopts one manifest. Below an index one that is not whole may stay away,
// and one that is no image, as an attestation, is only kept.
func (a *adoption) image(ctx context.Context, desc ocispec.Descriptor, depth int) error {
	m, err := a.manifest(ctx, desc)
	if err != nil {
		return err
	}
	if depth > 0 && (!images.IsConfigType(m.Config.MediaType) || desc.Annotations[oci.AnnotationReferenceType] != "") {
		children := append([]ocispec.Descriptor{m.Config}, m.Layers...)
		return (&job{content: a.p.db.Content}).label(ctx, desc, children)
	}
	j := &job{
		content: a.p.db.Content, snapshots: a.p.db.Snapshots, fetcher: nothing{}, progress: a.out, words: loading,
		depth: map[digest.Digest]int{}, layers: map[digest.Digest]*layer{},
	}
	platform, err := a.platform(ctx, m)
	if err == nil && Matcher(nil).Match(platform) {
		err = a.p.dispatch(ctx, j, desc)
	} else if err == nil {
		err = images.Dispatch(ctx, j, nil, desc)
	}
	if errors.Is(err, errNotHere) || errdefs.IsNotFound(err) {
		if depth > 0 {
			return nil
		}
		return fmt.Errorf("image %s: a part of its content is not here: %w", desc.Digest, errdefs.ErrNotFound)
	}
	if err != nil && strings.Contains(err.Error(), "wrong diff id") { // it has no kind
		return fmt.Errorf("image %s: %w: %w", desc.Digest, err, errdefs.ErrInvalidArgument)
	}
	if err != nil {
		return err
	}
	a.whole++
	if a.best.Digest == "" || Matcher(nil).Match(platform) && (!Matcher(nil).Match(a.plat) || Matcher(nil).Less(platform, a.plat)) {
		a.best, a.plat, a.chain = desc, platform, ""
		if Matcher(nil).Match(platform) {
			a.chain = j.chainID
		}
	}
	return nil
}

func (a *adoption) manifest(ctx context.Context, desc ocispec.Descriptor) (m ocispec.Manifest, err error) {
	data, err := content.ReadBlob(ctx, a.p.db.Content, ocispec.Descriptor{Digest: desc.Digest, Size: desc.Size})
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(data, &m); err != nil {
		return m, fmt.Errorf("manifest %s: %w: %w", desc.Digest, err, errdefs.ErrInvalidArgument)
	}
	return m, nil
}

// platform is that of the config, which must be small enough to be read.
func (a *adoption) platform(ctx context.Context, m ocispec.Manifest) (p ocispec.Platform, err error) {
	if err := check(m.Config); err != nil {
		return p, err
	}
	info, err := a.p.db.Content.Info(ctx, m.Config.Digest)
	if err != nil {
		return p, err
	}
	if info.Size != m.Config.Size {
		return p, fmt.Errorf("%s has %d bytes, not %d: %w", m.Config.Digest, info.Size, m.Config.Size, errdefs.ErrInvalidArgument)
	}
	data, err := content.ReadBlob(ctx, a.p.db.Content, ocispec.Descriptor{Digest: m.Config.Digest, Size: info.Size})
	if err != nil {
		return p, err
	}
	var c ocispec.Image
	if err := json.Unmarshal(data, &c); err != nil {
		return p, fmt.Errorf("image config %s: %w: %w", m.Config.Digest, err, errdefs.ErrInvalidArgument)
	}
	return c.Platform, nil
}

var errNotHere = errors.New("not here")

// nothing is a registry that has nothing.
type nothing struct{}

func (nothing) Fetch(context.Context, ocispec.Descriptor) (io.ReadCloser, error) {
	return nil, errNotHere
}
