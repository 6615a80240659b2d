package image

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/moby/moby/api/types/events"
	imagetypes "github.com/moby/moby/api/types/image"
	"github.com/opencontainers/go-digest"

	"github.com/berth-engine/berth/fault"
	"github.com/berth-engine/berth/oci"
)

// Remove removes a name, and with its last name the image; an ID stands for all
// names. It refuses as Docker does, with errdefs.Conflict: an image that a
// running container uses always; without force also one that a stopped
// container uses, and an ID with several names. With force the last name of an
// image that a container uses is removed and the image stays without one.
//
// The last parameter, prune, is accepted for Docker's sake: there are no parents of their own here.
// Content is removed in the background.
func (s *Store) Remove(ctx context.Context, ref string, force, _ bool) ([]imagetypes.DeleteResponse, error) {
	return s.remove(ctx, ref, force, false)
}

// WouldRemove tells what Remove would do, or why it would refuse, and how many
// bytes would be free.
func (s *Store) WouldRemove(ctx context.Context, ref string, force bool) ([]imagetypes.DeleteResponse, int64, error) {
	list, err := s.remove(ctx, ref, force, true)
	if err != nil {
		return nil, 0, err
	}
	v, err := s.view(ctx)
	if err != nil {
		return nil, 0, err
	}
	gone := map[digest.Digest]bool{}
	for _, d := range list {
		if d.Deleted != "" {
			gone[digest.Digest(d.Deleted)] = true
		}
	}
	before, err := s.usage(ctx, v, except{})
	if err != nil {
		return nil, 0, err
	}
	after, err := s.usage(ctx, v, except{images: gone})
	return list, max(before-after, 0), err
}

func (s *Store) remove(ctx context.Context, ref string, force, dry bool) ([]imagetypes.DeleteResponse, error) {
	s.write.Lock()
	defer s.write.Unlock()
	v, err := s.view(ctx)
	if err != nil {
		return nil, err
	}
	record, name, err := v.find(ref)
	if err != nil {
		return nil, err
	}
	r := s.newRemoval(ctx, v, record)
	r.force, r.dry = force, dry
	if name == "" {
		return r.everything(ctx)
	}
	named, err := oci.ParseName(ref)
	if err != nil {
		return nil, err
	}
	return r.name(ctx, named)
}

// newRemoval prepares the removal of the image of a record.
func (s *Store) newRemoval(ctx context.Context, v *view, record images.Image) *removal {
	r := &removal{s: s, target: record.Target.Digest, all: v.sharing(record.Target.Digest)}
	r.labels = s.labels(ctx, v, record.Target)
	var err error
	if r.variants, err = s.variants(ctx, v, record.Target); err != nil {
		s.log.Warn("removing an unreadable image", "name", record.Name, "error", err)
	}
	return r
}

// removal is one call of Remove.
type removal struct {
	s        *Store
	force    bool
	dry      bool // only tell
	target   digest.Digest
	all      []images.Image // all records of the image
	variants []*variant
	labels   map[string]string
}

// name removes what a name means: a tag, together with digests of the same
// repository if it is the repository's last tag; or, if the name has a digest,
// all names in the repository.
func (r *removal) name(ctx context.Context, named reference.Named) ([]imagetypes.DeleteResponse, error) {
	_, byDigest := named.(reference.Digested)
	var same, digests []images.Image
	otherTags := false
	for _, record := range r.all {
		n, err := reference.ParseNormalizedNamed(record.Name)
		_, digested := n.(reference.Digested)
		switch {
		case isDangling(record):
			same = append(same, record)
		case err != nil || n.Name() != named.Name():
		case byDigest || n.String() == named.String():
			same = append(same, record)
		case digested:
			digests = append(digests, record)
		default:
			otherTags = true
		}
	}
	if !otherTags {
		same = append(same, digests...)
	}
	if len(same) < len(r.all) {
		return r.delete(ctx, same, false)
	}
	if byDigest {
		return r.everything(ctx)
	}
	if users := r.s.holdersOf(r.target); len(users) > 0 {
		if !r.force {
			return nil, conflict(reference.FamiliarString(named), false, fmt.Sprintf("container %s is using its referenced image %s",
				short(users[0].ContainerID), oci.ShortID(r.target)))
		}
		return r.soft(ctx, same)
	}
	return r.delete(ctx, same, true)
}

