package api

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/berth-engine/berth/hub/account"
	"github.com/containerd/errdefs"
)

// git answers /git/NAMESPACE/NAME.git/…, for who may push images there: the
// source of what is public need not be.
func (a *API) git(w http.ResponseWriter, r *http.Request) {
	name, rest, ok := strings.Cut(strings.TrimPrefix(r.URL.Path, "/git/"), ".git/")
	if !ok {
		a.fail(w, r, fmt.Errorf("a Git repository is at /git/NAMESPACE/NAME.git: %w", errdefs.ErrNotFound))
		return
	}
	by, err := a.pusher(r)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	if err := a.Builds.ServeGit(w, r, by, name, rest); err != nil {
		a.fail(w, r, err)
	}
}

// pusher is who asks; Git sends credentials only when it is told to.
func (a *API) pusher(r *http.Request) (account.Principal, error) {
	if a.Catalog.Open() {
		return account.Principal{}, nil
	}
	identity, err := a.Identify(r.Context(), r.Header.Get("Authorization"))
	if err == nil && (identity.Bounded || identity.Principal.Anonymous()) {
		err = fmt.Errorf("sign in with your name and an access token: %w", errdefs.ErrUnauthenticated)
	}
	return identity.Principal, err
}
