package compose

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
)

// undoPatience bounds the undoing of an update that failed or was interrupted.
const undoPatience = time.Minute

// turn waits until x.next, which was started, is ready, and takes x.old out:
// first out of the published ports, then, when its connections have ended,
// altogether, or until the service's update has ended when that may be rolled
// back. When x.next does not get ready it is removed, and x.old is what it was.
func (r *rolling) turn(ctx context.Context, g *group, x *replaced) error {
	begin := time.Now()
	if err := r.ready(ctx, x.next, x.policy); err != nil {
		return fmt.Errorf("%s stays as it was: the new container %w", x.name, errors.Join(err, r.undo(ctx, x)))
	}
	r.report("Container %s: the new one was ready after %s", x.name, time.Since(begin).Round(10*time.Millisecond))
	// From here on the new one serves; the old one only has to go.
	if err := drain(ctx, r.APIClient, x.old, x.policy.drain); err != nil {
		r.forget(x)
		return err
	}
	if _, err := r.APIClient.ContainerStop(ctx, x.old, x.stop); err != nil {
		r.forget(x)
		return err
	}
	if x.policy.onFailure == onFailureRollback {
		g.mu.Lock()
		defer g.mu.Unlock()
		x.served = true
		g.kept = append(g.kept, x)
		return nil
	}
	return r.discard(ctx, x)
}

// discard removes an old container that has stopped.
func (r *rolling) discard(ctx context.Context, x *replaced) error {
	defer r.forget(x)
	_, err := r.APIClient.ContainerRemove(ctx, x.old, x.remove)
	return err
}

// back has an old container serve again in place of the new one, without a gap,
// too. When it does not get ready any more, the new one goes on.
func (r *rolling) back(ctx context.Context, x *replaced) error {
	defer r.forget(x)
	_, err := r.APIClient.ContainerStart(ctx, x.old, client.ContainerStartOptions{})
	if err != nil {
		err = fmt.Errorf("cannot be started: %w", err)
	} else {
		err = r.ready(ctx, x.old, x.policy)
	}
	if err != nil {
		_, stopped := r.APIClient.ContainerStop(ctx, x.old, x.stop)
		return fmt.Errorf("%s cannot be rolled back, the new one goes on: the old container %w", x.name, errors.Join(err, stopped))
	}
	if err := drain(ctx, r.APIClient, x.next, x.policy.drain); err != nil {
		return err
	}
	if _, err := r.APIClient.ContainerStop(ctx, x.next, x.stop); err != nil {
		return err
	}
	if _, err := r.APIClient.ContainerRemove(ctx, x.next, client.ContainerRemoveOptions{Force: true}); err != nil {
		return err
	}
	_, err = r.APIClient.ContainerRename(ctx, x.old, client.ContainerRenameOptions{NewName: x.name})
	if err == nil {
		r.report("Container %s: rolled back", x.name)
	}
	return err
}

// ready returns when a container has its turn and has kept it for as long as the
// service wants it to be watched. Its error is what there is to say of the
// container.
func (r *rolling) ready(ctx context.Context, id string, p policy) error {
	ctx, cancel := context.WithTimeoutCause(ctx, p.patience, fmt.Errorf("was not ready within %s", p.patience))
	defer cancel()
	var since time.Time
	for {
		is, err := isReady(ctx, r.APIClient, id)
		switch {
		case context.Cause(ctx) != nil:
			return notReady(ctx)
		case err != nil:
			return err
		case !is:
			since = time.Time{}
		case since.IsZero():
			since = time.Now()
		}
		if is && time.Since(since) >= p.monitor {
			return nil
		}
		if err := sleep(ctx, 50*time.Millisecond); err != nil {
			return notReady(ctx)
		}
	}
}

// notReady says why nobody waits any more: its patience is over, or the command
// was interrupted.
func notReady(ctx context.Context) error {
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return fmt.Errorf("was not waited for: %w", context.Canceled)
}

// isReady is an error when the container cannot become ready any more. Without
// published ports or a health check, ready is who runs.
func isReady(ctx context.Context, c client.APIClient, id string) (bool, error) {
	is, err := c.ContainerInspect(ctx, id, client.ContainerInspectOptions{})
	if err != nil {
		return false, fmt.Errorf("cannot be looked at: %w", err)
	}
	state := is.Container.State
	switch {
	case !state.Running:
		return false, fmt.Errorf("ended with status %d: see `logs %s`", state.ExitCode, is.Container.Name[1:])
	case state.Health != nil && state.Health.Status == container.Unhealthy:
		return false, fmt.Errorf("is unhealthy: %s", lastCheck(state.Health))
	case state.Health != nil && state.Health.Status != container.Healthy && state.Health.Status != container.NoHealthcheck:
		return false, nil
	}
	turn, err := turnOf(ctx, c, id)
	if errdefs.IsConflict(err) { // no published ports
		return true, nil
	}
	if err != nil {
		err = fmt.Errorf("cannot be asked for its turn: %w", err)
	}
	return turn == turnReady, err
}

func lastCheck(h *container.Health) string {
	if n := len(h.Log); n > 0 {
		return fmt.Sprintf("its check ended with status %d: %.200s", h.Log[n-1].ExitCode, h.Log[n-1].Output)
	}
	return "its check failed"
}

// undo removes the new container and gives the old one its name back.
func (r *rolling) undo(ctx context.Context, x *replaced) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoPatience)
	defer cancel()
	defer r.forget(x)
	_, err := r.APIClient.ContainerRemove(ctx, x.next, client.ContainerRemoveOptions{Force: true, RemoveVolumes: false})
	if err != nil {
		return err
	}
	_, err = r.APIClient.ContainerRename(ctx, x.old, client.ContainerRenameOptions{NewName: x.name})
	return err
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
