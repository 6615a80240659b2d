package site

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/berth-engine/berth/hub/account"
	"github.com/containerd/errdefs"
)

type signInBody struct {
	Name, Next, Problem string
	CodeNeeded          bool
}

func (v *visit) signInForm() error {
	if needed, err := v.Accounts.NeedsSetup(v.ctx()); err != nil || needed {
		if err != nil {
			return err
		}
		return v.done("/setup", "")
	}
	if v.session != nil {
		return v.done(local(v.r.FormValue("next")), "")
	}
	return v.showSignIn(signInBody{Next: local(v.r.FormValue("next"))})
}

func (v *visit) showSignIn(b signInBody) error {
	return v.show("signin", Page{Title: "Sign in", Body: b})
}

func (v *visit) signIn() error {
	return v.logIn(account.Credentials{Name: v.r.PostFormValue("name"), Password: v.r.PostFormValue("password")})
}

// pendingSignIn is kept in a cookie, sealed, between password and code.
type pendingSignIn struct {
	Name, Password string
	Until          time.Time
}

const pendingPurpose = "sign-in form"

func (v *visit) signInCode() error {
	var p pendingSignIn
	opened, err := v.pending.Open(pendingPurpose, v.cookie(signInCookie))
	if err == nil {
		err = json.Unmarshal([]byte(opened), &p)
	}
	if err != nil || time.Now().After(p.Until) {
		return v.showSignIn(signInBody{Next: local(v.r.PostFormValue("next")), Problem: "That took too long: please start over."})
	}
	return v.logIn(account.Credentials{Name: p.Name, Password: p.Password, Code: v.r.PostFormValue("code")})
}

func (v *visit) logIn(c account.Credentials) error {
	c.Agent = v.r.UserAgent()
	next := local(v.r.PostFormValue("next"))
	session, cookie, err := v.Accounts.Login(v.ctx(), c)
	if errors.Is(err, account.ErrCodeNeeded) {
		return v.askForCode(c, next)
	}
	if err != nil {
		return v.again(err, func(text string) error {
			return v.showSignIn(signInBody{Name: c.Name, Next: next, Problem: text, CodeNeeded: c.Code != "" && errdefs.IsUnauthorized(err)})
		})
	}
	v.setCookie(signInCookie, "", -1)
	v.setCookie(formCookie, "", -1)
	v.setCookie(sessionCookie, cookie, int(time.Until(session.Expires).Seconds()))
	return v.done(next, "")
}

func (v *visit) askForCode(c account.Credentials, next string) error {
	data, err := json.Marshal(pendingSignIn{c.Name, c.Password, time.Now().Add(5 * time.Minute)})
	if err != nil {
		return fmt.Errorf("sign in: %w", err)
	}
	v.setCookie(signInCookie, v.pending.Seal(pendingPurpose, string(data)), 300)
	return v.showSignIn(signInBody{Next: next, CodeNeeded: true})
}

func (v *visit) signOut() error {
	if err := v.Accounts.Logout(v.ctx(), v.cookie(sessionCookie)); err != nil {
		return err
	}
	v.setCookie(sessionCookie, "", -1)
	return v.done("/", "You are signed out.")
}

type signUpBody struct {
	Setup                       bool
	Name, Email, Token, Problem string
}

func (v *visit) showSignUp(b signUpBody) error {
	title := "Make an account"
	if b.Setup {
		title = "Set up"
	}
	return v.show("signup", Page{Title: title, Body: b})
}

func (v *visit) signUpForm() error {
	if !v.Accounts.SignUpOpen() {
		return errNoPage
	}
	return v.showSignUp(signUpBody{})
}

func (v *visit) newUser() account.NewUser {
	f := v.r.PostForm
	return account.NewUser{Name: f.Get("name"), Email: f.Get("email"), Password: f.Get("password")}
}

func (v *visit) signUp() error {
	n := v.newUser()
	if _, err := v.Accounts.SignUp(v.ctx(), n); err != nil {
		return v.again(err, func(text string) error {
			return v.showSignUp(signUpBody{Name: n.Name, Email: n.Email, Problem: text})
		})
	}
	return v.logIn(account.Credentials{Name: n.Name, Password: n.Password})
}

func (v *visit) setupForm() error {
	needed, err := v.Accounts.NeedsSetup(v.ctx())
	if err != nil {
		return err
	}
	if !needed {
		return errNoPage
	}
	return v.showSignUp(signUpBody{Setup: true})
}

func (v *visit) setup() error {
	n, token := v.newUser(), v.r.PostFormValue("token")
	if _, err := v.Accounts.Setup(v.ctx(), token, n); err != nil {
		return v.again(err, func(text string) error {
			return v.showSignUp(signUpBody{Setup: true, Name: n.Name, Email: n.Email, Token: token, Problem: text})
		})
	}
	return v.logIn(account.Credentials{Name: n.Name, Password: n.Password})
}