// everything removes the image with all its names.
func (r *removal) everything(ctx context.Context) ([]imagetypes.DeleteResponse, error) {
	id := oci.ShortID(r.target)
	for _, h := range r.s.holdersOf(r.target) {
		if h.Running != nil && h.Running() {
			return nil, conflict(id, true, "image is being used by running container "+short(h.ContainerID))
		}
	}
	if !r.force {
		if users := r.s.holdersOf(r.target); len(users) > 0 {
			return nil, conflict(id, false, "image is being used by stopped container "+short(users[0].ContainerID))
		}
		if names := r.references(); names > 1 {
			return nil, conflict(id, false, "image is referenced in multiple repositories")
		}
	}
	return r.delete(ctx, r.all, true)
}

// references counts the names of the image; digests in a repository that has a
// tag, too, do not count.
func (r *removal) references() int {
	tags, digests := 0, map[string]bool{}
	tagged := map[string]bool{}
	for _, record := range r.all {
		n, err := reference.ParseNormalizedNamed(record.Name)
		if err != nil || isDangling(record) {
			continue
		}
		if _, ok := n.(reference.Digested); ok {
			digests[n.Name()] = true
		} else {
			tags++
			tagged[n.Name()] = true
		}
	}
	for name := range digests {
		if !tagged[name] {
			tags++
		}
	}
	return tags
}

// soft takes the names away but keeps the image, for the containers that use it.
func (r *removal) soft(ctx context.Context, records []images.Image) ([]imagetypes.DeleteResponse, error) {
	if r.dry {
		return r.untagged(records), nil
	}
	err := r.s.db.Update(ctx, func(ctx context.Context) error {
		for _, record := range records {
			if isDangling(record) {
				continue
			}
			if err := r.s.keepDangling(ctx, record); err != nil {
				return err
			}
			if err := r.s.db.Images.Delete(ctx, record.Name); err != nil {
				return err
			}
		}
		return nil
	})
	r.s.changed()
	if err != nil {
		return nil, fmt.Errorf("untag %s: %w", r.target, err)
	}
	return r.untagged(records), nil
}

// delete removes records and, if they are the last, says that the image is gone.
func (r *removal) delete(ctx context.Context, records []images.Image, last bool) ([]imagetypes.DeleteResponse, error) {
	if r.dry {
		answer := r.untagged(records)
		if last {
			answer = append(answer, imagetypes.DeleteResponse{Deleted: r.target.String()})
		}
		return answer, nil
	}
	err := r.s.db.Update(ctx, func(ctx context.Context) error {
		if last {
			if err := r.s.keepHeld(ctx, r.variants, records[0]); err != nil {
				return err
			}
		}
		for _, record := range records {
			if err := r.s.db.Images.Delete(ctx, record.Name); err != nil {
				return err
			}
		}
		return nil
	})
	r.s.changed()
	if err != nil {
		return nil, fmt.Errorf("remove %s: %w", r.target, err)
	}
	if err := fault.Point("image.remove.unnamed"); err != nil {
		return nil, err
	}
	answer := r.untagged(records)
	if !last {
		return answer, nil
	}
	for _, v := range r.variants {
		if id := v.chainID(); id != "" {
			if _, err := r.s.dropLocked(ctx, id); err != nil {
				r.s.log.Warn("cannot release an image's layers", "image", r.target, "error", err)
			}
		}
	}
	if err := fault.Point("image.remove.released"); err != nil {
		return nil, err
	}
	r.s.db.Collect()
	id := r.target.String()
	r.s.publish(events.ActionDelete, id, id, r.labels)
	return append(answer, imagetypes.DeleteResponse{Deleted: id}), nil
}

func (r *removal) untagged(records []images.Image) []imagetypes.DeleteResponse {
	answer := []imagetypes.DeleteResponse{}
	for _, record := range records {
		if !isDangling(record) {
			name := familiar(record.Name)
			if !r.dry {
				r.s.publish(events.ActionUnTag, r.target.String(), name, r.labels)
			}
			answer = append(answer, imagetypes.DeleteResponse{Untagged: name})
		}
	}
	slices.SortFunc(answer, func(a, b imagetypes.DeleteResponse) int { return strings.Compare(a.Untagged, b.Untagged) })
	return answer
}

// conflict is Docker's refusal to remove an image.
func conflict(ref string, hard bool, why string) error {
	how := "must be forced"
	if hard {
		how = "cannot be forced"
	}
	return fmt.Errorf("conflict: unable to delete %s (%s) - %s%w", ref, how, why, kind{errdefs.ErrConflict})
}

func short(id string) string { return id[:min(12, len(id))] }

func familiar(name string) string {
	if n, err := reference.ParseNormalizedNamed(name); err == nil {
		return reference.FamiliarString(n)
	}
	return name
}
