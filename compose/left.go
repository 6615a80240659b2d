package compose

import (
	"context"
	"fmt"
	"strings"

	"github.com/docker/compose/v5/pkg/api"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
)

// leftMark is in the name of a container whose successor is not ready, before its
// own id.
const leftMark = "-replaced-"

// mend ends what an update that was killed has left of the project, or undoes it.
// It comes before Compose looks at the containers: of two with one number Compose
// would make two new ones under one name, or remove the one that serves.
func (r *rolling) mend(ctx context.Context, project string) error {
	list, err := r.APIClient.ContainerList(ctx, client.ContainerListOptions{
		All: true, Filters: make(client.Filters).Add("label", api.ProjectLabel+"="+project),
	})
	if err != nil {
		return err
	}
	by := map[string]container.Summary{}
	for _, c := range list.Items {
		for _, name := range c.Names {
			by[strings.TrimPrefix(name, "/")] = c
		}
	}
	for name, c := range by {
		if !unnamed(name, c, list.Items) {
			continue
		}
		r.report("Container %s, which an earlier update made and did not start, is removed", name)
		if _, err := r.APIClient.ContainerRemove(ctx, c.ID, client.ContainerRemoveOptions{Force: true}); err != nil {
			return err
		}
		delete(by, name)
	}
	for left, c := range by {
		name, mark, ok := strings.Cut(left, leftMark)
		if !ok || mark == "" || !strings.HasPrefix(c.ID, mark) {
			continue
		}
		if err := r.mendOne(ctx, name, c, by[name]); err != nil {
			return fmt.Errorf("end the earlier update of %s: %w", name, err)
		}
	}
	return nil
}

// unnamed reports whether a container is one that Compose had created and not yet
// given its name when it was killed, beside the one that it was to replace.
func unnamed(name string, c container.Summary, all []container.Summary) bool {
	prefix, _, ok := strings.Cut(name, "_")
	if !ok || len(prefix) != 12 || c.State != container.StateCreated || c.Labels[api.ContainerReplaceLabel] == "" {
		return false
	}
	for _, other := range all {
		if strings.HasPrefix(other.ID, prefix) {
			return true
		}
	}
	return false
}

// mendOne is for an old container that goes by another name than its own, and
// next, which has that name, if there is one: when next runs and gets ready it
// takes the old one's place; otherwise the old one is what it was.
func (r *rolling) mendOne(ctx context.Context, name string, old, next container.Summary) error {
	runs := func(c container.Summary) bool { return c.State == container.StateRunning }
	switch {
	case next.ID == "":
		return r.rename(ctx, old.ID, name)
	case !runs(old): // it was kept for a rollback, or both have been stopped since
		return r.removeLeft(ctx, old.ID)
	case !runs(next):
		r.report("Container %s, which an earlier update did not start, gives way to the one before", name)
		return r.giveWay(ctx, name, old.ID, next.ID)
	}
	p, why := r.plan.of(old.Labels[api.ServiceLabel], nil, nil)
	if why != "" {
		p = policy{patience: defaultPatience, drain: defaultDrain}
	}
	if err := r.ready(ctx, next.ID, p); err != nil {
		r.report("Container %s, which an earlier update started, %v: the one before stays", name, err)
		return r.giveWay(ctx, name, old.ID, next.ID)
	}
	r.report("Container %s: the new one, which an earlier update started, is ready", name)
	if err := drain(ctx, r.APIClient, old.ID, p.drain); err != nil {
		return err
	}
	if _, err := r.APIClient.ContainerStop(ctx, old.ID, client.ContainerStopOptions{}); err != nil {
		return err
	}
	return r.removeLeft(ctx, old.ID)
}

// removeLeft leaves anonymous volumes alone: the successor has them.
func (r *rolling) removeLeft(ctx context.Context, id string) error {
	_, err := r.APIClient.ContainerRemove(ctx, id, client.ContainerRemoveOptions{Force: true})
	return err
}

func (r *rolling) giveWay(ctx context.Context, name, old, next string) error {
	if err := r.removeLeft(ctx, next); err != nil {
		return err
	}
	return r.rename(ctx, old, name)
}

func (r *rolling) rename(ctx context.Context, id, name string) error {
	_, err := r.APIClient.ContainerRename(ctx, id, client.ContainerRenameOptions{NewName: name})
	return err
}

// anyLeft reports whether there is an old container by another name than its own.
// Why an engine does not answer, what is asked of it next tells.
func anyLeft(ctx context.Context, c client.APIClient) bool {
	list, err := c.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: make(client.Filters).Add("name", leftMark)})
	return err == nil && len(list.Items) > 0
}
