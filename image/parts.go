package image

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"

	"github.com/berth-engine/berth/fault"
	"github.com/berth-engine/berth/image/store"
	"github.com/berth-engine/berth/oci"
)

// Parts is what a builder works on. Content and snapshots are kept by its own
// leases; what it names by Images becomes an image as if it were pulled.
type Parts struct {
	Content   content.Store
	Snapshots snapshots.Snapshotter
	Leases    leases.Manager
	Images    images.Store
	Namespace string // of all contexts
	// Collect removes what is garbage, and returns when it is gone.
	Collect func(context.Context) error
	// Complete is told that all of an image is here: layers of one that has been
	// named may have come later.
	Complete func(context.Context, digest.Digest) error
}

// Parts opens the store to a builder.
func (s *Store) Parts() Parts {
	b := s.db.Builder()
	return Parts{
		Content: b.Content, Snapshots: b.Snapshots, Leases: b.Leases, Images: named{s},
		Namespace: store.Namespace, Collect: s.db.CollectNow, Complete: s.complete,
	}
}

// complete looks again at an image of which something was missing when it was named.
func (s *Store) complete(ctx context.Context, id digest.Digest) error {
	v, err := s.view(ctx)
	if err != nil {
		return err
	}
	record, ok := v.firstOf(id)
	if !ok {
		return nil // it was removed meanwhile, or only pushed
	}
	list, err := s.variants(ctx, v, record.Target)
	if err != nil || !slices.ContainsFunc(list, func(m *variant) bool { return m.isImage && !m.available }) {
		return err
	}
	s.changed()
	if list, err = s.readVariants(s.db.Context(ctx), record.Target, 0); err != nil {
		return err
	}
	best := choose(list, nil)
	if best == nil {
		return nil
	}
	s.write.Lock()
	defer s.write.Unlock()
	return s.db.Update(ctx, func(ctx context.Context) error { return s.leaseUnpacked(ctx, best.chainID()) })
}

// RegistryHosts says how the registry that references call domain is reached,
// without credentials.
func (s *Store) RegistryHosts(domain string) ([]docker.RegistryHost, error) {
	return s.client.Hosts(context.Background(), s.Registries(), domain)
}

// named lets a builder name images: with the rules, leases and events of this
// store.
type named struct{ s *Store }

var _ images.Store = named{}

func (n named) Get(ctx context.Context, name string) (images.Image, error) {
	r, err := n.s.db.Images.Get(n.s.db.Context(ctx), name)
	if err == nil {
		n.s.uses.mark(r.Target.Digest)
	}
	return r, err
}

func (n named) List(ctx context.Context, filters ...string) ([]images.Image, error) {
	return n.s.db.Images.List(n.s.db.Context(ctx), filters...)
}

func (n named) Create(ctx context.Context, image images.Image) (images.Image, error) {
	return n.name(ctx, image)
}

func (n named) Update(ctx context.Context, image images.Image, _ ...string) (images.Image, error) {
	return n.name(ctx, image)
}

func (named) Delete(context.Context, string, ...images.DeleteOpt) error {
	return fmt.Errorf("a builder does not remove images: %w", errdefs.ErrPermissionDenied)
}

// name makes a name stand for an image whose content is in the store.
func (n named) name(ctx context.Context, image images.Image) (images.Image, error) {
	if isDangling(image) {
		err := n.s.recordBuilt(ctx, nil, image)
		if err == nil {
			n.s.announceMade(ctx, nil, image.Target)
		}
		return image, err
	}
	ref, err := oci.ParseName(image.Name)
	if err != nil {
		return image, err
	}
	if _, ok := ref.(reference.Digested); ok {
		return image, fmt.Errorf("%s: an image that is built has no digest in its name: %w", image.Name, errdefs.ErrInvalidArgument)
	}
	s := n.s
	if err := fault.Point("build.image.complete"); err != nil {
		return image, err
	}
	if err := s.recordBuilt(ctx, ref, image); err != nil {
		return image, fmt.Errorf("name %s: %w", image.Name, err)
	}
	s.announceMade(ctx, ref, image.Target)
	return image, nil
}

// recordBuilt names an image, or with ref nil keeps it without a name.
func (s *Store) recordBuilt(ctx context.Context, ref reference.Named, image images.Image) error {
	list, err := s.readVariants(s.db.Context(ctx), image.Target, 0)
	if err != nil {
		return err
	}
	s.write.Lock()
	defer s.write.Unlock()
	defer s.changed()
	return s.db.Update(ctx, func(ctx context.Context) error {
		if ref == nil {
			if err := s.keepUnnamed(ctx, image.Target); err != nil {
				return err
			}
		} else if _, err := s.setName(ctx, ref.String(), image.Target); err != nil {
			return err
		}
		if best := choose(list, nil); best != nil {
			return s.leaseUnpacked(ctx, best.chainID())
		}
		return nil
	})
}

// leaseUnpacked makes the lease of a chain whose snapshots are there.
func (s *Store) leaseUnpacked(ctx context.Context, id digest.Digest) error {
	if id == "" {
		return nil
	}
	_, err := s.db.Snapshots.Stat(s.db.Context(ctx), id.String())
	if errdefs.IsNotFound(err) {
		return nil // it will be unpacked at its first use
	}
	return errors.Join(err, s.lease(ctx, id))
}
