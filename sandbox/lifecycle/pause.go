package lifecycle

import (
	"context"
	"fmt"
	"slices"

	"github.com/containerd/errdefs"
)

// Pause stops all processes of a created or running container.
func (r *Root) Pause(ctx context.Context, id string) error {
	c, err := r.holdIn(id, "pause", Created, Running)
	if err != nil {
		return err
	}
	defer c.Close()
	g, err := c.group()
	if err != nil {
		return err
	}
	return g.Freeze(ctx)
}

// Resume lets the processes of a paused container run on.
func (r *Root) Resume(_ context.Context, id string) error {
	c, err := r.holdIn(id, "resume", Paused)
	if err != nil {
		return err
	}
	defer c.Close()
	g, err := c.group()
	if err != nil {
		return err
	}
	return g.Thaw()
}

// holdIn is hold for a container that must be in one of some states.
func (r *Root) holdIn(id, verb string, wanted ...Status) (*Container, error) {
	c, err := r.hold(id)
	if err != nil {
		return nil, err
	}
	status, err := c.Status()
	switch {
	case err != nil:
	case slices.Contains(wanted, status):
		return c, nil
	case status == Stopped:
		err = fmt.Errorf("cannot %s: %w", verb, errNotRunning)
	default:
		err = fmt.Errorf("cannot %s a container that is %s: %w", verb, status, errdefs.ErrFailedPrecondition)
	}
	c.Close()
	return nil, err
}
