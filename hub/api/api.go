// Package api is the Hub's JSON interface for programs, below /api/v1/, with
// the incoming hooks of automated builds (/hooks/) and the Git repositories that
// the Hub serves (/git/). It calls the same services as the pages.
//
// Who asks is said by the Authorization header alone, never by a cookie, so that
// a browser cannot be made to ask. What they may is decided, and what they did
// written to the audit log, by the services. A repository's calls are below
// /api/v1/repositories/NAMESPACE/NAME/-/, a namespace's below
// /api/v1/namespaces/NAMESPACE/-/. Fields that are not known are refused.
package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"reflect"
	"strings"

	"github.com/berth-engine/berth/hub/account"
	"github.com/berth-engine/berth/hub/autobuild"
	"github.com/berth-engine/berth/hub/catalog"
	"github.com/berth-engine/berth/hub/gc"
	"github.com/berth-engine/berth/hub/mirror"
	"github.com/berth-engine/berth/hub/retention"
	"github.com/berth-engine/berth/hub/status"
	"github.com/berth-engine/berth/hub/token"
	"github.com/berth-engine/berth/hub/webhook"
	"github.com/containerd/errdefs"
)

// maxBody bounds a call's body, in bytes.
const maxBody = 1 << 20

// Options name the services.
type Options struct {
	Accounts  *account.Service
	Catalog   *catalog.Service
	Identify  func(ctx context.Context, authorization string) (token.Identity, error)
	Webhooks  *webhook.Service
	Retention *retention.Service
	Builds    *autobuild.Service
	Mirrors   *mirror.Service
	GC        *gc.Collector
	Log       *slog.Logger // nil means slog.Default
}

// API is an http.Handler for /api/v1/, /hooks/ and /git/.
type API struct {
	Options
	mux   *http.ServeMux
	stop  chan struct{}
	cross *http.CrossOriginProtection
}

// Stop ends the calls that have no end of their own: logs that are followed.
// Call it once.
func (a *API) Stop() { close(a.stop) }

// New makes the API.
func New(o Options) *API {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	a := &API{Options: o, mux: http.NewServeMux(), stop: make(chan struct{}), cross: http.NewCrossOriginProtection()}
	a.mux.HandleFunc("/api/v1/repositories/", a.repositories)
	a.mux.HandleFunc("/api/v1/namespaces/", a.namespaces)
	a.mux.HandleFunc("/api/v1/", a.hub)
	a.mux.HandleFunc("/api/v1/repositories", a.hub) // the list; without this it would lead on
	a.mux.HandleFunc("POST /hooks/{id}", func(w http.ResponseWriter, r *http.Request) {
		if err := a.Builds.ServeHook(w, r, r.PathValue("id")); err != nil {
			a.fail(w, r, err)
		}
	})
	a.mux.HandleFunc("/git/", a.git)
	return a
}

// ServeHTTP answers one call. A page of another origin may not call: where the
// Hub is open, its reader's browser needs no credential.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := a.cross.Check(r); err != nil {
		answer(w, http.StatusForbidden, map[string]string{"error": "a page of another origin may not call this"})
		return
	}
	a.mux.ServeHTTP(w, r)
}

// call is one call while it is answered.
type call struct {
	*API
	w    http.ResponseWriter
	r    *http.Request
	by   account.Principal
	at   catalog.Place // what the path is below
	args []string      // what the route's stars matched
}

func (c *call) ctx() context.Context { return c.r.Context() }

// route is one kind of call.
type route struct {
	// pattern is METHOD and path, in which * is any one part.
	pattern string
	// do answers; nil is 204, and a call that wrote its answer itself returns done.
	do func(c *call) (any, error)
}

// done is the answer of a call that wrote it itself.
type done struct{}

// accepted is the answer of what goes on after it.
type accepted struct{ value any }

