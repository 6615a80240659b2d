package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/berth-engine/berth/hub/account"
	"github.com/berth-engine/berth/hub/catalog"
	"github.com/berth-engine/berth/hub/registry"
	"github.com/berth-engine/berth/hub/seal"
	"github.com/berth-engine/berth/hub/seed"
	"github.com/berth-engine/berth/hub/site"
	"github.com/berth-engine/berth/hub/store"
	"github.com/berth-engine/berth/hub/token"
	"github.com/containerd/errdefs"
	"github.com/spf13/pflag"
)

// dataOptions say where the Hub's state is.
type dataOptions struct{ data, database, secretsKey string }

func (o *dataOptions) flags(f *pflag.FlagSet) {
	f.StringVar(&o.data, "data", "/var/lib/berth-hub", "directory for everything that lasts")
	f.StringVar(&o.database, "database", "", "database: a SQLite file, or postgres://… for several nodes; the default is hub.db below --data")
}

// keyFlag is for who needs what is sealed.
func (o *dataOptions) keyFlag(f *pflag.FlagSet) {
	f.StringVar(&o.secretsKey, "secrets-key", "", "file of the key that seals secrets in the database, the same for all nodes; the default is secrets.key below --data")
}

// key loads the key, and makes it when there is none.
func (o *dataOptions) key() (*seal.Key, error) {
	where := o.secretsKey
	if where == "" {
		where = filepath.Join(o.data, "secrets.key")
	}
	return seal.Load(where)
}

// open opens the database, which has a folder for its owner alone.
func (o *dataOptions) open(ctx context.Context) (*store.DB, error) {
	if err := os.MkdirAll(o.data, 0o700); err != nil {
		return nil, err
	}
	where := o.database
	if where == "" {
		where = filepath.Join(o.data, "hub.db")
	}
	return store.Open(ctx, where)
}

// hub is everything that serves.
type hub struct {
	db       *store.DB
	accounts *account.Service
	catalog  *catalog.Service
	tokens   *token.Service
	registry *registry.Registry
	meters   *meters
	log      *slog.Logger
	automation
	site   *site.Site
	looks  http.Handler // pages and search
	ending atomic.Bool  // no longer ready
	frontDoor
	key *seal.Key

	closers []func() error
	runners []func(ctx context.Context) error
}

// open makes the parts of the Hub and connects them.
func open(ctx context.Context, o serveOptions) (_ *hub, err error) {
	h := &hub{meters: newMeters(), log: slog.Default()}
	if h.frontDoor, err = o.frontDoor(o.publicURL); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, h.close())
		}
	}()
	if h.db, err = o.open(ctx); err != nil {
		return nil, err
	}
	h.closers = append(h.closers, h.db.Close)
	if h.key, err = o.key(); err != nil {
		return nil, err
	}
	// Secrets of second factors were not sealed once.
	if _, err := h.key.Reseal(ctx, h.db, account.Sealed()...); err != nil {
		return nil, err
	}
	h.accounts = account.New(h.db, account.Options{SignUp: o.signUp, Key: h.key})
	h.catalog = catalog.New(h.db, catalog.Options{Open: !o.accounts})
	h.runners = append(h.runners, h.catalog.Run)
	h.tokens = token.New(h.db, h.accounts, h.catalog, nil)
	if err := h.automate(o); err != nil {
		return nil, err
	}
	secret, err := uploadSecret(ctx, h.db)
	if err != nil {
		return nil, err
	}
	where := o.storage
	if where == "" {
		where = filepath.Join(o.data, "registry")
	}
	storage, err := registry.ParseStorage(where)
	if err != nil {
		return nil, err
	}
	h.registry, err = registry.New(ctx, registry.Options{
		Storage: storage, Catalog: h.catalog, Identify: h.tokens.Identify, PublicURL: o.publicURL, Secret: secret,
		Relies: h.gate.Touch,
		Events: []func(context.Context, registry.Event){h.meters.event, func(context.Context, registry.Event) { h.webhooks.Poke() }},
	})
	if err != nil {
		return nil, err
	}
	h.connect(o)
	h.closers = append(h.closers, h.registry.Close)
	if h.looks, err = h.pages(ctx, o); err != nil {
		return nil, err
	}
	if !o.noSeed {
		if err := h.seed(ctx); err != nil {
			return nil, err
		}
	}
	return h, nil
}

// seed puts hello-world where everybody may pull it.
func (h *hub) seed(ctx context.Context) error {
	system := account.System("seed")
	_, _, err := h.catalog.Find(ctx, system, seed.Repository)
	missing := errdefs.IsNotFound(err)
	if err != nil && !missing {
		return err
	}
	if missing {
		_, err := h.catalog.Create(ctx, system, seed.Repository, true)
		if err != nil && !errdefs.IsAlreadyExists(err) { // by another node
			return err
		}
	}
	return seed.Into(ctx, h.registry.As(system))
}

// uploadSecret signs the state of uploads, on all nodes.
func uploadSecret(ctx context.Context, db *store.DB) (secret string, err error) {
	const name = "upload-secret"
	err = db.Tx(ctx, func(tx *store.Tx) error {
		err := tx.QueryRow(ctx, "SELECT value FROM settings WHERE name = ?", name).Scan(&secret)
		if !errdefs.IsNotFound(err) {
			return err
		}
		secret = rand.Text() + rand.Text()
		_, err = tx.Exec(ctx, "INSERT INTO settings (name, value) VALUES (?, ?)", name, secret)
		return err
	})
	return secret, err
}

// handler is the whole Hub.
func (h *hub) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/v2/", h.mirrored(h.registry))
	for _, path := range []string{"/api/v1/", "/hooks/", "/git/"} {
		mux.Handle(path, h.api)
	}
	mux.Handle("/token", h.tokens)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", h.ready)
	mux.Handle("GET /metrics", h.only(h.meters.handler()))
	mux.Handle("/", h.looks)
	return h.enter(mux)
}

// run starts what works in the background. The channel gives one error, or nil
// when all ended after the context did; it has room to be given back once.
func (h *hub) run(ctx context.Context) chan error {
	ended := make(chan error, 2)
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	errs := make([]error, len(h.runners))
	for i, run := range h.runners {
		wg.Go(func() {
			defer cancel() // one that fails ends all
			errs[i] = run(ctx)
		})
	}
	go func() {
		wg.Wait()
		cancel()
		ended <- errors.Join(errs...)
	}()
	return ended
}

// greet says what whoever started the Hub must know.
func (h *hub) greet(ctx context.Context, stdout io.Writer) {
	if h.catalog.Open() {
		return
	}
	token, err := h.accounts.FirstRun(ctx, false)
	switch {
	case err != nil:
		slog.ErrorContext(ctx, "first-run token", "error", err)
	case token != "":
		fmt.Fprintf(stdout, "first run: make the administrator with the token %s, which is shown only now\n", token)
	}
}

// close ends everything, the last opened first.
func (h *hub) close() (err error) {
	for _, end := range slices.Backward(h.closers) {
		err = errors.Join(err, end())
	}
	return err
}

func checkPublicURL(text string) error {
	if text == "" {
		return nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Path != "" || u.RawQuery != "" || u.User != nil {
		return fmt.Errorf("--public-url %q: give scheme and host alone, as https://hub.example.com", text)
	}
	return nil
}
