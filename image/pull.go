package image

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/api/types/jsonstream"
	"github.com/moby/moby/api/types/registry"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/berth-engine/berth/fault"
	"github.com/berth-engine/berth/image/progress"
	"github.com/berth-engine/berth/image/pull"
	"github.com/berth-engine/berth/kernel/mount"
	"github.com/berth-engine/berth/oci"
	"github.com/berth-engine/berth/trace"
)

// PullOptions configures Pull.
type PullOptions struct {
	Platform *ocispec.Platform        // nil: the host's
	Auth     *registry.AuthConfig     // nil: anonymous
	Progress func(jsonstream.Message) // nil: none; called on the goroutine that called Pull
}

// leaseTime is how long an interrupted pull's data waits to be continued.
const leaseTime = 24 * time.Hour

// leaseRef is the label on a pull's lease that names what is pulled.
const leaseRef = "berth.pull"

// sharedPull is a pull with everybody who waits for it.
type sharedPull struct {
	progress progress.Stream
	cancel   context.CancelCauseFunc
	users    int // guarded by Store.mu
	done     chan struct{}
	err      error // set before done is closed
}

// Pull fetches an image and names it. Callers who want the same image at the
// same time with the same credentials share one transfer, which ends when the
// last of them gives up. After an error nothing of the image stays; if they give
// up, the store is closed or the process is killed, then the next pull of the name
// continues, within a day.
//
// Errors have Docker's texts: NotFound for an unknown image and for refused
// access, Unauthenticated for wrong credentials, InvalidArgument for a bad
// reference or an image that cannot be one; others, as of the network or a full
// disk, have no kind.
func (s *Store) Pull(ctx context.Context, ref string, o PullOptions) error {
	named, err := oci.ParseName(ref)
	if err != nil {
		return err
	}
	key := pullKey(named, o)
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return errClosed
	}
	p := s.pulls[key]
	if p == nil {
		p = &sharedPull{done: make(chan struct{})}
		var jobCtx context.Context
		jobCtx, p.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
		s.pulls[key] = p
		request := pull.Request{
			Ref: named, Platform: o.Platform, Auth: o.Auth, Registries: s.registries, Policy: s.policy, Progress: &p.progress,
		}
		s.work.Go(func() { s.runPull(jobCtx, key, p, request) })
	}
	p.users++
	s.mu.Unlock()

	report := o.Progress
	if report == nil {
		report = func(jsonstream.Message) {}
	}
	if err := p.progress.Follow(ctx, report); err != nil {
		s.mu.Lock()
		if p.users--; p.users == 0 {
			p.cancel(err)
			if s.pulls[key] == p {
				delete(s.pulls, key)
			}
		}
		s.mu.Unlock()
		return err
	}
	<-p.done
	return p.err
}

// pullKey tells pulls apart; the credentials are part of it, so that nobody
// gets through another's what the registry would refuse.
func pullKey(named reference.Named, o PullOptions) string {
	auth, _ := json.Marshal(o.Auth) // strings only
	sum := sha256.Sum256(auth)
	key := named.String() + "\x00" + hex.EncodeToString(sum[:])
	if o.Platform != nil {
		key += "\x00" + platforms.FormatAll(*o.Platform)
	}
	return key
}

func (s *Store) runPull(ctx context.Context, key string, p *sharedPull, r pull.Request) {
	defer p.cancel(nil)
	err := s.pull(s.db.Context(ctx), r)
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	s.mu.Lock()
	if s.pulls[key] == p {
		delete(s.pulls, key)
	}
	s.mu.Unlock()
	p.err = err
	close(p.done)
	p.progress.Close()
}

func (s *Store) pull(ctx context.Context, r pull.Request) error {
	lease, stale, err := s.claim(ctx, r.Ref)
	if err != nil {
		return fmt.Errorf("pull %s: %w", reference.FamiliarString(r.Ref), err)
	}
	defer s.unclaim(lease)
	at := trace.From(ctx)
	at.Mark("lease")
	result, err := s.puller.Fetch(leases.WithLease(ctx, lease.ID), r)
	if err == nil {
		err = fault.Point("image.pull.fetched")
	}
	newer := false
	if err == nil {
		newer, err = s.record(ctx, r.Ref, result, stale)
		at.Mark("name")
	}
	if err != nil {
		if ctx.Err() == nil { // else what has come waits to be continued
			s.abandon(context.WithoutCancel(ctx), err, stale)
		}
		return err
	}
	s.announce(ctx, events.ActionPull, reference.FamiliarString(r.Ref), reference.FamiliarName(r.Ref), result.Target)
	r.Progress.Line("", "Digest: "+result.Target.Digest.String())
	if newer {
		r.Progress.Line("", "Status: Downloaded newer image for "+reference.FamiliarString(r.Ref))
	} else {
		r.Progress.Line("", "Status: Image is up to date for "+reference.FamiliarString(r.Ref))
	}
	s.db.Collect()
	return nil
}

