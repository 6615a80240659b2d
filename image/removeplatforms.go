package image

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	imagetypes "github.com/moby/moby/api/types/image"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/berth-engine/berth/oci"
)

// RemovePlatforms removes what is here of an image for some platforms and what is
// attested of that; name and ID stay, and a later pull may bring it back. If it is
// all that is here the image is removed with its names. Refusals are as for Remove;
// NotFound if there is nothing for one of the platforms. With dry it only tells.
// It returns how many bytes are, or would be, free.
func (s *Store) RemovePlatforms(ctx context.Context, ref string, only []ocispec.Platform, force, dry bool) ([]imagetypes.DeleteResponse, int64, error) {
	s.write.Lock()
	defer s.write.Unlock()
	v, err := s.view(ctx)
	if err != nil {
		return nil, 0, err
	}
	record, _, err := v.find(ref)
	if err != nil {
		return nil, 0, err
	}
	r := s.newRemoval(ctx, v, record)
	r.force, r.dry = force, dry
	chosen, err := r.platforms(ref, only)
	if err != nil {
		return nil, 0, err
	}
	before, err := s.usage(ctx, v, except{})
	if err != nil {
		return nil, 0, err
	}
	gone := except{}
	var answer []imagetypes.DeleteResponse
	if r.leaves(chosen) {
		answer, err = r.parts(ctx, record.Target, chosen)
		gone.manifests = map[digest.Digest]bool{}
		for _, m := range chosen {
			gone.manifests[m.desc.Digest] = !r.shared(v, m.desc.Digest)
		}
	} else {
		answer, err = r.everything(ctx)
		gone.images = map[digest.Digest]bool{r.target: true}
	}
	if err != nil {
		return nil, 0, err
	}
	after, err := s.usage(ctx, v, gone)
	return answer, max(before-after, 0), err
}

// platforms finds the manifests for each of some platforms.
func (r *removal) platforms(ref string, only []ocispec.Platform) ([]*variant, error) {
	for _, p := range only {
		if !slices.ContainsFunc(r.variants, func(m *variant) bool {
			return m.isImage && oci.IsPlatform(m.platform, []ocispec.Platform{p})
		}) {
			return nil, platformNotFound(ref, &p)
		}
	}
	chosen := map[digest.Digest]bool{}
	for _, m := range r.variants {
		chosen[m.desc.Digest] = m.subject == "" && m.isImage && oci.IsPlatform(m.platform, only)
	}
	var list []*variant
	for _, m := range r.variants {
		if chosen[m.desc.Digest] || m.subject != "" && chosen[m.subject] {
			list = append(list, m)
		}
	}
	return list, nil
}

// leaves tells whether an image is left without some manifests.
func (r *removal) leaves(chosen []*variant) bool {
	return slices.ContainsFunc(r.variants, func(m *variant) bool {
		return m.isImage && m.available && !slices.Contains(chosen, m)
	})
}

// parts removes manifests of an index.
func (r *removal) parts(ctx context.Context, target ocispec.Descriptor, chosen []*variant) ([]imagetypes.DeleteResponse, error) {
	for _, m := range chosen {
		if err := r.unused(m); err != nil {
			return nil, err
		}
	}
	answer := []imagetypes.DeleteResponse{}
	for _, m := range chosen {
		if m.subject == "" {
			answer = append(answer, imagetypes.DeleteResponse{Deleted: m.desc.Digest.String()})
		}
	}
	if r.dry {
		return answer, nil
	}
	s := r.s
	v, err := s.view(ctx)
	if err != nil {
		return nil, err
	}
	err = s.db.Update(ctx, func(ctx context.Context) error {
		if err := s.keepHeld(ctx, chosen, r.all[0]); err != nil {
			return err
		}
		if err := s.dropChildren(ctx, target, chosen); err != nil {
			return err
		}
		for _, m := range chosen {
			if r.shared(v, m.desc.Digest) {
				continue
			}
			if err := s.db.Content.Delete(ctx, m.desc.Digest); err != nil && !errdefs.IsNotFound(err) {
				return err
			}
		}
		return nil
	})
	s.changed()
	if err != nil {
		return nil, fmt.Errorf("remove platforms of %s: %w", r.target, err)
	}
	for _, m := range chosen {
		if id := m.chainID(); id != "" {
			if _, err := s.dropLocked(ctx, id); err != nil {
				s.log.Warn("cannot release an image's layers", "image", r.target, "error", err)
			}
		}
	}
	s.db.Collect()
	return answer, nil
}

// unused refuses, as Remove does, what containers use.
func (r *removal) unused(m *variant) error {
	r.s.mu.Lock()
	var users []Holder
	for h := range r.s.holders {
		if h.image == r.target && h.chain == m.chainID() && m.subject == "" {
			users = append(users, h.Holder)
		}
	}
	r.s.mu.Unlock()
	slices.SortFunc(users, func(a, b Holder) int { return strings.Compare(a.ContainerID, b.ContainerID) })
	id := oci.ShortID(m.desc.Digest)
	for _, h := range users {
		if h.Running != nil && h.Running() {
			return conflict(id, true, "image is being used by running container "+short(h.ContainerID))
		}
	}
	if len(users) > 0 && !r.force {
		return conflict(id, false, "image is being used by stopped container "+short(users[0].ContainerID))
	}
	return nil
}

// shared tells whether another image has a manifest, too.
func (r *removal) shared(v *view, manifest digest.Digest) bool {
	for _, record := range v.records {
		if record.Target.Digest == r.target {
			continue
		}
		list, err := r.s.variants(context.Background(), v, record.Target)
		if err != nil || record.Target.Digest == manifest {
			return true // unreadable: to be on the safe side
		}
		if slices.ContainsFunc(list, func(m *variant) bool { return m.desc.Digest == manifest }) {
			return true
		}
	}
	return false
}

// dropChildren takes the labels away by which an index, or one within it, keeps
// some manifests. ctx must be one of db.Update.
func (s *Store) dropChildren(ctx context.Context, index ocispec.Descriptor, list []*variant) error {
	if !images.IsIndexType(index.MediaType) {
		return nil
	}
	info, err := s.db.Content.Info(ctx, index.Digest)
	if errdefs.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	var fields []string
	for label, value := range info.Labels {
		if strings.HasPrefix(label, "containerd.io/gc.ref.content") &&
			slices.ContainsFunc(list, func(m *variant) bool { return m.desc.Digest.String() == value }) {
			info.Labels[label] = ""
			fields = append(fields, "labels."+label)
		}
	}
	if len(fields) > 0 {
		if _, err := s.db.Content.Update(ctx, info, fields...); err != nil {
			return err
		}
	}
	children, err := images.Children(ctx, s.db.Content, index)
	if err != nil {
		return err
	}
	for _, c := range children {
		if err := s.dropChildren(ctx, c, list); err != nil {
			return err
		}
	}
	return nil
}
