package site

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/berth-engine/berth/hub/catalog"
)

// originalPath is under which a request's context has the path that the browser
// asked for; its URL has what comes after the repository's name.
type originalPath struct{}

// repoName is under which a request's context has the repository's name.
type repoName struct{}

// underRepo parts /r/NAME/-/PAGE and hands on to the pages of repositories.
func (s *Site) underRepo(w http.ResponseWriter, r *http.Request) {
	full := strings.TrimPrefix(r.URL.Path, "/r/")
	name, page, _ := strings.Cut(full, "/-/")
	ctx := context.WithValue(r.Context(), originalPath{}, r.URL.Path)
	ctx = context.WithValue(ctx, repoName{}, strings.TrimSuffix(name, "/"))
	inner := r.WithContext(ctx)
	inner.URL = new(url.URL)
	*inner.URL = *r.URL
	inner.URL.Path, inner.URL.RawPath = "/"+page, ""
	s.repo.ServeHTTP(w, inner)
}

func (s *Site) repoRoutes(mux *http.ServeMux) {
	mux.Handle("GET /{$}", s.page((*visit).overview))
	mux.Handle("GET /tags", s.page((*visit).tags))
	mux.Handle("GET /tags/{tag}", s.page((*visit).image))
	mux.Handle("GET /tags/{tag}/files", s.page((*visit).files))
	mux.Handle("POST /tags/{tag}/delete", s.acting((*visit).deleteTag))
	mux.Handle("POST /tags/{tag}/restore", s.acting((*visit).restoreTag))
	if s.has("accounts") {
		mux.Handle("POST /star", s.signedIn((*visit).star))
	}
	mux.Handle("GET /compare", s.page((*visit).compare))
	mux.Handle("GET /history", s.page((*visit).history))
	mux.Handle("GET /settings", s.acting((*visit).repoSettings))
	mux.Handle("POST /settings/text", s.acting((*visit).setText))
	mux.Handle("POST /settings/visibility", s.acting((*visit).setVisibility))
	mux.Handle("POST /settings/rename", s.acting((*visit).renameRepo))
	mux.Handle("POST /settings/delete", s.acting((*visit).deleteRepo))
	mux.Handle("GET /settings/access", s.acting((*visit).access))
	mux.Handle("POST /settings/access", s.acting((*visit).grant))
	mux.Handle("POST /settings/access/remove", s.acting((*visit).revoke))
	at := func(pattern string, h func(*visit) error) { mux.Handle(pattern, s.acting(h)) }
	if s.has("webhooks") {
		hookRoutes("/settings/webhooks", at)
	}
	if s.has("retention") {
		s.retentionRoutes(at)
	}
	if s.has("builds") {
		s.buildRoutes(at)
	}
	mux.Handle("/", s.page(func(*visit) error { return errNoPage }))
}

// repoView is a repository with what the viewer may do with it.
type repoView struct {
	catalog.Repository
	Rest               string // of the name, after the namespace
	CanWrite, CanAdmin bool
	Starred            bool // by the viewer
}

// repository finds the one that the address names, for who may read it. A former
// name leads on to today's.
func (v *visit) repository() (repoView, error) {
	name, _ := v.r.Context().Value(repoName{}).(string)
	repo, role, err := v.Catalog.Find(v.ctx(), v.by, name)
	if err != nil {
		return repoView{}, err
	}
	r := view(repo, role)
	if v.session != nil {
		r.Starred, err = v.Catalog.Starred(v.ctx(), v.by, repo)
	}
	return r, err
}

// star marks the repository for who looks, or takes the mark away.
func (v *visit) star() error {
	repo, err := v.repository()
	if err == nil {
		err = v.Catalog.Star(v.ctx(), v.by, repo.Name, v.r.PostFormValue("star") != "")
	}
	if err != nil {
		return err
	}
	return v.done(repoPath(repo.Name), "")
}

func view(repo catalog.Repository, role catalog.Role) repoView {
	_, rest, _ := strings.Cut(repo.Name, "/")
	return repoView{Repository: repo, Rest: rest, CanWrite: role >= catalog.Write, CanAdmin: role >= catalog.Admin}
}

// administered is repository for its settings. Who may read it but not administer
// it is told so; for others it does not exist.
func (v *visit) administered() (repoView, error) {
	repo, err := v.repository()
	if err != nil {
		return repo, err
	}
	if !repo.CanAdmin {
		return repo, errNotAdmin
	}
	return repo, nil
}

// page starts a page of a repository.
func (r repoView) page(section, sub string, body any) Page {
	return Page{Title: r.Name, Description: r.Description, Section: section, Sub: sub, Body: body}
}
