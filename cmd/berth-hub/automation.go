package main

import (
	"context"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"github.com/berth-engine/berth/hub/account"
	"github.com/berth-engine/berth/hub/api"
	"github.com/berth-engine/berth/hub/autobuild"
	"github.com/berth-engine/berth/hub/catalog"
	"github.com/berth-engine/berth/hub/gc"
	"github.com/berth-engine/berth/hub/mirror"
	"github.com/berth-engine/berth/hub/outbound"
	"github.com/berth-engine/berth/hub/registry"
	"github.com/berth-engine/berth/hub/retention"
	"github.com/berth-engine/berth/hub/status"
	"github.com/berth-engine/berth/hub/store"
	"github.com/berth-engine/berth/hub/webhook"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	"github.com/spf13/pflag"
)

// automationOptions are the flags of what the Hub does by itself.
type automationOptions struct {
	allowOutbound, engines []string
	gitCA                  string
	gcEvery, gcGrace       time.Duration
}

func (o *automationOptions) flags(f *pflag.FlagSet) {
	f.StringArrayVar(&o.allowOutbound, "allow-private-outbound", nil, "network or address, not public, that webhooks, mirrors and builds may call (repeatable)")
	f.StringArrayVar(&o.engines, "build-engine", nil, "engine for automated builds (repeatable): NAME=unix:///PATH or NAME=tcp://HOST:PORT, then ,registry=HOST:PORT as it reaches this Hub, ,parallel=N, ,ca=FILE, ,cert=FILE, ,key=FILE")
	f.StringVar(&o.gitCA, "git-ca", "", "file of the authorities (PEM) that the certificates of Git servers are checked against; the default is the system's")
	f.DurationVar(&o.gcEvery, "gc-interval", 24*time.Hour, "how often blobs that nothing refers to are removed; 0 is never")
	f.DurationVar(&o.gcGrace, "gc-grace", time.Hour, "how long a push may take between two of its requests without losing blobs")
}

// automation is what the Hub does by itself, and its interface for programs.
type automation struct {
	webhooks  *webhook.Service
	gate      *gc.Gate
	collector *gc.Collector
	retention *retention.Service
	mirrors   *mirror.Service
	builds    *autobuild.Service
	api       *api.API
}

// automate makes what must be there before the registry is.
func (h *hub) automate(o serveOptions) error {
	policy, err := outbound.ParsePolicy(o.allowOutbound)
	if err != nil {
		return err
	}
	var engines []autobuild.Engine
	for _, text := range o.engines {
		e, err := autobuild.ParseEngine(text)
		if err != nil {
			return err
		}
		if e.Registry == "" {
			e.Registry = reachable(o)
		}
		engines = append(engines, e)
	}
	h.gate = gc.NewGate(h.db, o.gcGrace, nil)
	h.webhooks = webhook.New(webhook.Options{DB: h.db, Catalog: h.catalog, Key: h.key, Policy: policy})
	h.retention = retention.New(retention.Options{DB: h.db, Catalog: h.catalog, Gate: h.gate})
	if h.mirrors, err = mirror.New(mirror.Options{DB: h.db, Catalog: h.catalog, Key: h.key, Policy: policy, Dir: filepath.Join(o.data, "mirror")}); err != nil {
		return err
	}
	h.builds, err = autobuild.New(autobuild.Options{
		DB: h.db, Catalog: h.catalog, Key: h.key, Policy: policy, Dir: filepath.Join(o.data, "git"), GitCA: o.gitCA, Engines: engines,
		Credentials: robots{h}, Ended: h.built,
		Index: func(ctx context.Context, repository string, parts []registry.Part, tags []string) (digest.Digest, error) {
			return h.registry.Index(ctx, account.System("autobuild"), repository, parts, tags)
		},
	})
	if err != nil {
		return err
	}
	h.catalog.OnChange(h.retention.Hook) // first: what it refuses is not told
	h.catalog.OnChange(h.tell)
	return nil
}

// connect finishes what automate began, with the registry.
func (h *hub) connect(o serveOptions) {
	h.retention.Registry = h.registry
	h.collector = gc.New(gc.Options{DB: h.db, Catalog: h.catalog, Gate: h.gate, Driver: h.registry.Driver(), Every: o.gcEvery})
	h.api = api.New(api.Options{
		Accounts: h.accounts, Catalog: h.catalog, Identify: h.tokens.Identify, Webhooks: h.webhooks,
		Retention: h.retention, Builds: h.builds, Mirrors: h.mirrors, GC: h.collector,
	})
	h.runners = append(h.runners, h.webhooks.Run, h.retention.Run, h.mirrors.Run, h.builds.Run, h.collector.Run)
}

// reachable is how an engine on this machine reaches the Hub.
func reachable(o serveOptions) string {
	if _, host, ok := strings.Cut(o.publicURL, "://"); ok {
		return host
	}
	return o.listen
}

func (h *hub) nameOf(ctx context.Context, id string) (string, error) {
	r, err := h.catalog.ByID(ctx, id)
	return r.Name, err
}

// owners are whose webhooks are told of a repository's events.
func owners(ctx context.Context, q store.Querier, repository string) ([]string, error) {
	var namespace string
	err := q.QueryRow(ctx, "SELECT namespace FROM repositories WHERE id = ?", repository).Scan(&namespace)
	return []string{repository, namespace}, err
}