// claim makes the lease of a running pull and returns it with those to end when it
// is done: itself and what interrupted ones left of the same name.
func (s *Store) claim(ctx context.Context, ref reference.Named) (lease leases.Lease, done []leases.Lease, err error) {
	s.write.Lock() // what is continued is not dropped meanwhile
	defer s.write.Unlock()
	found, err := s.db.Leases.List(ctx, fmt.Sprintf("labels.%q==%q", leaseRef, ref.String()))
	if err != nil {
		return lease, nil, err
	}
	lease, err = s.db.Leases.Create(ctx, leases.WithRandomID(), leases.WithExpiration(leaseTime), leases.WithLabel(leaseRef, ref.String()))
	if err != nil {
		return lease, nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.active[lease.ID] = true
	done = []leases.Lease{lease}
	for _, l := range found {
		if !s.active[l.ID] {
			done = append(done, l)
		}
	}
	return lease, done, nil
}

func (s *Store) unclaim(lease leases.Lease) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.active, lease.ID)
}

// record names what was pulled, keeps its file system for containers, and ends
// the pull's leases, all in one transaction. It tells whether the name is new or
// has changed.
func (s *Store) record(ctx context.Context, ref reference.Named, r pull.Result, done []leases.Lease) (newer bool, err error) {
	s.write.Lock()
	defer s.write.Unlock()
	defer s.changed()
	err = s.db.Update(ctx, func(ctx context.Context) error {
		if newer, err = s.setName(ctx, ref.String(), r.Target); err != nil {
			return err
		}
		if err := s.lease(ctx, r.ChainID); err != nil {
			return err
		}
		for _, l := range done {
			if err := s.db.Leases.Delete(ctx, l); err != nil && !errdefs.IsNotFound(err) {
				return err
			}
		}
		return nil
	})
	return newer, err
}

// setName makes a name stand for a target. An image that so loses its last name
// stays as a dangling one. The caller has s.write, ctx is one of db.Update.
func (s *Store) setName(ctx context.Context, name string, target ocispec.Descriptor) (changed bool, err error) {
	target = ocispec.Descriptor{MediaType: target.MediaType, Digest: target.Digest, Size: target.Size}
	err = s.db.Images.Delete(ctx, danglingName(target.Digest))
	if err != nil && !errdefs.IsNotFound(err) {
		return false, err
	}
	old, err := s.db.Images.Get(ctx, name)
	switch {
	case errdefs.IsNotFound(err):
		_, err = s.db.Images.Create(ctx, images.Image{Name: name, Target: target})
		return true, err
	case err != nil:
		return false, err
	case old.Target.Digest == target.Digest:
		return false, nil
	}
	if err := s.keepDangling(ctx, old); err != nil {
		return false, err
	}
	old.Target = target
	_, err = s.db.Images.Update(ctx, old, "target")
	return true, err
}

// keepDangling records an image under no name if r is its only record.
func (s *Store) keepDangling(ctx context.Context, r images.Image) error {
	others, err := s.db.Images.List(ctx, "target.digest=="+r.Target.Digest.String())
	if err != nil || len(others) > 1 {
		return err
	}
	return s.createDangling(ctx, r.Target)
}

// keepUnnamed records a new image that comes without a name, unless it has one.
func (s *Store) keepUnnamed(ctx context.Context, target ocispec.Descriptor) error {
	others, err := s.db.Images.List(ctx, "target.digest=="+target.Digest.String())
	if err != nil || len(others) > 0 {
		return err
	}
	return s.createDangling(ctx, target)
}

func (s *Store) createDangling(ctx context.Context, target ocispec.Descriptor) error {
	_, err := s.db.Images.Create(ctx, images.Image{Name: danglingName(target.Digest), Target: bare(target)})
	if errdefs.IsAlreadyExists(err) {
		return nil
	}
	return err
}

// abandon removes what a failed pull has brought, and waits for it.
func (s *Store) abandon(ctx context.Context, cause error, list []leases.Lease) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if mount.Full(cause) {
		s.db.FreeBallast()
	}
	for _, l := range list {
		if err := s.db.Leases.Delete(ctx, l); err != nil && !errdefs.IsNotFound(err) {
			s.log.Warn("cannot end the lease of a failed pull", "error", err)
		}
	}
	if err := s.db.CollectNow(ctx); err != nil {
		s.log.Warn("cannot wait for the removal of a failed pull", "error", err)
	}
}
