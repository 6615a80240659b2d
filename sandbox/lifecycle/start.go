package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/containerd/errdefs"

	"github.com/berth-engine/berth/kernel/task"
	"github.com/berth-engine/berth/sandbox/stage"
)

// Start lets a created container execute its program. The error is a
// *stage.ExecError if that cannot be executed; the container is stopped then.
func (r *Root) Start(ctx context.Context, id string) error {
	c, err := r.hold(id)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := ctx.Err(); err != nil {
		return err
	}
	status, err := c.Status()
	if err != nil {
		return err
	}
	switch status {
	case Created:
	case Stopped:
		return fmt.Errorf("cannot start a container that has stopped: %w", errdefs.ErrFailedPrecondition)
	case Running:
		return fmt.Errorf("cannot start an already running container: %w", errdefs.ErrFailedPrecondition)
	default:
		return fmt.Errorf("cannot start a container in the %s state: %w", status, errdefs.ErrFailedPrecondition)
	}
	conn, err := task.Dial(c.path(startFile), 0)
	if err != nil {
		return fmt.Errorf("start container %s: %w", id, err)
	}
	defer conn.Close()
	if err := stage.StartOver(conn); err != nil {
		return err
	}
	if err := c.started(); err != nil {
		return err
	}
	if err := c.unlock(); err != nil { // hooks may use this program
		return err
	}
	if err := c.poststart(ctx); err != nil {
		return errors.Join(err, c.end())
	}
	return nil
}

// started marks a container whose program runs.
func (c *Container) started() error {
	err := os.Remove(c.path(startFile))
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return err
}
