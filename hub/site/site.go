// Package site is the Hub's web interface: pages rendered on the server, which
// work without scripts, over the same services as the API. Who may do what is
// decided by those services; a page that somebody may not know of answers as one
// that does not exist.
//
// Every answer carries a content security policy without inline scripts and
// styles; every form carries a token that belongs to the session; cookies are
// HttpOnly and SameSite.
package site

import (
	"crypto/rand"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"strings"
	"sync"

	"github.com/berth-engine/berth/hub/account"
	"github.com/berth-engine/berth/hub/autobuild"
	"github.com/berth-engine/berth/hub/catalog"
	"github.com/berth-engine/berth/hub/contents"
	"github.com/berth-engine/berth/hub/gc"
	"github.com/berth-engine/berth/hub/mirror"
	"github.com/berth-engine/berth/hub/retention"
	"github.com/berth-engine/berth/hub/seal"
	"github.com/berth-engine/berth/hub/webhook"
	"github.com/berth-engine/berth/web"
)

// Options name the services that pages show. Those that may be nil leave their
// pages out.
type Options struct {
	Accounts *account.Service
	Catalog  *catalog.Service
	Contents *contents.Reader
	Webhooks *webhook.Service
	Builds   *autobuild.Service
	// Retention keeps repositories' policies.
	Retention *retention.Service
	GC        *gc.Collector
	Mirrors   *mirror.Service
	// Host is how clients name this Hub in images' names; empty takes the name by
	// which each request reached it.
	Host string
	// Secure says that browsers reach the Hub by https although it does not speak
	// TLS itself: a proxy does.
	Secure bool
	// Key seals what a browser keeps between password and code of a sign-in; nil
	// makes one that this process alone has.
	Key *seal.Key
	// Log is told of failures that are the Hub's own; nil means slog.Default.
	Log *slog.Logger
}

// Site is an http.Handler for all paths that no other part of the Hub serves.
type Site struct {
	Options
	pages   map[string]*template.Template
	assets  map[string]web.Asset
	pending *seal.Key // of sign-ins between password and code
	handler http.Handler
	repo    *http.ServeMux // below a repository's name
	stopped chan struct{}
	stop    sync.Once
}

// New parses the embedded pages.
func New(o Options) (*Site, error) {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	s := &Site{Options: o, pending: o.Key, stopped: make(chan struct{})}
	var err error
	if s.assets, err = web.Assets(); err != nil {
		return nil, err
	}
	if s.pages, err = web.Templates(s.funcs()); err != nil {
		return nil, err
	}
	if s.pending == nil {
		var key [32]byte
		if _, err := rand.Read(key[:]); err != nil {
			return nil, fmt.Errorf("key of sign-ins: %w", err)
		}
		if s.pending, err = seal.New(key); err != nil {
			return nil, err
		}
	}
	mux := http.NewServeMux()
	s.repo = http.NewServeMux()
	s.routes(mux)
	// The token in each form is the defence against other sites' forms; what
	// browsers say of a request's origin is a second one.
	s.handler = s.secure(http.NewCrossOriginProtection().Handler(mux))
	return s, nil
}

// Stop ends the answers that would go on for as long as somebody looks: logs of
// builds that run.
func (s *Site) Stop() { s.stop.Do(func() { close(s.stopped) }) }

// ServeHTTP answers a browser, which comes from where audit.Remote says.
func (s *Site) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// has tells whether a part of the Hub is there to be shown.
func (s *Site) has(part string) bool {
	switch part {
	case "webhooks":
		return s.Webhooks != nil
	case "builds":
		return s.Builds != nil
	case "retention":
		return s.Retention != nil
	case "storage":
		return s.GC != nil
	case "mirrors":
		return s.Mirrors != nil
	case "accounts":
		return !s.Catalog.Open()
	}
	return false
}

// page makes a handler of one that may fail. Requests that change something must
// carry the session's token.
func (s *Site) page(h func(*visit) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v, err := s.visit(w, r)
		if err == nil && r.Method != http.MethodGet && r.Method != http.MethodHead {
			err = v.checkToken()
		}
		if err == nil {
			err = h(v)
		}
		if err != nil {
			v.fail(err)
		}
	}
}

// signedIn is page for those who have signed in; others are sent to do so.
func (s *Site) signedIn(h func(*visit) error) http.HandlerFunc {
	return s.page(func(v *visit) error {
		if v.session == nil {
			return v.toSignIn()
		}
		return h(v)
	})
}

// acting is signedIn for what belongs to repositories: on a Hub without accounts,
// everybody may do it.
func (s *Site) acting(h func(*visit) error) http.HandlerFunc {
	if s.Catalog.Open() {
		return s.page(h)
	}
	return s.signedIn(h)
}

func (s *Site) static(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	asset, found := s.assets[name]
	if !found || !strings.HasSuffix(asset.Path, "/"+r.PathValue("sum")+"/"+name) {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", asset.Type)
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	_, _ = w.Write(asset.Data) // the browser went away
}
