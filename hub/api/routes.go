package api

import (
	"context"
	"net/http"
	"slices"

	"github.com/berth-engine/berth/hub/autobuild"
	"github.com/berth-engine/berth/hub/catalog"
	"github.com/berth-engine/berth/hub/mirror"
	"github.com/berth-engine/berth/hub/retention"
	"github.com/berth-engine/berth/hub/webhook"
	"github.com/containerd/errdefs"
)

// webhookRoutes are for repositories and namespaces.
var webhookRoutes = []route{
	{"GET webhooks", catalog.Admin, "", func(c *call) (any, error) { return c.Webhooks.List(c.r.Context(), c.owner) }},
	{"POST webhooks", catalog.Admin, "webhook.create", createHook},
	{"GET webhooks/*", catalog.Admin, "", func(c *call) (any, error) { return c.Webhooks.Get(c.r.Context(), c.owner, c.args[0]) }},
	{"PUT webhooks/*", catalog.Admin, "webhook.update", updateHook},
	{"DELETE webhooks/*", catalog.Admin, "webhook.delete", func(c *call) (any, error) {
		return nil, c.Webhooks.Remove(c.r.Context(), c.owner, c.args[0])
	}},
	{"POST webhooks/*/ping", catalog.Admin, "webhook.ping", func(c *call) (any, error) {
		return c.Webhooks.Ping(c.r.Context(), c.owner, c.args[0], c.named, c.by.Name)
	}},
	{"GET webhooks/*/deliveries", catalog.Admin, "", func(c *call) (any, error) {
		return c.Webhooks.Deliveries(c.r.Context(), c.owner, c.args[0], c.r.URL.Query().Get("before"))
	}},
	{"GET webhooks/*/deliveries/*", catalog.Admin, "", func(c *call) (any, error) {
		return c.Webhooks.Delivery(c.r.Context(), c.owner, c.args[0], c.args[1])
	}},
	{"POST webhooks/*/deliveries/*/redeliver", catalog.Admin, "webhook.redeliver", func(c *call) (any, error) {
		return c.Webhooks.Redeliver(c.r.Context(), c.owner, c.args[0], c.args[1])
	}},
}

var repositoryRoutes = slices.Concat(webhookRoutes, []route{
	{"GET retention", catalog.Write, "", func(c *call) (any, error) { return c.Retention.Get(c.r.Context(), c.repo.ID) }},
	{"PUT retention", catalog.Admin, "retention.set", setRetention},
	{"POST retention/plan", catalog.Write, "", planRetention},
	{"POST retention/apply", catalog.Admin, "retention.apply", func(c *call) (any, error) { return c.Retention.Apply(c.r.Context(), c.repo) }},
	{"GET builds", catalog.Write, "", func(c *call) (any, error) { return c.Builds.Builds(c.r.Context(), c.repo.ID) }},
	{"GET builds/source", catalog.Write, "", func(c *call) (any, error) { return c.Builds.Source(c.r.Context(), c.repo.ID) }},
	{"PUT builds/source", catalog.Admin, "build.source", setSource},
	{"DELETE builds/source", catalog.Admin, "build.source.delete", func(c *call) (any, error) { return nil, c.Builds.RemoveSource(c.r.Context(), c.repo.ID) }},
	{"GET builds/*", catalog.Write, "", func(c *call) (any, error) { return c.Builds.Build(c.r.Context(), c.repo.ID, c.args[0]) }},
	{"GET builds/*/log", catalog.Write, "", buildLog},
	{"POST builds/*/cancel", catalog.Write, "build.cancel", func(c *call) (any, error) { return nil, c.Builds.Cancel(c.r.Context(), c.repo.ID, c.args[0]) }},
	{"POST builds/*/rebuild", catalog.Write, "build.rebuild", func(c *call) (any, error) {
		return c.Builds.Rebuild(c.r.Context(), c.repo.ID, c.args[0], c.by.Name)
	}},
	{"GET tags/*/history", catalog.Read, "", func(c *call) (any, error) { return c.Catalog.History(c.r.Context(), c.repo, c.args[0], 0) }},
	// The catalogue writes these two to the audit log itself.
	{"POST tags/*/restore", catalog.Write, "", restore},
	{"POST rename", catalog.Admin, "", rename},
})

var hubRoutes = []route{
	{"GET gc", 0, "", func(c *call) (any, error) { return c.GC.Reports(c.r.Context()) }},
	{"POST gc", 0, "gc", collect},
	{"GET mirrors", 0, "", func(c *call) (any, error) { return c.Mirrors.List(c.r.Context()) }},
	{"POST mirrors", 0, "mirror.create", createMirror},
	{"GET mirrors/*", 0, "", func(c *call) (any, error) { return c.Mirrors.Get(c.r.Context(), c.args[0]) }},
	{"PUT mirrors/*", 0, "mirror.update", updateMirror},
	{"DELETE mirrors/*", 0, "mirror.delete", func(c *call) (any, error) { return nil, c.Mirrors.Remove(c.r.Context(), c.args[0]) }},
}

