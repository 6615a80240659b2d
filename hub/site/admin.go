package site

import (
	"net/url"

	"github.com/berth-engine/berth/hub/account"
	"github.com/berth-engine/berth/hub/audit"
)

type adminBody struct {
	Users         []account.User
	Next, Problem string
}

func (v *visit) admin() error { return v.showAdmin("") }

func (v *visit) showAdmin(problem string) error {
	if !v.session.User.Admin {
		return errNoPage
	}
	users, err := v.Accounts.Users(v.ctx(), v.by, v.r.FormValue("after"), 101)
	if err != nil {
		return err
	}
	body := adminBody{Problem: problem, Users: users}
	if len(users) > 100 {
		body.Users = users[:100]
		body.Next = "?after=" + url.QueryEscape(users[99].Name)
	}
	return v.show("admin", Page{Title: "Administration", Section: "admin", Body: body})
}

func (v *visit) adminAudit() error {
	if !v.session.User.Admin {
		return errNoPage
	}
	body, err := v.entries(audit.Filter{})
	if err != nil {
		return err
	}
	return v.show("audit", Page{Title: "Audit log", Section: "admin", Body: body})
}

func (v *visit) adminCreate() error {
	n := v.newUser()
	if _, err := v.Accounts.CreateUser(v.ctx(), v.by, n); err != nil {
		return v.again(err, v.showAdmin)
	}
	return v.done("/admin", "The account "+n.Name+" is made.")
}

func (v *visit) adminReset() error {
	name := v.r.PostFormValue("name")
	if err := v.Accounts.ResetPassword(v.ctx(), v.by, name, v.r.PostFormValue("password")); err != nil {
		return v.orNotFound(err, "There is no user "+name+".", v.showAdmin)
	}
	return v.done("/admin", "The password of "+name+" is reset.")
}

func (v *visit) adminChange() error {
	name := v.r.PathValue("user")
	var err error
	said := ""
	switch v.r.PathValue("action") {
	case "lock":
		err, said = v.Accounts.SetDisabled(v.ctx(), v.by, name, true), "is locked."
	case "open":
		err, said = v.Accounts.SetDisabled(v.ctx(), v.by, name, false), "is open again."
	case "promote":
		err, said = v.Accounts.SetAdmin(v.ctx(), v.by, name, true), "administers the Hub."
	case "demote":
		err, said = v.Accounts.SetAdmin(v.ctx(), v.by, name, false), "no longer administers the Hub."
	case "delete":
		err, said = v.Accounts.DeleteUser(v.ctx(), v.by, name), "is removed."
	default:
		return errNoPage
	}
	if err != nil {
		return v.again(err, v.showAdmin)
	}
	return v.done("/admin", name+" "+said)
}
