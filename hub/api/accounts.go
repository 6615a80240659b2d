package api

import (
	"fmt"
	"time"

	"github.com/berth-engine/berth/hub/account"
	"github.com/berth-engine/berth/hub/audit"
	"github.com/containerd/errdefs"
)

// accountRoutes are about who asks, about users, and about the Hub's own log.
// Where the Hub has no accounts, there is nothing to administer.
var accountRoutes = []route{
	{"GET user", whoami},
	{"PUT user", setProfile},
	{"POST user/password", changePassword},
	{"GET tokens", func(c *call) (any, error) { return c.Accounts.Tokens(c.ctx(), c.by) }},
	{"POST tokens", createToken},
	{"DELETE tokens/*", func(c *call) (any, error) { return nil, c.Accounts.RevokeToken(c.ctx(), c.by, c.args[0]) }},
	{"POST sign-up", signUp},
	{"GET users", listUsers},
	{"POST users", createUser},
	{"GET users/*", func(c *call) (any, error) { return c.Accounts.Namespace(c.ctx(), c.args[0]) }},
	{"PUT users/*", setUser},
	{"DELETE users/*", func(c *call) (any, error) { return nil, c.Accounts.DeleteUser(c.ctx(), c.by, c.args[0]) }},
	{"GET organisations", func(c *call) (any, error) { return c.Accounts.Organisations(c.ctx(), c.by) }},
	{"POST organisations", createOrganisation},
	{"GET repositories", listRepositories},
	{"POST repositories", createRepository},
	{"GET audit", func(c *call) (any, error) { return c.audit("") }},
}

// me is who asks.
type me struct {
	account.Principal
	User *account.User `json:"user,omitempty"`
}

func whoami(c *call) (any, error) {
	m := me{Principal: c.by}
	if c.by.Kind != account.KindUser {
		return m, nil
	}
	u, err := c.Accounts.User(c.ctx(), c.by.Name)
	m.User = &u
	return m, err
}

func setProfile(c *call) (any, error) {
	p, err := c.profile()
	if err != nil {
		return nil, err
	}
	if err := c.Accounts.SetProfile(c.ctx(), c.by, p); err != nil {
		return nil, err
	}
	return whoami(c)
}

func (c *call) profile() (account.Profile, error) {
	var p struct {
		Display string `json:"display"`
		About   string `json:"about"`
		Email   string `json:"email"`
	}
	err := c.read(&p)
	return account.Profile{Display: p.Display, About: p.About, Email: p.Email}, err
}

func changePassword(c *call) (any, error) {
	var p struct {
		Old string `json:"old"`
		New string `json:"new"`
	}
	if err := c.read(&p); err != nil {
		return nil, err
	}
	return nil, c.Accounts.ChangePassword(c.ctx(), c.by, p.Old, p.New, "")
}

func createToken(c *call) (any, error) {
	var n struct {
		Name    string          `json:"name"`
		Scopes  []account.Scope `json:"scopes"`
		Expires time.Time       `json:"expires"`
	}
	if err := c.read(&n); err != nil {
		return nil, err
	}
	t, secret, err := c.Accounts.CreateToken(c.ctx(), c.by, account.NewToken{Name: n.Name, Scopes: n.Scopes, Expires: n.Expires})
	return withSecret[account.Token]{t, secret}, err
}

// newUser reads the body of calls that make an account.
func (c *call) newUser() (account.NewUser, error) {
	var n struct {
		Name     string `json:"name"`
		Email    string `json:"email"`
		Password string `json:"password"`
		Admin    bool   `json:"admin"`
	}
	err := c.read(&n)
	return account.NewUser{Name: n.Name, Email: n.Email, Password: n.Password, Admin: n.Admin}, err
}

func signUp(c *call) (any, error) {
	n, err := c.newUser()
	if err != nil {
		return nil, err
	}
	if n.Admin {
		return nil, fmt.Errorf("nobody signs up as an administrator: %w", errdefs.ErrInvalidArgument)
	}
	return c.Accounts.SignUp(c.ctx(), n)
}

func listUsers(c *call) (any, error) {
	limit, err := number(c.r.URL.Query(), "limit")
	if err != nil {
		return nil, err
	}
	return c.Accounts.Users(c.ctx(), c.by, c.r.URL.Query().Get("after"), limit)
}

func createUser(c *call) (any, error) {
	n, err := c.newUser()
	if err != nil {
		return nil, err
	}
	return c.Accounts.CreateUser(c.ctx(), c.by, n)
}

// setUser changes what the body has, for administrators.
func setUser(c *call) (any, error) {
	var n struct {
		Admin    *bool   `json:"admin"`
		Disabled *bool   `json:"disabled"`
		Password *string `json:"password"`
	}
	if err := c.read(&n); err != nil {
		return nil, err
	}
	name := c.args[0]
	if n.Admin != nil {
		if err := c.Accounts.SetAdmin(c.ctx(), c.by, name, *n.Admin); err != nil {
			return nil, err
		}
	}
	if n.Disabled != nil {
		if err := c.Accounts.SetDisabled(c.ctx(), c.by, name, *n.Disabled); err != nil {
			return nil, err
		}
	}
	if n.Password != nil {
		if err := c.Accounts.ResetPassword(c.ctx(), c.by, name, *n.Password); err != nil {
			return nil, err
		}
	}
	if n.Admin == nil && n.Disabled == nil && n.Password == nil {
		return nil, fmt.Errorf("give admin, disabled or password: %w", errdefs.ErrInvalidArgument)
	}
	return nil, nil
}

func createOrganisation(c *call) (any, error) {
	var n struct {
		Name string `json:"name"`
	}
	if err := c.read(&n); err != nil {
		return nil, err
	}
	return c.Accounts.CreateOrganisation(c.ctx(), c.by, n.Name)
}

// audit lists the audit log of a namespace or, for "", of the Hub, the newest
// first; before is a time, for the next page.
func (c *call) audit(namespace string) (any, error) {
	q := c.r.URL.Query()
	limit, err := number(q, "limit")
	if err != nil {
		return nil, err
	}
	f := audit.Filter{Namespace: namespace, Action: q.Get("action"), Limit: limit}
	if q.Get("mine") == "1" {
		f.Actor = c.by.ID
	}
	if text := q.Get("before"); text != "" {
		if f.Before, err = time.Parse(time.RFC3339, text); err != nil {
			return nil, fmt.Errorf("before=%s: give a time as 2006-01-02T15:04:05Z: %w", text, errdefs.ErrInvalidArgument)
		}
	}
	return c.Accounts.Audit(c.ctx(), c.by, f)
}
