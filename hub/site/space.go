package site

import (
	"github.com/berth-engine/berth/hub/account"
	"github.com/berth-engine/berth/hub/audit"
	"github.com/berth-engine/berth/hub/catalog"
	"github.com/berth-engine/berth/hub/status"
	"github.com/containerd/errdefs"
)

// spaceBody is a namespace with what the viewer is in it.
type spaceBody struct {
	account.Namespace
	Organisation, Member, Owner, CanCreate bool
}

func (v *visit) namespace() (spaceBody, error) {
	n, err := v.Accounts.Namespace(v.ctx(), v.r.PathValue("space"))
	if errdefs.IsNotFound(err) && v.Catalog.Open() {
		n, err = account.Namespace{Name: v.r.PathValue("space")}, nil // without accounts, names are nobody's
	}
	if err != nil {
		return spaceBody{}, err
	}
	b := spaceBody{Namespace: n, Organisation: n.Kind == "organisation"}
	if v.session == nil {
		return b, nil
	}
	if b.Owner, err = v.Accounts.Owns(v.ctx(), v.by, n.Name); err != nil {
		return b, err
	}
	b.CanCreate = b.Owner
	if b.Organisation && !b.Owner {
		// Who belongs to it may see its members; others are told it is not there.
		if _, err := v.Accounts.Members(v.ctx(), v.by, n.Name); err == nil {
			b.Member = true
		} else if status.Of(err) == 500 {
			return b, err
		}
	}
	b.Member = b.Member || b.Owner
	return b, nil
}

func (b spaceBody) page(sub string, body any) Page {
	return Page{Title: b.Name, Description: b.About, Section: "space", Sub: sub, Body: body}
}

type spaceRepos struct {
	Space spaceBody
	Repos []catalog.Repository
}

func (v *visit) space() error {
	space, err := v.namespace()
	if err != nil {
		return err
	}
	repos, err := v.Catalog.List(v.ctx(), v.by, catalog.Query{Namespace: space.Name, Limit: 1000})
	if err != nil {
		return err
	}
	return v.show("space", space.page("repositories", spaceRepos{space, repos}))
}

func (v *visit) spaceAudit() error {
	space, err := v.namespace()
	if err != nil {
		return err
	}
	body, err := v.entries(audit.Filter{Namespace: space.Name})
	if err != nil {
		return err
	}
	body.Space = space
	return v.show("audit", space.page("audit", body))
}

type nameBody struct{ Name, Problem string }

func (v *visit) newOrgForm() error {
	return v.show("orgnew", Page{Title: "New organisation", Body: nameBody{}})
}

func (v *visit) newOrg() error {
	name := v.r.PostFormValue("name")
	if _, err := v.Accounts.CreateOrganisation(v.ctx(), v.by, name); err != nil {
		return v.again(err, func(text string) error {
			return v.show("orgnew", Page{Title: "New organisation", Body: nameBody{name, text}})
		})
	}
	return v.done("/u/"+name, "The organisation is made. You own it.")
}

type spaceSettingsBody struct {
	Space   spaceBody
	Problem string
}

func (v *visit) spaceSettings() error { return v.showSpaceSettings("") }

func (v *visit) showSpaceSettings(problem string) error {
	space, err := v.namespace()
	if err != nil {
		return err
	}
	if !space.Owner || !space.Organisation {
		return errNoPage
	}
	return v.show("spacesettings", space.page("settings", spaceSettingsBody{space, problem}))
}

func (v *visit) setSpace() error {
	name := v.r.PathValue("space")
	err := v.Accounts.SetOrganisationProfile(v.ctx(), v.by, name, account.Profile{Display: v.r.PostFormValue("display"), About: v.r.PostFormValue("about")})
	if err != nil {
		return v.again(err, v.showSpaceSettings)
	}
	return v.done("/u/"+name+"/-/settings", "Saved.")
}

func (v *visit) deleteSpace() error {
	name := v.r.PathValue("space")
	var err error = errdefs.ErrInvalidArgument.WithMessage("type the organisation's name to confirm")
	if v.r.PostFormValue("confirm") == name {
		err = v.Accounts.DeleteOrganisation(v.ctx(), v.by, name)
	}
	if err != nil {
		return v.again(err, v.showSpaceSettings)
	}
	return v.done("/", "The organisation "+name+" is removed.")
}
