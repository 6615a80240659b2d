package site

import (
	"slices"

	"github.com/containerd/errdefs"
)

type newRepoBody struct {
	Namespaces                            []string
	Namespace, Name, Description, Problem string
}

// ownSpaces lists where somebody may make repositories.
func (v *visit) ownSpaces() ([]string, error) {
	list := []string{v.session.User.Name}
	orgs, err := v.Accounts.Organisations(v.ctx(), v.by)
	for _, o := range orgs {
		list = append(list, o.Name)
	}
	return list, err
}

func (v *visit) newRepoForm() error {
	return v.showNewRepo(newRepoBody{Namespace: v.r.FormValue("namespace")})
}

func (v *visit) showNewRepo(b newRepoBody) (err error) {
	if b.Namespaces, err = v.ownSpaces(); err != nil {
		return err
	}
	// An administrator may make them anywhere.
	if b.Namespace != "" && v.session.User.Admin && !slices.Contains(b.Namespaces, b.Namespace) {
		b.Namespaces = append(b.Namespaces, b.Namespace)
	}
	return v.show("reponew", Page{Title: "New repository", Body: b})
}

func (v *visit) newRepo() error {
	f := v.r.PostForm
	b := newRepoBody{Namespace: f.Get("namespace"), Name: f.Get("name"), Description: f.Get("description")}
	name := b.Namespace + "/" + b.Name
	repo, err := v.Catalog.Create(v.ctx(), v.by, name, f.Get("visibility") == "public")
	if err == nil && b.Description != "" {
		err = v.Catalog.SetText(v.ctx(), v.by, repo.Name, b.Description, "")
	}
	if err != nil {
		return v.again(err, func(text string) error {
			b.Problem = text
			return v.showNewRepo(b)
		})
	}
	return v.done(repoPath(name), "The repository is made.")
}

type settingsBody struct {
	Repo            repoView
	Readme, Problem string
}

func (v *visit) repoSettings() error { return v.showSettings("") }

func (v *visit) showSettings(problem string) error {
	repo, err := v.administered()
	if err != nil {
		return err
	}
	text, err := v.Catalog.Readme(v.ctx(), repo.Repository)
	if err != nil {
		return err
	}
	return v.show("settings", repo.page("settings", "general", settingsBody{repo, text, problem}))
}

func (v *visit) settingsPath(repo repoView, page string) string {
	if page != "" {
		page = "/" + page
	}
	return repoPath(repo.Name) + "/-/settings" + page
}

func (v *visit) setText() error {
	repo, err := v.administered()
	if err != nil {
		return err
	}
	if err := v.Catalog.SetText(v.ctx(), v.by, repo.Name, v.r.PostFormValue("description"), v.r.PostFormValue("readme")); err != nil {
		return v.again(err, v.showSettings)
	}
	return v.done(v.settingsPath(repo, ""), "Description and README are saved.")
}

func (v *visit) setVisibility() error {
	repo, err := v.administered()
	if err != nil {
		return err
	}
	public := v.r.PostFormValue("visibility") == "public"
	if err := v.Catalog.SetPublic(v.ctx(), v.by, repo.Name, public); err != nil {
		return v.again(err, v.showSettings)
	}
	said := "The repository is private: only who has access sees it."
	if public {
		said = "The repository is public: everybody who reaches this Hub may pull it."
	}
	return v.done(v.settingsPath(repo, ""), said)
}

func (v *visit) renameRepo() error {
	repo, err := v.administered()
	if err != nil {
		return err
	}
	to := v.r.PostFormValue("name")
	if err := v.Catalog.Rename(v.ctx(), v.by, repo.Name, to); err != nil {
		return v.orNotFound(err, "There is no such namespace, or you may not put repositories there.", v.showSettings)
	}
	return v.done(repoPath(to)+"/-/settings", "The repository is called "+to+" now. Pulls by its old name go on working.")
}

func (v *visit) deleteRepo() error {
	repo, err := v.administered()
	if err != nil {
		return err
	}
	if v.r.PostFormValue("confirm") != repo.Name {
		return v.again(errdefs.ErrInvalidArgument.WithMessage("type the repository's whole name to confirm"), v.showSettings)
	}
	if err := v.Catalog.Remove(v.ctx(), v.by, repo.Name); err != nil {
		return v.again(err, v.showSettings)
	}
	return v.done("/u/"+repo.Namespace, "The repository "+repo.Name+" is removed.")
}
