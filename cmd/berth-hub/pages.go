package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"

	"github.com/berth-engine/berth/hub/account"
	"github.com/berth-engine/berth/hub/contents"
	"github.com/berth-engine/berth/hub/search"
	"github.com/berth-engine/berth/hub/site"
	"github.com/distribution/distribution/v3/registry/storage"
)

// pages makes what people look at: the web interface, and the search.
func (h *hub) pages(ctx context.Context, o serveOptions) (http.Handler, error) {
	images, err := storage.NewRegistry(ctx, h.registry.Driver())
	if err != nil {
		return nil, fmt.Errorf("read the storage: %w", err)
	}
	reader, err := contents.New(images, filepath.Join(o.data, "contents"), contents.Limits{})
	if err != nil {
		return nil, err
	}
	h.closers = append(h.closers, reader.Close)
	options := site.Options{
		Accounts: h.accounts, Catalog: h.catalog, Contents: reader, Key: h.key, Log: h.log,
		Webhooks: h.webhooks, Builds: h.builds, Retention: h.retention, GC: h.collector, Mirrors: h.mirrors,
	}
	if o.publicURL != "" {
		u, err := url.Parse(o.publicURL)
		if err != nil {
			return nil, fmt.Errorf("--public-url: %w", err)
		}
		options.Host, options.Secure = u.Host, u.Scheme == "https"
	}
	if h.site, err = site.New(options); err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("/", h.site)
	mux.Handle("/v1/", search.Handler(search.Options{Catalog: h.catalog, Who: h.who}))
	return mux, nil
}

// who tells who searches. A token of the registry is for its repositories alone,
// and finds what everybody finds.
func (h *hub) who(req *http.Request) (account.Principal, error) {
	identity, err := h.tokens.Identify(req.Context(), req.Header.Get("Authorization"))
	if err != nil || identity.Bounded {
		return account.Principal{}, err
	}
	return identity.Principal, nil
}
