package compose

import (
	"context"
	"slices"
	"strings"
	"sync"

	"github.com/docker/compose/v5/pkg/api"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
)

// rolling is a client of the engine by which Compose's own update becomes one
// without a gap. To replace a container Compose creates the new one under a
// name of its own, stops and removes the old one, gives the new one its name
// and, when what it depends on is there, starts it. Here the old one goes on
// under another name until the new one has been started and is ready; then it
// is drained, stopped and removed. Both share the service's published ports
// meanwhile. Everything else is as Compose asks.
type rolling struct {
	client.APIClient
	plan   plan
	report func(format string, args ...any)

	mu     sync.Mutex
	old    map[string]*replaced // by the id of the old container
	next   map[string]*replaced // by the id of the new one
	groups map[string]*group    // by service
}

// replaced is one container and who takes its place.
type replaced struct {
	old, next, service string
	name               string // the old one's
	stop               client.ContainerStopOptions
	remove             client.ContainerRemoveOptions
	policy             policy
	begun              bool // its turn has come
	served             bool // next serves; old has stopped and is kept for a rollback
}

func newRolling(c client.APIClient, p plan, report func(string, ...any)) *rolling {
	return &rolling{
		APIClient: c, plan: p, report: report,
		old: map[string]*replaced{}, next: map[string]*replaced{}, groups: map[string]*group{},
	}
}

// ContainerCreate notices who is to replace whom: Compose labels the new one and
// names it after the old one's id.
func (r *rolling) ContainerCreate(ctx context.Context, o client.ContainerCreateOptions) (client.ContainerCreateResult, error) {
	created, err := r.APIClient.ContainerCreate(ctx, o)
	if err != nil || o.Config == nil || o.Config.Labels[api.ContainerReplaceLabel] == "" {
		return created, err
	}
	prefix, name, ok := strings.Cut(o.Name, "_")
	if !ok {
		return created, nil
	}
	before, err := r.APIClient.ContainerInspect(ctx, prefix, client.ContainerInspectOptions{})
	if err != nil || before.Container.State == nil || !before.Container.State.Running {
		return created, nil // nothing is there to go on
	}
	service := o.Config.Labels[api.ServiceLabel]
	p, why := r.plan.of(service, o.HostConfig, before.Container.Mounts)
	if why != "" {
		r.report("Container %s is stopped before its successor starts: %s", name, why)
		return created, nil
	}
	x := &replaced{old: before.Container.ID, next: created.ID, service: service, name: name, policy: p}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.old[x.old], r.next[x.next] = x, x
	return created, nil
}

// ContainerStop leaves a container running whose successor is not ready.
func (r *rolling) ContainerStop(ctx context.Context, id string, o client.ContainerStopOptions) (client.ContainerStopResult, error) {
	if x := r.replacing(id); x != nil {
		x.stop = o
		return client.ContainerStopResult{}, nil
	}
	return r.APIClient.ContainerStop(ctx, id, o)
}

// ContainerRemove has such a container give up its name alone.
func (r *rolling) ContainerRemove(ctx context.Context, id string, o client.ContainerRemoveOptions) (client.ContainerRemoveResult, error) {
	x := r.replacing(id)
	if x == nil {
		return r.APIClient.ContainerRemove(ctx, id, o)
	}
	x.remove = o
	_, err := r.APIClient.ContainerRename(ctx, id, client.ContainerRenameOptions{NewName: x.name + leftMark + x.old[:12]})
	return client.ContainerRemoveResult{}, err
}

// ContainerList passes over containers that Compose has removed, as it believes.
func (r *rolling) ContainerList(ctx context.Context, o client.ContainerListOptions) (client.ContainerListResult, error) {
	list, err := r.APIClient.ContainerList(ctx, o)
	list.Items = slices.DeleteFunc(list.Items, func(c container.Summary) bool { return r.replacing(c.ID) != nil })
	return list, err
}

// ContainerStart returns when the container is started and, if it replaces
// another, that one's group has room for the next. The last of a group waits for
// all.
func (r *rolling) ContainerStart(ctx context.Context, id string, o client.ContainerStartOptions) (client.ContainerStartResult, error) {
	r.mu.Lock()
	x := r.next[id]
	r.mu.Unlock()
	if x == nil {
		return r.APIClient.ContainerStart(ctx, id, o)
	}
	return client.ContainerStartResult{}, r.begin(ctx, x, o)
}

func (r *rolling) replacing(id string) *replaced {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.old[id]
}

func (r *rolling) forget(x *replaced) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.old, x.old)
	delete(r.next, x.next)
}
