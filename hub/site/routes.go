package site

import (
	"net/http"
	"strings"
)

// routes lists every page. Names of repositories have slashes in them; what
// belongs to one comes after "/-/", which no name contains.
func (s *Site) routes(mux *http.ServeMux) {
	mux.HandleFunc("GET /static/{sum}/{name}", s.static)
	mux.Handle("GET /{$}", s.page((*visit).home))
	mux.Handle("GET /search", s.page((*visit).search))
	mux.Handle("POST /theme", s.page((*visit).setTheme))
	mux.Handle("/", s.page(func(*visit) error { return errNoPage }))

	mux.HandleFunc("/r/{path...}", s.underRepo)
	s.repoRoutes(s.repo)
	mux.Handle("GET /u/{space}", s.page((*visit).space))
	if !s.has("accounts") {
		return
	}
	mux.Handle("GET /signin", s.page((*visit).signInForm))
	mux.Handle("POST /signin", s.page((*visit).signIn))
	mux.Handle("POST /signin/code", s.page((*visit).signInCode))
	mux.Handle("POST /signout", s.page((*visit).signOut))
	mux.Handle("GET /signup", s.page((*visit).signUpForm))
	mux.Handle("POST /signup", s.page((*visit).signUp))
	mux.Handle("GET /setup", s.page((*visit).setupForm))
	mux.Handle("POST /setup", s.page((*visit).setup))

	s.accountRoutes(mux)
	s.spaceRoutes(mux)
	s.adminRoutes(mux)
	mux.Handle("GET /new", s.signedIn((*visit).newRepoForm))
	mux.Handle("POST /new", s.signedIn((*visit).newRepo))
}

func (s *Site) accountRoutes(mux *http.ServeMux) {
	mux.Handle("GET /account", s.signedIn((*visit).account))
	mux.Handle("POST /account/profile", s.signedIn((*visit).setProfile))
	mux.Handle("POST /account/password", s.signedIn((*visit).changePassword))
	mux.Handle("GET /account/security", s.signedIn((*visit).security))
	mux.Handle("POST /account/security/start", s.signedIn((*visit).startTOTP))
	mux.Handle("POST /account/security/confirm", s.signedIn((*visit).confirmTOTP))
	mux.Handle("POST /account/security/disable", s.signedIn((*visit).disableTOTP))
	mux.Handle("GET /account/tokens", s.signedIn((*visit).tokens))
	mux.Handle("POST /account/tokens", s.signedIn((*visit).createToken))
	mux.Handle("POST /account/tokens/{id}/revoke", s.signedIn((*visit).revokeToken))
	mux.Handle("GET /account/sessions", s.signedIn((*visit).sessions))
	mux.Handle("POST /account/sessions/{id}/end", s.signedIn((*visit).endSession))
	mux.Handle("GET /account/audit", s.signedIn((*visit).accountAudit))
}

func (s *Site) spaceRoutes(mux *http.ServeMux) {
	mux.Handle("GET /orgs/new", s.signedIn((*visit).newOrgForm))
	mux.Handle("POST /orgs/new", s.signedIn((*visit).newOrg))
	at := func(pattern string, h func(*visit) error) {
		method, path, _ := strings.Cut(pattern, " ")
		mux.Handle(method+" /u/{space}/-/"+path, s.signedIn(h))
	}
	at("GET members", (*visit).members)
	at("POST members", (*visit).setMember)
	at("POST members/{user}/remove", (*visit).removeMember)
	at("GET teams", (*visit).teams)
	at("POST teams", (*visit).createTeam)
	at("GET teams/{team}", (*visit).team)
	at("POST teams/{team}", (*visit).addToTeam)
	at("POST teams/{team}/delete", (*visit).deleteTeam)
	at("POST teams/{team}/members/{user}/remove", (*visit).removeFromTeam)
	at("GET robots", (*visit).robots)
	at("POST robots", (*visit).createRobot)
	at("POST robots/{robot}/{action}", (*visit).changeRobot)
	if s.has("webhooks") {
		hookRoutes("webhooks", at)
	}
	at("GET audit", (*visit).spaceAudit)
	at("GET settings", (*visit).spaceSettings)
	at("POST settings", (*visit).setSpace)
	at("POST settings/delete", (*visit).deleteSpace)
}

func (s *Site) adminRoutes(mux *http.ServeMux) {
	mux.Handle("GET /admin", s.signedIn((*visit).admin))
	mux.Handle("GET /admin/audit", s.signedIn((*visit).adminAudit))
	if s.has("storage") {
		mux.Handle("GET /admin/storage", s.signedIn((*visit).storage))
		mux.Handle("POST /admin/storage/collect", s.signedIn((*visit).collect))
		mux.Handle("POST /admin/mirrors", s.signedIn((*visit).createMirror))
		mux.Handle("GET /admin/mirrors/{mirror}", s.signedIn((*visit).mirror))
		mux.Handle("POST /admin/mirrors/{mirror}", s.signedIn((*visit).updateMirror))
		mux.Handle("POST /admin/mirrors/{mirror}/remove", s.signedIn((*visit).removeMirror))
	}
	mux.Handle("POST /admin/users", s.signedIn((*visit).adminCreate))
	mux.Handle("POST /admin/reset", s.signedIn((*visit).adminReset))
	mux.Handle("POST /admin/users/{user}/{action}", s.signedIn((*visit).adminChange))
}
