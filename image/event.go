package image

import (
	"context"
	"maps"

	"github.com/distribution/reference"
	"github.com/moby/moby/api/types/events"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// announce publishes what happened to an image. As in Docker, the attributes are
// the image's labels and, not to be hidden by one of them, its name.
func (s *Store) announce(ctx context.Context, action events.Action, id, name string, target ocispec.Descriptor) {
	if s.events == nil {
		return
	}
	s.publish(action, id, name, s.labelsOf(ctx, target))
}

func (s *Store) labelsOf(ctx context.Context, target ocispec.Descriptor) map[string]string {
	v, err := s.view(ctx)
	if err != nil {
		return nil
	}
	return s.labels(ctx, v, target)
}

// announceMade publishes that an image was made here, and then the name that it
// was given; nil: none.
func (s *Store) announceMade(ctx context.Context, named reference.Named, target ocispec.Descriptor) {
	if s.events == nil {
		return
	}
	id, labels := target.Digest.String(), s.labelsOf(ctx, target)
	s.publish(events.ActionCreate, id, id, labels)
	if named != nil {
		s.publish(events.ActionTag, id, reference.FamiliarString(named), labels)
	}
}

func (s *Store) publish(action events.Action, id, name string, attributes map[string]string) {
	attributes = maps.Clone(attributes)
	if attributes == nil {
		attributes = map[string]string{}
	}
	attributes["name"] = name
	s.events.Publish(events.Message{
		Type: events.ImageEventType, Action: action, Actor: events.Actor{ID: id, Attributes: attributes},
	})
}

// labels are those of the variant that would run here.
func (s *Store) labels(ctx context.Context, v *view, target ocispec.Descriptor) map[string]string {
	list, err := s.variants(ctx, v, target)
	if err != nil {
		return nil
	}
	if best := choose(list, nil); best != nil {
		return best.config.Config.Labels
	}
	return nil
}
