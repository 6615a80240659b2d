package image

import (
	"context"
	"fmt"
	"io"

	"github.com/containerd/containerd/v2/core/leases"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/api/types/jsonstream"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/berth-engine/berth/fault"
	"github.com/berth-engine/berth/image/layout"
	"github.com/berth-engine/berth/image/progress"
	"github.com/berth-engine/berth/image/pull"
	"github.com/berth-engine/berth/oci"
)

// LoadOptions configures Load.
type LoadOptions struct {
	Platforms []ocispec.Platform       // of an image for several, those to load; none: all
	Progress  func(jsonstream.Message) // nil: none; called on the goroutine that called Load
	Quiet     bool                     // no counts of layers
}

// Load takes images from a tar stream in the OCI image layout or that of docker
// save, and names them as the stream says; those without a name stay without.
// Either all of a stream's images are loaded or, on an error, nothing stays.
//
// InvalidArgument for a stream that is no such thing or an image that cannot be
// one, NotFound if a part of an image, or the platform, is not in the stream.
func (s *Store) Load(ctx context.Context, r io.Reader, o LoadOptions) error {
	report := o.Progress
	if o.Quiet && report != nil {
		report = func(m jsonstream.Message) {
			if m.Progress == nil {
				o.Progress(m)
			}
		}
	}
	return s.transfer(ctx, report, func(ctx context.Context, out *progress.Stream) error {
		return s.load(s.db.Context(ctx), r, o, out)
	})
}

// loaded is one image of a stream.
type loaded struct {
	layout.Found
	result pull.Result
}

func (s *Store) load(ctx context.Context, r io.Reader, o LoadOptions, out *progress.Stream) (err error) {
	lease, err := s.db.WorkLease(ctx, "load")
	if err != nil {
		return fmt.Errorf("load: %w", err)
	}
	defer func() {
		if err != nil {
			s.abandon(context.WithoutCancel(ctx), err, []leases.Lease{lease})
		}
	}()
	leased := leases.WithLease(ctx, lease.ID)
	found, err := layout.Read(leased, s.db.Content, r)
	if err != nil {
		return fmt.Errorf("load: %w", err)
	}
	var list []loaded
	for _, f := range found {
		if f.Target, err = s.onlyPlatforms(leased, f.Target, o.Platforms); err != nil {
			return fmt.Errorf("load: %w", err)
		}
		result, err := s.puller.Adopt(leased, f.Target, o.Platforms, out)
		if err != nil {
			return fmt.Errorf("load: %w", err)
		}
		list = append(list, loaded{f, result})
	}
	if err := fault.Point("image.load.read"); err != nil {
		return err
	}
	if err := s.recordLoaded(ctx, list, lease); err != nil {
		return fmt.Errorf("load: %w", err)
	}
	if err := fault.Point("image.load.named"); err != nil {
		return err
	}
	if len(o.Platforms) > 1 {
		// What is for other platforms is not kept, and not to be seen meanwhile.
		if err := s.db.CollectNow(ctx); err != nil {
			return fmt.Errorf("load: %w", err)
		}
		s.changed()
	}
	for _, l := range list {
		id := l.Target.Digest.String()
		for _, name := range l.Names {
			out.Send(jsonstream.Message{Stream: "Loaded image: " + familiar(name) + "\n"})
			s.announce(ctx, events.ActionLoad, id, familiar(name), l.Target)
		}
		if len(l.Names) == 0 {
			out.Send(jsonstream.Message{Stream: "Loaded image ID: " + id + "\n"})
			s.announce(ctx, events.ActionLoad, id, id, l.Target)
		}
	}
	s.db.Collect()
	return nil
}

// recordLoaded names what was loaded and ends the lease, in one transaction.
func (s *Store) recordLoaded(ctx context.Context, list []loaded, done leases.Lease) error {
	s.write.Lock()
	defer s.write.Unlock()
	defer s.changed()
	return s.db.Update(ctx, func(ctx context.Context) error {
		for _, l := range list {
			for _, name := range l.Names {
				if _, err := s.setName(ctx, name, l.Target); err != nil {
					return err
				}
			}
			if len(l.Names) == 0 {
				if err := s.keepUnnamed(ctx, l.Target); err != nil {
					return err
				}
			}
			if err := s.lease(ctx, l.result.ChainID); err != nil {
				return err
			}
		}
		return s.db.Leases.Delete(ctx, done)
	})
}

// onlyPlatforms chooses what of an image's target to load: the one manifest for
// the only platform that is asked for, or else the whole, of which then parts may
// stay away. It is NotFound if something for one of the platforms is not there.
func (s *Store) onlyPlatforms(ctx context.Context, target ocispec.Descriptor, want []ocispec.Platform) (ocispec.Descriptor, error) {
	if len(want) == 0 {
		return target, nil
	}
	list, err := s.readVariants(ctx, target, 0)
	if err != nil {
		return target, err
	}
	var chosen *variant
	for _, p := range want {
		if chosen = choose(list, &p); chosen == nil {
			return target, platformNotFound(oci.ShortID(target.Digest), &p)
		}
	}
	if len(want) > 1 {
		return target, nil
	}
	return bare(chosen.desc), nil
}
