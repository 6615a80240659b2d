package image

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/berth-engine/berth/oci"
)

// pushTarget chooses what of an image to send, and keeps it until release is
// called.
func (s *Store) pushTarget(ctx context.Context, r images.Image, only []ocispec.Platform) (target ocispec.Descriptor, release func(), err error) {
	v, err := s.view(ctx)
	if err != nil {
		return target, nil, err
	}
	list, err := s.variants(ctx, v, r.Target)
	if err != nil {
		return target, nil, err
	}
	target = r.Target
	switch {
	case len(only) > 0:
		best, err := chooseAll(list, familiar(r.Name), only)
		if err != nil {
			return target, nil, err
		}
		if len(only) == 1 && matching(list, only) > 1 {
			return target, nil, fmt.Errorf("multiple matching manifests found but no specific platform requested%w", kind{errdefs.ErrConflict})
		}
		if len(only) > 1 && images.IsIndexType(r.Target.MediaType) {
			return s.smallerIndex(ctx, r.Target, only)
		}
		target = bare(best.desc)
	default:
		if single := onlyHere(list); single != nil {
			target = bare(single.desc)
		}
	}
	release, err = s.keepContent(ctx, target)
	return target, release, err
}

// onlyHere is the one image that is here of an index that is not here whole.
func onlyHere(list []*variant) *variant {
	var here []*variant
	whole := true
	for _, m := range list {
		switch {
		case !m.available:
			whole = false
		case m.isImage:
			here = append(here, m)
		}
	}
	if !whole && len(here) == 1 {
		return here[0]
	}
	return nil
}

// matching counts the images that are here for some platforms.
func matching(list []*variant, only []ocispec.Platform) (n int) {
	for _, m := range list {
		if m.isImage && m.available && oci.IsPlatform(m.platform, only) {
			n++
		}
	}
	return n
}

// smallerIndex makes an index of what another has for some platforms. It is kept
// until release is called.
func (s *Store) smallerIndex(ctx context.Context, target ocispec.Descriptor, only []ocispec.Platform) (ocispec.Descriptor, func(), error) {
	none := ocispec.Descriptor{}
	var index ocispec.Index
	if err := s.readJSON(s.db.Context(ctx), target, maxManifest, &index); err != nil {
		return none, nil, err
	}
	index.Manifests = oci.ForPlatforms(index.Manifests, only)
	data, err := json.Marshal(index)
	if err != nil {
		return none, nil, err
	}
	blob := oci.NewBlob(target.MediaType, data)
	made := blob.Descriptor
	keepParts, err := s.keepContent(ctx, target)
	if err != nil {
		return none, nil, err
	}
	keepIndex, err := s.keepContent(ctx, made)
	if err != nil {
		keepParts()
		return none, nil, err
	}
	release := func() { keepIndex(); keepParts() }
	if err := s.writeBlob(s.db.Context(ctx), blob, nil); err != nil {
		release()
		return none, nil, fmt.Errorf("make an index: %w", err)
	}
	return made, release, nil
}

// keepContent keeps what is below a target, also if its last name is removed,
// until release is called.
func (s *Store) keepContent(ctx context.Context, target ocispec.Descriptor) (release func(), err error) {
	ctx = s.db.Context(ctx)
	var lease leases.Lease
	err = s.db.Update(ctx, func(ctx context.Context) error {
		if lease, err = s.db.WorkLease(ctx, "keep"); err != nil {
			return err
		}
		return s.db.Leases.AddResource(ctx, lease, leases.Resource{ID: target.Digest.String(), Type: "content"})
	})
	if err != nil {
		return nil, fmt.Errorf("keep %s: %w", target.Digest, err)
	}
	return func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		if err := s.db.Leases.Delete(ctx, lease); err != nil && !errdefs.IsNotFound(err) {
			s.log.Warn("cannot end the lease of a push", "error", err)
		}
	}, nil
}
