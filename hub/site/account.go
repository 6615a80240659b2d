package site

import (
	"strconv"
	"time"

	"github.com/berth-engine/berth/hub/account"
	"github.com/berth-engine/berth/hub/audit"
	"github.com/containerd/errdefs"
)

type accountBody struct {
	User          account.User
	Organisations []account.Namespace
	Problem       string
}

func (v *visit) account() error { return v.showAccount("") }

func (v *visit) showAccount(problem string) error {
	orgs, err := v.Accounts.Organisations(v.ctx(), v.by)
	if err != nil {
		return err
	}
	return v.show("account", Page{Title: "Account", Sub: "account", Body: accountBody{v.session.User, orgs, problem}})
}

func (v *visit) setProfile() error {
	f := v.r.PostForm
	err := v.Accounts.SetProfile(v.ctx(), v.by, account.Profile{Display: f.Get("display"), About: f.Get("about"), Email: f.Get("email")})
	if err != nil {
		return v.again(err, v.showAccount)
	}
	return v.done("/account", "Your profile is saved.")
}

func (v *visit) changePassword() error {
	f := v.r.PostForm
	if err := v.Accounts.ChangePassword(v.ctx(), v.by, f.Get("old"), f.Get("password"), v.session.ID); err != nil {
		return v.again(err, v.showAccount)
	}
	return v.done("/account", "Your password is changed.")
}

type tokensBody struct {
	Tokens          []account.Token
	Scopes          []scopeChoice
	Secret, Problem string
}

type scopeChoice struct {
	Scope        account.Scope
	Label, About string
	Checked      bool
}

var scopeWords = map[account.Scope][2]string{
	account.ScopeRead:    {"Pull", "what you may pull"},
	account.ScopeWrite:   {"Push", "and pull, where you may push"},
	account.ScopeAdmin:   {"Administer repositories", "settings, webhooks, removal"},
	account.ScopeAccount: {"Administer organisations", "teams and robots, but no credentials"},
	account.ScopeHub:     {"Administer the Hub", "what only administrators may"},
}

func (v *visit) tokens() error { return v.showTokens("", "") }

func (v *visit) showTokens(secret, problem string) error {
	list, err := v.Accounts.Tokens(v.ctx(), v.by)
	if err != nil {
		return err
	}
	body := tokensBody{Tokens: list, Secret: secret, Problem: problem}
	for _, s := range account.Scopes {
		if s == account.ScopeHub && !v.session.User.Admin {
			continue
		}
		body.Scopes = append(body.Scopes, scopeChoice{s, scopeWords[s][0], scopeWords[s][1], s == account.ScopeRead || s == account.ScopeWrite})
	}
	return v.show("tokens", Page{Title: "Access tokens", Sub: "tokens", Body: body})
}

// expiry reads the number of days that a form has; 0 is for ever.
func (v *visit) expiry() (time.Time, error) {
	days, err := strconv.Atoi(v.r.PostFormValue("days"))
	if err != nil || days < 0 || days > 3650 {
		return time.Time{}, errdefs.ErrInvalidArgument.WithMessage("the number of days must be 0 (for ever) to 3650")
	}
	if days == 0 {
		return time.Time{}, nil
	}
	return time.Now().AddDate(0, 0, days), nil
}

func (v *visit) createToken() error {
	expires, err := v.expiry()
	if err != nil {
		return err
	}
	n := account.NewToken{Name: v.r.PostFormValue("name"), Expires: expires}
	for _, s := range v.r.PostForm["scope"] {
		n.Scopes = append(n.Scopes, account.Scope(s))
	}
	_, secret, err := v.Accounts.CreateToken(v.ctx(), v.by, n)
	if err != nil {
		return v.again(err, func(text string) error { return v.showTokens("", text) })
	}
	return v.showTokens(secret, "")
}

func (v *visit) revokeToken() error {
	if err := v.Accounts.RevokeToken(v.ctx(), v.by, v.r.PathValue("id")); err != nil {
		return err
	}
	return v.done("/account/tokens", "The token is revoked.")
}

type sessionsBody struct {
	Sessions []account.Session
	Current  string
}

func (v *visit) sessions() error {
	list, err := v.Accounts.Sessions(v.ctx(), v.by)
	if err != nil {
		return err
	}
	return v.show("sessions", Page{Title: "Sessions", Sub: "sessions", Body: sessionsBody{list, v.session.ID}})
}

func (v *visit) endSession() error {
	if err := v.Accounts.EndSession(v.ctx(), v.by, v.r.PathValue("id")); err != nil {
		return err
	}
	return v.done("/account/sessions", "The session has ended.")
}

type auditBody struct {
	Space   spaceBody
	Entries []audit.Entry
	Older   string
}

// auditPage is how many entries a page of the audit log has.
const auditPage = 50

func (v *visit) entries(f audit.Filter) (auditBody, error) {
	f.Limit = auditPage
	if before := v.r.FormValue("before"); before != "" {
		nanoseconds, err := strconv.ParseInt(before, 10, 64)
		if err != nil {
			return auditBody{}, errdefs.ErrInvalidArgument.WithMessage("before must be a time in nanoseconds")
		}
		f.Before = time.Unix(0, nanoseconds)
	}
	list, err := v.Accounts.Audit(v.ctx(), v.by, f)
	body := auditBody{Entries: list}
	if len(list) == auditPage {
		body.Older = "?before=" + strconv.FormatInt(list[len(list)-1].Time.UnixNano(), 10)
	}
	return body, err
}

func (v *visit) accountAudit() error {
	body, err := v.entries(audit.Filter{Actor: v.by.ID})
	if err != nil {
		return err
	}
	return v.show("audit", Page{Title: "Audit log", Section: "account", Sub: "audit", Body: body})
}
