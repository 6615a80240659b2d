package compose

import (
	"context"
	"strings"

	"github.com/docker/compose/v5/pkg/api"
	"github.com/moby/moby/client"
)

// leftMark is in the name of a container whose successor is not ready, before its
// own id.
const leftMark = "-replaced-"

// left is for a container that an update which was killed has left beside its
// successor. Compose would stop one of the two at once; the successor is to be
// ready first.
func (r *rolling) left(ctx context.Context, id string) error {
	is, err := r.APIClient.ContainerInspect(ctx, id, client.ContainerInspectOptions{})
	if err != nil {
		return err
	}
	c := is.Container
	name, mark, ok := strings.Cut(strings.TrimPrefix(c.Name, "/"), leftMark)
	if !ok || !strings.HasPrefix(c.ID, mark) || c.Config == nil {
		return nil
	}
	next, err := r.APIClient.ContainerInspect(ctx, name, client.ContainerInspectOptions{})
	if err != nil || !next.Container.State.Running {
		return nil // there is nothing to wait for
	}
	p, why := r.plan.of(c.Config.Labels[api.ServiceLabel], c.HostConfig, nil)
	if why != "" {
		return nil
	}
	if err := r.ready(ctx, next.Container.ID, p); err != nil {
		return err
	}
	r.report("Container %s: the new one, which an earlier update started, is ready", name)
	return drain(ctx, r.APIClient, c.ID, p.drain)
}
