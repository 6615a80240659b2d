package site

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/berth-engine/berth/hub/account"
	"github.com/containerd/errdefs"
)

// visit is one request with who makes it.
type visit struct {
	*Site
	w       http.ResponseWriter
	r       *http.Request
	session *account.Session // nil for who has not signed in
	by      account.Principal
	token   string // what forms carry
	path    string // as the browser has it
}

func (v *visit) ctx() context.Context { return v.r.Context() }

// Names of cookies. With https they get the prefix that keeps other hosts of the
// domain from setting them.
const (
	sessionCookie = "berth-session"
	formCookie    = "berth-form" // of who has not signed in
	flashCookie   = "berth-flash"
	themeCookie   = "berth-theme"
	signInCookie  = "berth-signin"
)

func (s *Site) visit(w http.ResponseWriter, r *http.Request) (*visit, error) {
	v := &visit{Site: s, w: w, r: r, path: r.URL.Path}
	if original, ok := r.Context().Value(originalPath{}).(string); ok {
		v.path = original
	}
	if cookie := v.cookie(sessionCookie); cookie != "" {
		session, err := s.Accounts.Session(r.Context(), cookie)
		switch {
		case err == nil:
			v.session, v.by, v.token = &session, session.User.Principal(), session.CSRF
		case errdefs.IsUnauthorized(err):
			v.setCookie(sessionCookie, "", -1)
		default:
			return v, err
		}
	}
	if v.session == nil {
		v.anonymousToken()
	}
	return v, nil
}

func (v *visit) https() bool { return v.Secure || v.r.TLS != nil }

func (v *visit) cookieName(name string) string {
	if v.https() {
		return "__Host-" + name
	}
	return name
}

func (v *visit) cookie(name string) string {
	c, err := v.r.Cookie(v.cookieName(name))
	if err != nil {
		return ""
	}
	return c.Value
}

// setCookie sets a cookie for seconds, 0 until the browser ends; below 0 it is
// removed.
func (v *visit) setCookie(name, value string, seconds int) {
	http.SetCookie(v.w, &http.Cookie{
		Name: v.cookieName(name), Value: value, Path: "/", MaxAge: seconds, HttpOnly: true, Secure: v.https(), SameSite: http.SameSiteLaxMode,
	})
}

// Page is what every template gets.
type Page struct {
	Title, Description string
	Section, Sub       string
	Host, Path, Query  string
	Theme, CSRF        string
	Viewer             *account.User
	SignUp, Hero       bool
	Flash              *flash
	Refresh            int // seconds after which the page loads itself again
	Body               any
}

type flash struct{ Kind, Text string }

// show renders a page with status 200.
func (v *visit) show(name string, p Page) error { return v.render(http.StatusOK, name, p) }

func (v *visit) render(status int, name string, p Page) error {
	p.Host, p.Path, p.Theme, p.CSRF, p.SignUp = v.host(), v.path, v.theme(), v.token, v.Accounts.SignUpOpen()
	if v.session != nil {
		p.Viewer = &v.session.User
	}
	if said, err := base64.RawURLEncoding.DecodeString(v.cookie(flashCookie)); err == nil && len(said) > 0 {
		kind, text, _ := strings.Cut(string(said), " ")
		p.Flash = &flash{kind, text}
		v.setCookie(flashCookie, "", -1)
	}
	var out bytes.Buffer
	if err := v.pages[name].ExecuteTemplate(&out, "layout", p); err != nil {
		return fmt.Errorf("page %s: %w", name, err)
	}
	h := v.w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	v.w.WriteHeader(status)
	_, _ = v.w.Write(out.Bytes()) // the browser went away
	return nil
}

// done answers a form that was carried out: the browser goes on to another page,
// which says text.
func (v *visit) done(to, text string) error {
	if text != "" {
		v.setCookie(flashCookie, base64.RawURLEncoding.EncodeToString([]byte("good "+text)), 60)
	}
	http.Redirect(v.w, v.r, to, http.StatusSeeOther)
	return nil
}

func (v *visit) toSignIn() error {
	next := v.path
	if v.r.Method != http.MethodGet {
		next = "/"
	}
	http.Redirect(v.w, v.r, "/signin?next="+url.QueryEscape(next), http.StatusSeeOther)
	return nil
}

// local makes sure that a redirect stays here.
func local(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.Scheme != "" || u.Host != "" || !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") || strings.ContainsAny(next, "\\\r\n\t") {
		return "/"
	}
	return next
}

func (v *visit) host() string {
	if v.Host != "" {
		return v.Host
	}
	return v.r.Host
}

func (v *visit) theme() string {
	if t := v.cookie(themeCookie); t == "light" || t == "dark" {
		return t
	}
	return ""
}

func (v *visit) setTheme() error {
	theme := v.r.PostFormValue("theme")
	if theme != "light" && theme != "dark" {
		v.setCookie(themeCookie, "", -1)
	} else {
		v.setCookie(themeCookie, theme, int((365 * 24 * time.Hour).Seconds()))
	}
	return v.done(local(v.r.PostFormValue("back")), "")
}
