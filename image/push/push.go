// Package push sends images from a store to registries: blobs first and several
// at once, what refers to them after. A blob that the repository has is not
// sent, and one that another repository of the registry has is mounted.
package push

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/moby/moby/api/types/jsonstream"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/semaphore"

	"github.com/berth-engine/berth/image/progress"
	"github.com/berth-engine/berth/image/remote"
	"github.com/berth-engine/berth/image/store"
)

// DefaultUploads is how many blobs are sent at once; it is Docker's.
const DefaultUploads = 5

// attempts is how often a push is tried when the network fails. What has
// arrived is not sent again.
const attempts = 5

// Pusher sends what is in one store. Its pushes share one limit on how many
// blobs are sent at once.
type Pusher struct {
	db    *store.DB
	limit atomic.Pointer[semaphore.Weighted]
	wait  func(ctx context.Context, d time.Duration) error
}

// New makes a Pusher. uploads is how many blobs are sent at once over all
// pushes; 0 means DefaultUploads.
func New(db *store.DB, uploads int) *Pusher {
	p := &Pusher{db: db, wait: remote.Wait}
	p.SetUploads(uploads)
	return p
}

// SetUploads changes how many blobs pushes that begin from now on send at once;
// those under way keep their limit.
func (p *Pusher) SetUploads(uploads int) {
	if uploads <= 0 {
		uploads = DefaultUploads
	}
	p.limit.Store(semaphore.NewWeighted(int64(uploads)))
}

// Push sends the image with that target to the repository, under the tag of the
// repository's reference. The context must come from the store. Everything below
// the target has to be here, or at the registry: NotFound tells what is not. What
// fails is tried again, unless the registry was never reached.
func (p *Pusher) Push(ctx context.Context, repo *remote.Repository, target ocispec.Descriptor, out *progress.Stream) error {
	ctx = remote.Notify(ctx, out.Once())
	if err := p.prepare(ctx, target, out); err != nil {
		return err
	}
	t := &tracker{out: out}
	for n := 1; ; n++ {
		err := p.once(ctx, repo, target, t)
		if err == nil || n == attempts || !remote.Transient(ctx, err) || remote.Unreached(err) && !t.reached() {
			return err
		}
		pause := time.Duration(n) * time.Second
		out.Line("", "Retrying in "+pause.String()+": "+err.Error())
		if err := p.wait(ctx, pause); err != nil {
			return err
		}
	}
}

// prepare tells of the layers to come, before the first is sent.
func (p *Pusher) prepare(ctx context.Context, target ocispec.Descriptor, out *progress.Stream) error {
	children := images.ChildrenHandler(p.db.Content)
	told := map[digest.Digest]bool{}
	return images.Walk(ctx, images.HandlerFunc(func(ctx context.Context, desc ocispec.Descriptor) ([]ocispec.Descriptor, error) {
		if images.IsLayerType(desc.MediaType) {
			if !told[desc.Digest] {
				told[desc.Digest] = true
				out.Layer(desc.Digest, "Preparing", jsonstream.Progress{})
			}
			return nil, nil
		}
		below, err := children(ctx, desc)
		if errdefs.IsNotFound(err) {
			return nil, nil // it may be at the registry
		}
		return below, err
	}), target)
}

func (p *Pusher) once(ctx context.Context, repo *remote.Repository, target ocispec.Descriptor, t *tracker) error {
	t.begin()
	pusher, err := repo.Pusher(ctx, target, t)
	if err != nil {
		return repo.PushError(err)
	}
	provider := untilSent{p.db.Content}
	err = remotes.PushContent(ctx, layersOnly{pusher}, target, provider, p.limit.Load(), platforms.All, nil)
	switch {
	case err == nil:
		return p.remember(ctx, repo, target)
	case errdefs.IsNotFound(err) && errors.As(err, new(missing)):
		return err
	}
	return repo.PushError(err)
}

// remember notes at each blob where it can be had now: a later push to another
// repository of the registry mounts it from there.
func (p *Pusher) remember(ctx context.Context, repo *remote.Repository, target ocispec.Descriptor) error {
	mark, err := docker.AppendDistributionSourceLabel(p.db.Content, repo.Name())
	if err != nil {
		return err
	}
	return p.db.Update(ctx, func(ctx context.Context) error {
		children := images.ChildrenHandler(p.db.Content)
		return images.Walk(ctx, images.HandlerFunc(func(ctx context.Context, desc ocispec.Descriptor) ([]ocispec.Descriptor, error) {
			_, err := mark.Handle(ctx, desc)
			if errdefs.IsNotFound(err) {
				return nil, nil // it was at the registry already
			}
			if err != nil {
				return nil, err
			}
			return children(ctx, desc)
		}), target)
	})
}

// missing marks an error about something that is not in the store, apart from
// one about something that the registry does not have.
type missing struct{ error }

func (m missing) Unwrap() error { return m.error }

// untilSent reads from the store and marks what is missing there.
type untilSent struct{ content.Store }

func (u untilSent) ReaderAt(ctx context.Context, desc ocispec.Descriptor) (content.ReaderAt, error) {
	r, err := u.Store.ReaderAt(ctx, desc)
	if errdefs.IsNotFound(err) {
		return nil, missing{err}
	}
	return r, err
}

// layersOnly hides that the library's pusher is an ingester, too: then it would
// refuse a blob that an earlier attempt did not finish.
type layersOnly struct{ remotes.Pusher }
