package api

import (
	"context"
	"net/http"
	"slices"

	"github.com/berth-engine/berth/hub/autobuild"
	"github.com/berth-engine/berth/hub/mirror"
	"github.com/berth-engine/berth/hub/retention"
	"github.com/berth-engine/berth/hub/webhook"
)

// webhookRoutes are for repositories and namespaces.
var webhookRoutes = []route{
	{"GET webhooks", func(c *call) (any, error) { return c.Webhooks.List(c.ctx(), c.by, c.at) }},
	{"POST webhooks", createHook},
	{"GET webhooks/*", func(c *call) (any, error) { return c.Webhooks.Get(c.ctx(), c.by, c.at, c.args[0]) }},
	{"PUT webhooks/*", updateHook},
	{"DELETE webhooks/*", func(c *call) (any, error) { return nil, c.Webhooks.Remove(c.ctx(), c.by, c.at, c.args[0]) }},
	{"POST webhooks/*/ping", func(c *call) (any, error) { return c.Webhooks.Ping(c.ctx(), c.by, c.at, c.args[0]) }},
	{"GET webhooks/*/deliveries", func(c *call) (any, error) {
		return c.Webhooks.Deliveries(c.ctx(), c.by, c.at, c.args[0], c.r.URL.Query().Get("before"))
	}},
	{"GET webhooks/*/deliveries/*", func(c *call) (any, error) {
		return c.Webhooks.Delivery(c.ctx(), c.by, c.at, c.args[0], c.args[1])
	}},
	{"POST webhooks/*/deliveries/*/redeliver", func(c *call) (any, error) {
		return c.Webhooks.Redeliver(c.ctx(), c.by, c.at, c.args[0], c.args[1])
	}},
}

var repositoryRoutes = slices.Concat(catalogRoutes, grantRoutes, webhookRoutes, []route{
	{"GET retention", func(c *call) (any, error) { return c.Retention.Get(c.ctx(), c.by, c.at.Repository) }},
	{"PUT retention", setRetention},
	{"POST retention/plan", planRetention},
	{"POST retention/apply", func(c *call) (any, error) { return c.Retention.Apply(c.ctx(), c.by, c.at.Repository) }},
	{"GET builds", func(c *call) (any, error) { return c.Builds.Builds(c.ctx(), c.by, c.at.Repository) }},
	{"GET builds/source", func(c *call) (any, error) { return c.Builds.Source(c.ctx(), c.by, c.at.Repository) }},
	{"PUT builds/source", setSource},
	{"DELETE builds/source", func(c *call) (any, error) { return nil, c.Builds.RemoveSource(c.ctx(), c.by, c.at.Repository) }},
	{"GET builds/*", func(c *call) (any, error) { return c.Builds.Build(c.ctx(), c.by, c.at.Repository, c.args[0]) }},
	{"GET builds/*/log", buildLog},
	{"POST builds/*/cancel", func(c *call) (any, error) { return nil, c.Builds.Cancel(c.ctx(), c.by, c.at.Repository, c.args[0]) }},
	{"POST builds/*/rebuild", func(c *call) (any, error) { return c.Builds.Rebuild(c.ctx(), c.by, c.at.Repository, c.args[0]) }},
})

var namespaceRoutes = slices.Concat(spaceRoutes, grantRoutes, webhookRoutes)

var hubRoutes = slices.Concat(accountRoutes, []route{
	{"GET gc", func(c *call) (any, error) { return c.GC.Reports(c.ctx(), c.by) }},
	{"GET gc/*", func(c *call) (any, error) { return c.GC.Get(c.ctx(), c.by, c.args[0]) }},
	{"POST gc", collect},
	{"GET mirrors", func(c *call) (any, error) { return c.Mirrors.List(c.ctx(), c.by) }},
	{"POST mirrors", createMirror},
	{"GET mirrors/*", func(c *call) (any, error) { return c.Mirrors.Get(c.ctx(), c.by, c.args[0]) }},
	{"PUT mirrors/*", updateMirror},
	{"DELETE mirrors/*", func(c *call) (any, error) { return nil, c.Mirrors.Remove(c.ctx(), c.by, c.args[0]) }},
})

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
	h, secret, err := c.Webhooks.Create(c.ctx(), c.by, c.at, spec)
	return withSecret[webhook.Hook]{h, secret}, err
}

func updateHook(c *call) (any, error) {
	var spec webhook.Spec
	if err := c.read(&spec); err != nil {
		return nil, err
	}
	return c.Webhooks.Update(c.ctx(), c.by, c.at, c.args[0], spec)
}

func setRetention(c *call) (any, error) {
	var p retention.Policy
	if err := c.read(&p); err != nil {
		return nil, err
	}
	return nil, c.Retention.Set(c.ctx(), c.by, c.at.Repository, p)
}

func planRetention(c *call) (any, error) {
	var p retention.Policy
	if err := c.read(&p); err != nil {
		return nil, err
	}
	return c.Retention.Plan(c.ctx(), c.by, c.at.Repository, p)
}

func setSource(c *call) (any, error) {
	var spec autobuild.Spec
	if err := c.read(&spec); err != nil {
		return nil, err
	}
	src, secret, err := c.Builds.SetSource(c.ctx(), c.by, c.at.Repository, spec)
	return withSecret[autobuild.Source]{src, secret}, err
}

// buildLog streams; once it has begun, an error can only break it off.
func buildLog(c *call) (any, error) {
	if _, err := c.Builds.Build(c.ctx(), c.by, c.at.Repository, c.args[0]); err != nil {
		return nil, err
	}
	h := c.w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	out := http.NewResponseController(c.w)
	ctx, cancel := context.WithCancel(c.ctx())
	defer cancel()
	go func() {
		select {
		case <-c.stop:
			cancel()
		case <-ctx.Done():
		}
	}()
	follow := c.r.URL.Query().Get("follow") == "1"
	err := c.Builds.WriteLog(ctx, c.by, c.at.Repository, c.args[0], follow, c.w, out.Flush)
	if err != nil && ctx.Err() == nil {
		c.Log.ErrorContext(c.ctx(), "api: build log", "build", c.args[0], "error", err)
		panic(http.ErrAbortHandler)
	}
	return done{}, nil
}

func collect(c *call) (any, error) {
	var how struct {
		DryRun bool `json:"dry_run"`
	}
	if err := c.read(&how); err != nil {
		return nil, err
	}
	r, err := c.GC.Begin(c.ctx(), c.by, how.DryRun)
	return accepted{r}, err
}

func createMirror(c *call) (any, error) {
	var spec mirror.Spec
	if err := c.read(&spec); err != nil {
		return nil, err
	}
	return c.Mirrors.Create(c.ctx(), c.by, spec)
}

func updateMirror(c *call) (any, error) {
	var spec mirror.Spec
	if err := c.read(&spec); err != nil {
		return nil, err
	}
	return c.Mirrors.Update(c.ctx(), c.by, c.args[0], spec)
}