// tell writes what webhooks are told of a change, in its transaction. Manifests
// that are pushed without a tag are parts of what is tagged next.
func (h *hub) tell(ctx context.Context, tx *store.Tx, c catalog.Change) error {
	if c.Tag == "" && c.Action != catalog.Delete {
		return nil
	}
	all, err := owners(ctx, tx, c.Repository.ID)
	if err != nil {
		return err
	}
	e := webhook.Event{
		Event: webhook.Push, Time: c.Time, Repository: c.Repository.Name, Tag: c.Tag, Digest: c.Digest, MediaType: c.MediaType, Size: c.Size, Actor: c.By.Name,
	}
	if c.Action == catalog.Delete {
		e.Event, e.Digest = webhook.Delete, c.Previous
	}
	// Pages change tags without the registry, whose events wake the deliveries.
	time.AfterFunc(time.Second, h.webhooks.Poke)
	return h.webhooks.EmitTx(ctx, tx, all, e)
}

// built tells webhooks of a build that ended.
func (h *hub) built(ctx context.Context, repository string, b autobuild.Build) {
	all, err := owners(ctx, h.db, repository)
	if err == nil {
		var name string
		if name, err = h.nameOf(ctx, repository); err == nil {
			err = h.webhooks.Emit(ctx, all, webhook.Event{
				Event: webhook.Build, Time: b.Ended, Repository: name, Digest: b.Digest.String(), Actor: b.Actor,
				Build: &webhook.BuildResult{ID: b.ID, State: b.State, Commit: b.Commit, Ref: b.Ref, Tags: b.Tags, Error: b.Error},
			})
		}
	}
	if err != nil && !errdefs.IsNotFound(err) { // the repository was removed meanwhile
		h.log.ErrorContext(ctx, "tell of a build", "build", b.ID, "error", err)
	}
}

// robots are the accounts that builds push with.
type robots struct{ h *hub }

func (r robots) Open(ctx context.Context, repository, build string, expires time.Time) (id, login, secret string, err error) {
	if r.h.catalog.Open() {
		return "", "", "", nil // everybody may push
	}
	system, namespace := account.System("autobuild"), catalog.NamespaceOf(repository)
	robot, secret, err := r.h.accounts.CreateRobot(ctx, system, namespace, account.NewRobot{Name: "build-" + build, About: "one automated build", Expires: expires})
	if err != nil {
		return "", "", "", err
	}
	id = namespace + "+" + robot.Name
	err = r.h.catalog.Give(ctx, system, catalog.Grant{Namespace: namespace, Repository: repository, Kind: "robot", Subject: robot.Name, Role: catalog.Write})
	if err != nil {
		_ = r.Close(ctx, id) // it expires anyhow
		return "", "", "", err
	}
	return id, robot.Login(), secret, nil
}

func (r robots) Close(ctx context.Context, id string) error {
	namespace, name, _ := strings.Cut(id, "+")
	err := r.h.accounts.DeleteRobot(ctx, account.System("autobuild"), namespace, name)
	if errdefs.IsNotFound(err) {
		return nil
	}
	return err
}

// mirrored lets mirrors answer for the names that are theirs: those of their
// prefix, and for a mirror of everything the names in nobody's namespace. What
// decides is the name alone, so that an answer tells nothing of private
// repositories; library may have images of both.
func (h *hub) mirrored(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		m, upstream, found, err := h.mirrorOf(req)
		switch {
		case req.Context().Err() != nil:
			w.WriteHeader(status.Gone)
		case err != nil:
			h.log.ErrorContext(req.Context(), "find the mirror", "path", req.URL.Path, "error", err)
			http.Error(w, "the Hub failed; its log says why", http.StatusInternalServerError)
		case !found, !h.mayMirror(req, m):
			next.ServeHTTP(w, req) // which asks who has not signed in to do so
		default:
			h.mirrors.Serve(w, req, m, upstream)
		}
	})
}

func (h *hub) mirrorOf(req *http.Request) (m mirror.Mirror, upstream string, found bool, err error) {
	name := mirror.NameOf(req.URL.Path)
	if name == "" || catalog.ValidName(name) != nil || req.Method != http.MethodGet && req.Method != http.MethodHead {
		return m, "", false, nil
	}
	ctx := req.Context()
	m, upstream, found, err = h.mirrors.Match(ctx, name)
	if err != nil || !found || m.Prefix != "" {
		return m, upstream, found, err
	}
	const both = "library"
	namespace := catalog.NamespaceOf(name)
	_, err = h.accounts.Namespace(ctx, namespace)
	switch {
	case errdefs.IsNotFound(err):
		return m, upstream, true, nil
	case err != nil || namespace != both:
		return m, "", false, err
	}
	_, _, err = h.catalog.Find(ctx, account.System("mirror"), name)
	if errdefs.IsNotFound(err) {
		return m, upstream, true, nil
	}
	return m, "", false, err
}

// mayMirror reports whether a request may read a mirror.
func (h *hub) mayMirror(req *http.Request, m mirror.Mirror) bool {
	if h.catalog.Open() {
		return true
	}
	authorization := req.Header.Get("Authorization")
	if authorization == "" {
		return m.Public
	}
	identity, err := h.tokens.Identify(req.Context(), authorization)
	return err == nil && (m.Public || !identity.Principal.Anonymous())
}
