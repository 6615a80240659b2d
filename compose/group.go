package compose

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/moby/moby/client"
)

// What becomes of an update one of whose containers failed.
const (
	onFailurePause    = "pause"    // it stops there
	onFailureContinue = "continue" // the others go on
	onFailureRollback = "rollback" // those that were updated become what they were
)

// group is the update of one service: so many of its containers at a time.
type group struct {
	slots chan struct{}
	wait  sync.WaitGroup

	mu    sync.Mutex
	begun int
	kept  []*replaced // old ones that were stopped, for a rollback
	errs  []error
	// untold says that Compose does not know of errs.
	untold bool
}

func (g *group) failed() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return errors.Join(g.errs...)
}

func (g *group) fail(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.errs = append(g.errs, err)
}

// enter returns x's group, and whether x is the last of it to begin. Compose has
// created all of a service's containers before it starts the first.
func (r *rolling) enter(x *replaced) (g *group, last bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if g = r.groups[x.service]; g == nil {
		g = &group{slots: make(chan struct{}, x.policy.parallelism)}
		r.groups[x.service] = g
	}
	x.begun = true
	for _, other := range r.next {
		if other.service == x.service && !other.begun {
			return g, false
		}
	}
	return g, true
}

// begin starts x.next when its group has room, and goes on while it gets ready
// and takes its place.
func (r *rolling) begin(ctx context.Context, x *replaced, o client.ContainerStartOptions) error {
	g, last := r.enter(x)
	if err := r.start(ctx, g, x, o); err != nil {
		g.fail(fmt.Errorf("%s stays as it was: %w", x.name, errors.Join(err, r.undo(ctx, x))))
	}
	if last {
		g.wait.Wait()
	}
	if x.policy.onFailure == onFailureContinue {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.untold = true // rest tells
		return nil
	}
	return g.failed()
}

var errOthers = errors.New("another container of the service failed")

// start waits for x's turn and starts it; what follows runs beside.
func (r *rolling) start(ctx context.Context, g *group, x *replaced, o client.ContainerStartOptions) error {
	if err := r.pause(ctx, g, x); err != nil {
		return err
	}
	select {
	case g.slots <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	release := func() { <-g.slots }
	if x.policy.onFailure != onFailureContinue && g.failed() != nil {
		release()
		return errOthers
	}
	if _, err := r.APIClient.ContainerStart(ctx, x.next, o); err != nil {
		release()
		return err
	}
	g.wait.Go(func() {
		defer release()
		if err := r.turn(ctx, g, x); err != nil {
			g.fail(err)
		}
	})
	return nil
}

// pause is what the service wants between two containers, or as many as it has
// replaced at a time.
func (r *rolling) pause(ctx context.Context, g *group, x *replaced) error {
	g.mu.Lock()
	g.begun++
	first := g.begun <= x.policy.parallelism
	g.mu.Unlock()
	if first || x.policy.delay == 0 {
		return nil
	}
	return sleep(ctx, x.policy.delay)
}

// rest ends the update: what was begun and not brought to an end, because Compose
// gave up, is undone; a service that failed and wants it is rolled back; and what
// was kept for that is removed. It returns what Compose was not told.
func (r *rolling) rest(ctx context.Context) error {
	r.mu.Lock()
	groups := maps.Clone(r.groups)
	r.mu.Unlock()
	var errs []error
	for _, g := range groups {
		g.wait.Wait()
	}
	r.mu.Lock()
	left := slices.Collect(maps.Values(r.old))
	r.mu.Unlock()
	for _, x := range left {
		if !x.served {
			errs = append(errs, r.undo(ctx, x))
		}
	}
	for _, g := range groups {
		failed := g.failed()
		for _, x := range slices.Backward(g.kept) {
			if failed != nil {
				errs = append(errs, r.back(ctx, x))
			} else {
				errs = append(errs, r.discard(ctx, x))
			}
		}
		if g.untold {
			errs = append(errs, failed)
		}
	}
	return errors.Join(errs...)
}
