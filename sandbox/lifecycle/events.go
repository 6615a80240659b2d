package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/containerd/errdefs"

	"github.com/berth-engine/berth/kernel/cgroup"
)

// Stats returns the counters of a container once.
func (r *Root) Stats(id string) (*Event, error) {
	c, g, err := r.counted(id)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.stats(g)
}

// Events tells of every kill for want of memory, and of the counters at each
// interval, until the container ends or tell returns an error.
func (r *Root) Events(ctx context.Context, id string, interval time.Duration, tell func(*Event) error) error {
	c, g, err := r.counted(id)
	if err != nil {
		return err
	}
	defer c.Close()
	ctx, cancel := context.WithCancel(ctx)
	watcher, err := cgroup.NewOOMWatcher()
	if err != nil {
		cancel()
		return err
	}
	listening := make(chan error, 1)
	go func() { listening <- watcher.Run(ctx) }()
	defer func() {
		cancel()
		<-listening
	}()
	seen, err := g.OOMKills() // of those, who asked before has heard
	if err != nil {
		return err
	}
	watch, err := watcher.Watch(g, seen)
	if err != nil {
		return err
	}
	ended, err := c.ended()
	if err != nil {
		return err
	}
	ticks := time.NewTicker(interval)
	defer ticks.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-listening:
			listening <- nil // for the deferred function
			return err
		case <-ended:
			return c.tellKills(watch.Look(), tell)
		case <-watch.Ready():
			err = c.tellKills(watch.Take(), tell)
		case <-ticks.C:
			var e *Event
			if e, err = c.stats(g); err == nil {
				err = tell(e)
			} else if errdefs.IsNotFound(err) {
				return nil // deleted meanwhile
			}
		}
		if err != nil {
			return err
		}
	}
}

func (c *Container) tellKills(kills []cgroup.OOMKill, tell func(*Event) error) error {
	var errs []error
	for range kills {
		errs = append(errs, tell(&Event{Type: "oom", ID: c.ID}))
	}
	return errors.Join(errs...)
}

// counted finds a container that has counters.
func (r *Root) counted(id string) (*Container, *cgroup.Group, error) {
	c, err := r.Load(id)
	if err != nil {
		return nil, nil, err
	}
	status, err := c.Status()
	if err == nil && status == Stopped {
		err = fmt.Errorf("container with id %s is not running: %w", id, errdefs.ErrFailedPrecondition)
	}
	var g *cgroup.Group
	if err == nil {
		g, err = c.group()
	}
	if err != nil {
		c.Close()
		return nil, nil, err
	}
	return c, g, nil
}

// ended returns a channel that is closed at the end of process 1. Its goroutine
// ends with that, or with the program.
func (c *Container) ended() (<-chan struct{}, error) {
	p, err := c.process()
	if err != nil {
		return nil, err
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer p.Close()
		for {
			if waitEnd(p, time.Hour) == nil {
				return
			}
		}
	}()
	return done, nil
}
