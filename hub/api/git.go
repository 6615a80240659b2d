package api

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/berth-engine/berth/hub/account"
	"github.com/berth-engine/berth/hub/catalog"
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
	repo, role, err := a.Catalog.Find(r.Context(), by, name)
	if err == nil && role < catalog.Write {
		err = fmt.Errorf("this needs the role %s in %s: %w", catalog.Write, name, errdefs.ErrPermissionDenied)
	}
	if err == nil {
		err = a.Builds.ServeGit(w, r, repo.ID, rest, by.Name)
	}
	if err != nil {
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
