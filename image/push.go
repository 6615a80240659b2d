package image

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/moby/moby/api/types/auxprogress"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/api/types/jsonstream"
	"github.com/moby/moby/api/types/registry"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/berth-engine/berth/image/progress"
	"github.com/berth-engine/berth/oci"
)

// PushOptions configures Push.
type PushOptions struct {
	// Platforms are those to send of an image for several: one is sent alone,
	// more in an index of their own. None: all that are here.
	Platforms []ocispec.Platform
	Auth      *registry.AuthConfig     // nil: anonymous
	Progress  func(jsonstream.Message) // nil: none; called on the goroutine that called Push
}

// Pushed is what the last message about a tag carries, as Docker's clients read
// it.
type Pushed struct {
	Tag    string
	Digest string
	Size   int64
}

// Push sends the image that a name stands for to the name's registry. A name
// without tag means all tags of the repository that are here.
//
// An image for several platforms is sent whole. If it is not here whole, then the
// only platform that is here is sent alone, with a note. NotFound if there is no
// such name, or not for the platform; PermissionDenied or Unauthenticated if the
// registry refuses.
func (s *Store) Push(ctx context.Context, ref string, o PushOptions) error {
	named, err := oci.ParseRepository(ref)
	if err != nil {
		return err
	}
	if _, ok := named.(reference.Digested); ok {
		return fmt.Errorf("cannot push a digest reference%w", kind{errdefs.ErrInvalidArgument})
	}
	v, err := s.view(ctx)
	if err != nil {
		return err
	}
	tags := v.tags(named)
	if len(tags) == 0 {
		if reference.IsNameOnly(named) {
			return fmt.Errorf("An image does not exist locally with the tag: %s%w", reference.FamiliarName(named), kind{errdefs.ErrNotFound})
		}
		return fmt.Errorf("tag does not exist: %s%w", reference.FamiliarString(named), kind{errdefs.ErrNotFound})
	}
	return s.transfer(ctx, o.Progress, func(ctx context.Context, out *progress.Stream) error {
		return s.pushTags(ctx, named, tags, o, out)
	})
}

// transfer runs work that Close ends and waits for, and reports its progress on
// the caller's goroutine. If ctx or the store ended it, its error says so.
func (s *Store) transfer(ctx context.Context, report func(jsonstream.Message), work func(context.Context, *progress.Stream) error) error {
	out := &progress.Stream{}
	done := make(chan error, 1)
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return errClosed
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := context.AfterFunc(s.closing, func() { cancel(errClosed) })
	defer stop()
	s.work.Go(func() {
		defer out.Close()
		err := work(ctx, out)
		if err != nil && ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		done <- err
	})
	s.mu.Unlock()
	if report == nil {
		report = func(jsonstream.Message) {}
	}
	// Until the stream is closed: what was done before an end is told, too.
	_ = out.Follow(context.WithoutCancel(ctx), report)
	return <-done
}

// tags lists the names in a repository: the one given or, if it has no tag, all
// that have one.
func (v *view) tags(named reference.Named) []images.Image {
	if !reference.IsNameOnly(named) {
		if r, ok := v.byName[named.String()]; ok {
			return []images.Image{r}
		}
		return nil
	}
	var list []images.Image
	for _, r := range v.records {
		n, err := reference.ParseNormalizedNamed(r.Name)
		if _, tagged := n.(reference.NamedTagged); err == nil && tagged && n.Name() == named.Name() {
			list = append(list, r)
		}
	}
	slices.SortFunc(list, func(a, b images.Image) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

func (s *Store) pushTags(ctx context.Context, repo reference.Named, tags []images.Image, o PushOptions, out *progress.Stream) error {
	out.Line("", "The push refers to repository ["+repo.Name()+"]")
	for _, r := range tags {
		if err := s.pushTag(ctx, r, o, out); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) pushTag(ctx context.Context, r images.Image, o PushOptions, out *progress.Stream) error {
	ref, err := oci.ParseName(r.Name)
	if err != nil {
		return err
	}
	tagged, ok := ref.(reference.NamedTagged)
	if !ok {
		return fmt.Errorf("%s has no tag%w", r.Name, kind{errdefs.ErrInvalidArgument})
	}
	target, keep, err := s.pushTarget(ctx, r, o.Platforms)
	if err != nil {
		return err
	}
	defer keep()
	if target.Digest != r.Target.Digest && len(o.Platforms) == 0 {
		aux(out, auxprogress.ManifestPushedInsteadOfIndex{ManifestPushedInsteadOfIndex: true, OriginalIndex: r.Target, SelectedManifest: target})
	}
	repo, err := s.client.Open(ctx, s.Registries(), ref, o.Auth)
	if err != nil {
		return err
	}
	if err := s.pusher.Push(s.db.Context(ctx), repo, target, out); err != nil {
		if errdefs.IsNotFound(err) {
			aux(out, auxprogress.ContentMissing{ContentMissing: true, Desc: target})
			return fmt.Errorf("%s: a part of the image is neither here nor at the registry; push one platform with --platform, or pull the image whole: %w", reference.FamiliarString(ref), err)
		}
		return err
	}
	out.Line("", fmt.Sprintf("%s: digest: %s size: %d", tagged.Tag(), target.Digest, target.Size))
	aux(out, Pushed{Tag: tagged.Tag(), Digest: target.Digest.String(), Size: target.Size})
	s.announce(ctx, events.ActionPush, reference.FamiliarString(ref), reference.FamiliarName(ref), r.Target)
	return nil
}

// aux sends what is for programs; people do not see it.
func aux(out *progress.Stream, v any) {
	raw, err := json.Marshal(v)
	if err != nil {
		return // no note of ours fails to encode
	}
	msg := json.RawMessage(raw)
	out.Send(jsonstream.Message{Aux: &msg})
}

// bare is a descriptor without what its index says about it.
func bare(d ocispec.Descriptor) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size}
}
