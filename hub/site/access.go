package site

import (
	"github.com/berth-engine/berth/hub/catalog"
	"github.com/containerd/errdefs"
)

type accessBody struct {
	Repo           repoView
	Grants         []catalog.Grant
	Problem        string
	IsOrganisation bool
}

func (v *visit) access() error { return v.showAccess("") }

func (v *visit) showAccess(problem string) error {
	repo, err := v.administered()
	if err != nil {
		return err
	}
	grants, err := v.Catalog.Grants(v.ctx(), v.by, repo.Namespace, repo.Name)
	if err != nil {
		return err
	}
	space, err := v.Accounts.Namespace(v.ctx(), repo.Namespace)
	if err != nil && !errdefs.IsNotFound(err) {
		return err
	}
	return v.show("access", repo.page("settings", "access", accessBody{Repo: repo, Grants: grants, Problem: problem, IsOrganisation: space.Kind == "organisation"}))
}

func (v *visit) formGrant(repo repoView) catalog.Grant {
	f := v.r.PostForm
	g := catalog.Grant{Namespace: repo.Namespace, Repository: repo.Name, Kind: f.Get("kind"), Subject: f.Get("subject")}
	if f.Get("everywhere") != "" {
		g.Repository = ""
	}
	return g
}

func (v *visit) grant() error {
	repo, err := v.administered()
	if err != nil {
		return err
	}
	g := v.formGrant(repo)
	if g.Role, err = catalog.ParseRole(v.r.PostFormValue("role")); err == nil {
		err = v.Catalog.Give(v.ctx(), v.by, g)
	}
	if err != nil {
		return v.orNotFound(err, "There is no "+g.Kind+" "+g.Subject+" here.", v.showAccess)
	}
	return v.done(v.settingsPath(repo, "access"), g.Subject+" has the role "+g.Role.String()+".")
}

func (v *visit) revoke() error {
	repo, err := v.administered()
	if err != nil {
		return err
	}
	g := v.formGrant(repo)
	if err := v.Catalog.Take(v.ctx(), v.by, g); err != nil {
		return v.again(err, v.showAccess)
	}
	return v.done(v.settingsPath(repo, "access"), g.Subject+" has no role here any more.")
}