// withSecret is an answer that shows a secret, this once.
type withSecret[T any] struct {
	Value  T      `json:"value"`
	Secret string `json:"secret,omitempty"`
}

func createHook(c *call) (any, error) {
	var spec webhook.Spec
	if err := c.read(&spec); err != nil {
		return nil, err
	}
	h, secret, err := c.Webhooks.Create(c.r.Context(), c.owner, spec)
	return withSecret[webhook.Hook]{h, secret}, err
}

func updateHook(c *call) (any, error) {
	var spec webhook.Spec
	if err := c.read(&spec); err != nil {
		return nil, err
	}
	return c.Webhooks.Update(c.r.Context(), c.owner, c.args[0], spec)
}

func setRetention(c *call) (any, error) {
	var p retention.Policy
	if err := c.read(&p); err != nil {
		return nil, err
	}
	return nil, c.Retention.Set(c.r.Context(), c.repo.ID, p)
}

func planRetention(c *call) (any, error) {
	var p retention.Policy
	if err := c.read(&p); err != nil {
		return nil, err
	}
	return c.Retention.Plan(c.r.Context(), c.repo, p)
}

func setSource(c *call) (any, error) {
	var spec autobuild.Spec
	if err := c.read(&spec); err != nil {
		return nil, err
	}
	src, secret, err := c.Builds.SetSource(c.r.Context(), c.repo.ID, spec)
	return withSecret[autobuild.Source]{src, secret}, err
}

// buildLog streams; once it has begun, an error can only break it off.
func buildLog(c *call) (any, error) {
	if _, err := c.Builds.Build(c.r.Context(), c.repo.ID, c.args[0]); err != nil {
		return nil, err
	}
	h := c.w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	out := http.NewResponseController(c.w)
	ctx, cancel := context.WithCancel(c.r.Context())
	defer cancel()
	go func() {
		select {
		case <-c.stop:
			cancel()
		case <-ctx.Done():
		}
	}()
	follow := c.r.URL.Query().Get("follow") == "1"
	err := c.Builds.WriteLog(ctx, c.repo.ID, c.args[0], follow, c.w, out.Flush)
	if err != nil && ctx.Err() == nil {
		c.Log.ErrorContext(c.r.Context(), "api: build log", "build", c.args[0], "error", err)
		panic(http.ErrAbortHandler)
	}
	return done{}, nil
}

func restore(c *call) (any, error) {
	var to struct {
		Digest string `json:"digest"`
	}
	if err := c.read(&to); err != nil {
		return nil, err
	}
	change, err := c.Catalog.Retag(c.r.Context(), c.by, c.repo.Name, c.args[0], to.Digest, catalog.Restore)
	if err != nil {
		return nil, err
	}
	c.Webhooks.Poke()
	return map[string]string{"tag": change.Tag, "digest": change.Digest, "previous": change.Previous}, nil
}

func rename(c *call) (any, error) {
	var to struct {
		To string `json:"to"`
	}
	if err := c.read(&to); err != nil {
		return nil, err
	}
	return nil, c.Catalog.Rename(c.r.Context(), c.by, c.repo.Name, to.To)
}

func collect(c *call) (any, error) {
	var how struct {
		DryRun bool `json:"dry_run"`
	}
	if err := c.read(&how); err != nil {
		return nil, err
	}
	return c.GC.Collect(c.r.Context(), how.DryRun)
}

func createMirror(c *call) (any, error) {
	spec, err := c.mirror("")
	if err != nil {
		return nil, err
	}
	return c.Mirrors.Create(c.r.Context(), spec)
}

func updateMirror(c *call) (any, error) {
	spec, err := c.mirror(c.args[0])
	if err != nil {
		return nil, err
	}
	return c.Mirrors.Update(c.r.Context(), c.args[0], spec)
}

// mirror reads a mirror's specification. Its prefix must not be somebody's
// name: their repositories would be hidden behind the upstream's.
func (c *call) mirror(id string) (spec mirror.Spec, err error) {
	if err := c.read(&spec); err != nil {
		return spec, err
	}
	if spec.Prefix == "" {
		return spec, nil
	}
	_, err = c.Accounts.Namespace(c.r.Context(), spec.Prefix)
	switch {
	case errdefs.IsNotFound(err):
		return spec, nil
	case err != nil:
		return spec, err
	}
	if id != "" {
		if m, err := c.Mirrors.Get(c.r.Context(), id); err == nil && m.Prefix == spec.Prefix {
			return spec, nil // the name was taken later; the mirror goes on
		}
	}
	return spec, errdefs.ErrFailedPrecondition.WithMessage("the namespace " + spec.Prefix + " belongs to somebody: choose another prefix")
}
