package compose

import (
	"context"
	"fmt"
	"maps"
	"strings"

	"github.com/docker/compose/v5/pkg/api"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
)

// leftMark is in the name of a container whose successor is not ready, before its
// own id.
const leftMark = "-replaced-"

// unnamedPattern matches the names of containers that Compose has created in place
// of others, as long as those have theirs: the beginning of the other's id, and
// its name.
const unnamedPattern = "^/?[0-9a-f]{12}_"

// mend ends what an update that was killed has left of the project, or undoes it.
// It comes before Compose looks at the containers: of two with one number Compose
// would make two new ones under one name, or remove the one that serves; and one
// that has not got its name it would leave without.
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
	for name, c := range maps.Clone(by) {
		if err := r.mendUnnamed(ctx, name, c, by); err != nil {
			return fmt.Errorf("end the earlier update that made %s: %w", name, err)
		}
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

// mendUnnamed removes a container that was created and not started while the one
// that it was to replace is there; when that is gone, it gets its name. by is all
// of the project's, by name.
func (r *rolling) mendUnnamed(ctx context.Context, name string, c container.Summary, by map[string]container.Summary) error {
	old, own := unnamed(name, c.Labels)
	if own == "" {
		return nil
	}
	for _, other := range by {
		if !strings.HasPrefix(other.ID, old) {
			continue
		}
		if c.State != container.StateCreated {
			return nil
		}
		r.report("Container %s, which an earlier update made and did not start, is removed", name)
		delete(by, name)
		return r.removeLeft(ctx, c.ID)
	}
	if _, taken := by[own]; taken {
		return nil
	}
	r.report("Container %s, which an earlier update made, gets its name", own)
	delete(by, name)
	by[own] = c
	return r.rename(ctx, c.ID, own)
}

// unnamed is what the id of the container begins with that one is to replace, and
// the name that it gets then; "" both when it has its name.
func unnamed(name string, labels map[string]string) (old, own string) {
	replaces := labels[api.ContainerReplaceLabel] // a container_name, or what ends a name that Compose made
	old, own, ok := strings.Cut(name, "_")
	if !ok || len(old) != 12 || strings.Trim(old, "0123456789abcdef") != "" || replaces == "" || replaces == name || !strings.HasSuffix(own, replaces) {
		return "", ""
	}
	return old, own
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

// anyLeft reports whether there may be something to mend: an old container by
// another name than its own, or a new one without its name. Why an engine does not
// answer, what is asked of it next tells.
func anyLeft(ctx context.Context, c client.APIClient) bool {
	list, err := c.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: make(client.Filters).Add("name", leftMark, unnamedPattern)})
	return err == nil && len(list.Items) > 0
}