// find matches a method and path against routes. known says whether the path
// is there for another method.
func find(routes []route, method, path string) (found route, args []string, known bool) {
	parts := strings.Split(path, "/")
next:
	for _, rt := range routes {
		m, p, _ := strings.Cut(rt.pattern, " ")
		want := strings.Split(p, "/")
		if len(want) != len(parts) {
			continue
		}
		args = nil
		for i := range want {
			switch {
			case want[i] == "*" && parts[i] != "":
				args = append(args, parts[i])
			case want[i] != parts[i]:
				continue next
			}
		}
		if known = true; m == method {
			return rt, args, true
		}
	}
	return route{}, nil, known
}

// dispatch answers a call by one of routes.
func (a *API) dispatch(w http.ResponseWriter, r *http.Request, routes []route, at catalog.Place, path string) {
	rt, args, known := find(routes, r.Method, path)
	if rt.do == nil {
		status, text := http.StatusNotFound, "there is no such call"
		if known {
			status, text = http.StatusMethodNotAllowed, "this is not called by "+r.Method
		}
		answer(w, status, map[string]string{"error": text})
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	c := &call{API: a, w: w, r: r, args: args, at: at}
	err := c.identify()
	var result any
	if err == nil {
		result, err = rt.do(c)
	}
	if err != nil {
		a.fail(w, r, err)
		return
	}
	switch result := result.(type) {
	case done:
	case accepted:
		answer(w, http.StatusAccepted, result.value)
	case nil:
		w.WriteHeader(http.StatusNoContent)
	default:
		answer(w, http.StatusOK, result)
	}
}

// identify finds out who asks. On an open Hub that is nobody, who may do
// everything.
func (c *call) identify() error {
	if c.Catalog.Open() {
		return nil
	}
	identity, err := c.Identify(c.ctx(), c.r.Header.Get("Authorization"))
	if err != nil {
		return err
	}
	if identity.Bounded { // a registry's token is for its repositories' content
		return fmt.Errorf("use an access token or a password here: %w", errdefs.ErrUnauthenticated)
	}
	c.by = identity.Principal
	return nil
}

func (a *API) repositories(w http.ResponseWriter, r *http.Request) {
	name, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/api/v1/repositories/"), "/-/")
	if name == "" {
		name = "-" // no repository's name, nor the Hub's
	}
	a.dispatch(w, r, repositoryRoutes, catalog.Place{Repository: name}, rest)
}

func (a *API) namespaces(w http.ResponseWriter, r *http.Request) {
	name, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/api/v1/namespaces/"), "/-/")
	if name == "" {
		name = "-"
	}
	a.dispatch(w, r, namespaceRoutes, catalog.Place{Namespace: name}, rest)
}

func (a *API) hub(w http.ResponseWriter, r *http.Request) {
	a.dispatch(w, r, hubRoutes, catalog.Place{}, strings.TrimPrefix(r.URL.Path, "/api/v1/"))
}

// read decodes the body.
func (c *call) read(v any) error {
	d := json.NewDecoder(c.r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		if errors.Is(err, io.EOF) {
			err = errors.New("it is empty")
		}
		return fmt.Errorf("the body: %w: %w", err, errdefs.ErrInvalidArgument)
	}
	if d.More() {
		return fmt.Errorf("the body: something follows the JSON value: %w", errdefs.ErrInvalidArgument)
	}
	return nil
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	if list := reflect.ValueOf(v); list.Kind() == reflect.Slice && list.IsNil() {
		v = []struct{}{} // an empty list is [], not null
	}
	_ = json.NewEncoder(w).Encode(v) // the client may have gone
}

// fail answers an error with the status of its kind.
func (a *API) fail(w http.ResponseWriter, r *http.Request, err error) {
	code, text := status.Of(err), err.Error()
	status.Retry(w.Header(), err)
	switch code {
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", `Basic realm="Berth Hub"`)
	case http.StatusInternalServerError:
		a.Log.ErrorContext(r.Context(), "api", "path", r.URL.Path, "error", err)
		text = "the Hub failed; its log says why"
	}
	answer(w, code, map[string]string{"error": text})
}
