package api

import (
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/berth-engine/berth/hub/account"
	"github.com/berth-engine/berth/hub/catalog"
	"github.com/berth-engine/berth/hub/token"
	"github.com/berth-engine/berth/hub/webhook"
)

const password = "correct horse battery"

// people is the API of a Hub with accounts: ada administers it, bob does not.
type people struct {
	t       *testing.T
	api     *API
	secrets map[string]string // what each signs in with
}

func newPeople(t *testing.T) people {
	t.Helper()
	db, key := database(t, t.TempDir())
	accounts, names := account.New(db, account.Options{SignUp: true}), catalog.New(db, catalog.Options{})
	p := people{t: t, secrets: map[string]string{}, api: New(Options{
		Accounts: accounts, Catalog: names, Identify: token.New(db, accounts, names, nil).Identify,
		Webhooks: webhook.New(webhook.Options{DB: db, Catalog: names, Key: key}),
	})}
	for _, name := range []string{"ada", "bob"} {
		u, err := accounts.CreateUser(t.Context(), account.System("test"), account.NewUser{Name: name, Password: password, Admin: name == "ada"})
		if err != nil {
			t.Fatal(err)
		}
		_, p.secrets[name], err = accounts.CreateToken(t.Context(), u.Principal(), account.NewToken{Name: "all", Scopes: account.Scopes})
		if err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// call makes a call as somebody: with their token, as NAME!password by their
// password, as +SECRET with another token.
func (p people) call(as, call, body string) (int, string) {
	p.t.Helper()
	method, path, _ := strings.Cut(call, " ")
	r := httptest.NewRequestWithContext(p.t.Context(), method, "/api/v1/"+path, strings.NewReader(body))
	if secret, ok := strings.CutPrefix(as, "+"); ok {
		r.Header.Set("Authorization", "Bearer "+secret)
	} else if name, ok := strings.CutSuffix(as, "!password"); ok {
		r.SetBasicAuth(name, password)
	} else if as != "" {
		r.Header.Set("Authorization", "Bearer "+p.secrets[as])
	}
	w := httptest.NewRecorder()
	p.api.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

// want makes a call that must be answered so, and decodes the answer.
func (p people) want(status int, as, call, body string, into any) {
	p.t.Helper()
	got, text := p.call(as, call, body)
	if got != status {
		p.t.Errorf("%s %s as %q: %d, not %d: %s", call, body, as, got, status, text)
	}
	if into != nil {
		if err := json.Unmarshal([]byte(text), into); err != nil {
			p.t.Fatalf("%s: %s: %v", call, text, err)
		}
	}
}

// TestAccounts goes through a team's life by calls alone.
func TestAccounts(t *testing.T) {
	p := newPeople(t)
	var who struct {
		Name string
		User struct{ Admin bool }
	}
	p.want(200, "ada", "GET user", "", &who)
	if who.Name != "ada" || !who.User.Admin {
		t.Errorf("%+v", who)
	}
	p.want(200, "", "POST sign-up", `{"name":"cy","password":"`+password+`"}`, nil)
	p.want(400, "", "POST sign-up", `{"name":"dan","password":"`+password+`","admin":true}`, nil)
	p.want(409, "", "POST sign-up", `{"name":"cy","password":"`+password+`"}`, nil)
	p.want(200, "bob", "PUT user", `{"display":"Bob","email":"bob@hub.example"}`, nil)
	p.want(400, "bob", "PUT user", `{"email":"no address"}`, nil)

	// Tokens are made by who knows the password, and may no more than they say.
	var made struct {
		Value  account.Token
		Secret string
	}
	p.want(403, "bob", "POST tokens", `{"name":"x","scopes":["repo:read"]}`, nil)
	p.want(200, "bob!password", "POST tokens", `{"name":"x","scopes":["repo:read"]}`, &made)
	p.want(400, "bob!password", "POST tokens", `{"name":"y","scopes":["everything"]}`, nil)
	p.want(400, "bob!password", "POST tokens", `{"name":"y","scopes":["repo:read"],"expires":"2000-01-01T00:00:00Z"}`, nil)
	p.want(403, "+"+made.Secret, "POST organisations", `{"name":"acme"}`, nil)
	p.want(204, "bob!password", "DELETE tokens/"+made.Value.ID, "", nil)
	p.want(401, "+"+made.Secret, "GET user", "", nil)

	p.want(200, "bob", "POST organisations", `{"name":"acme"}`, nil)
	p.want(200, "bob", "PUT namespaces/acme/-/", `{"display":"Acme"}`, nil)
	p.want(400, "bob", "PUT namespaces/acme/-/", `{"display":"Acme","email":"x@acme.example"}`, nil)
	p.want(204, "bob", "PUT namespaces/acme/-/members/cy", `{"role":"member"}`, nil)
	p.want(400, "bob", "PUT namespaces/acme/-/members/cy", `{"role":"boss"}`, nil)
	p.want(404, "bob", "PUT namespaces/acme/-/members/nobody", `{"role":"member"}`, nil)
	p.want(200, "bob", "POST namespaces/acme/-/teams", `{"name":"dev","about":"Developers"}`, nil)
	p.want(204, "bob", "PUT namespaces/acme/-/teams/dev/members/cy", "", nil)
	p.want(409, "bob", "PUT namespaces/acme/-/teams/dev/members/ada", "", nil) // no member of acme
	var names []string
	p.want(200, "bob", "GET namespaces/acme/-/teams/dev/members", "", &names)
	if strings.Join(names, " ") != "cy" {
		t.Errorf("members %q", names)
	}
	p.want(200, "bob", "POST repositories", `{"name":"acme/app","description":"An app","readme":"# App"}`, nil)
	p.want(404, "cy!password", "GET repositories/acme/app/-/", "", nil)
	p.want(204, "bob", "PUT repositories/acme/app/-/grants/team/dev", `{"role":"read"}`, nil)
	var repo struct{ Name, Role, Description string }
	p.want(200, "cy!password", "GET repositories/acme/app/-/", "", &repo)
	if repo.Role != "read" || repo.Description != "An app" {
		t.Errorf("%+v", repo)
	}
	p.want(403, "cy!password", "PUT repositories/acme/app/-/", `{"public":true}`, nil)
	p.want(403, "cy!password", "GET repositories/acme/app/-/webhooks", "", nil)
	p.want(200, "bob", "PUT repositories/acme/app/-/", `{"public":true,"readme":"# Other"}`, &repo)
	if repo.Description != "An app" {
		t.Errorf("what was not given changed: %+v", repo)
	}
	p.want(200, "", "GET repositories/acme/app/-/readme", "", nil)
	p.want(204, "cy!password", "PUT repositories/acme/app/-/star", "", nil)
	p.want(204, "cy!password", "PUT repositories/acme/app/-/star", "", nil)
	p.want(403, "", "PUT repositories/acme/app/-/star", "", nil)
	p.want(404, "cy!password", "PUT repositories/acme/none/-/star", "", nil)
	var starred []struct {
		Name  string
		Stars int
	}
	p.want(200, "cy!password", "GET repositories?starred=1&order=stars", "", &starred)
	if len(starred) != 1 || starred[0].Name != "acme/app" || starred[0].Stars != 1 {
		t.Errorf("%+v", starred)
	}
	p.want(401, "", "GET repositories?starred=1", "", nil)
	p.want(400, "", "GET repositories?order=random", "", nil)
	p.want(204, "cy!password", "DELETE repositories/acme/app/-/star", "", nil)
	p.want(204, "bob", "DELETE repositories/acme/app/-/grants/team/dev", "", nil)
	p.want(404, "bob", "DELETE repositories/acme/app/-/grants/team/dev", "", nil)

	var robot struct{ Secret string }
	p.want(200, "bob", "POST namespaces/acme/-/robots", `{"name":"ci","about":"builds"}`, &robot)
	p.want(403, "cy!password", "POST namespaces/acme/-/robots", `{"name":"ci2"}`, nil)
	p.want(204, "bob", "PUT namespaces/acme/-/robots/ci", `{"disabled":true}`, nil)
	p.want(200, "bob", "POST namespaces/acme/-/robots/ci/renew", "", nil)
	p.want(204, "bob", "DELETE namespaces/acme/-/robots/ci", "", nil)
	p.want(200, "bob", "GET namespaces/acme/-/audit?limit=5", "", nil)
	p.want(400, "bob", "GET namespaces/acme/-/audit?before=yesterday", "", nil)
	p.want(403, "cy!password", "GET namespaces/acme/-/audit", "", nil)

	p.want(200, "bob", "POST namespaces/acme/-/webhooks", `{"url":"https://hooks.example/secret-path"}`, nil)
	p.want(409, "bob", "DELETE namespaces/acme/-/", "", nil) // it has a repository
	p.want(204, "bob", "DELETE repositories/acme/app/-/", "", nil)
	p.want(204, "bob", "DELETE namespaces/acme/-/", "", nil)
	p.want(404, "bob", "GET namespaces/acme/-/webhooks", "", nil)
}

// TestAdministrators: what only they may is refused to others.
func TestAdministrators(t *testing.T) {
	p := newPeople(t)
	for call, body := range map[string]string{
		"GET users": "", "POST users": `{"name":"dan","password":"` + password + `"}`, "PUT users/ada": `{"disabled":true}`, "DELETE users/ada": "", "GET audit": "",
	} {
		for _, as := range []string{"", "bob"} {
			p.want(403, as, call, body, nil)
		}
	}
	p.want(200, "ada", "POST users", `{"name":"dan","password":"`+password+`"}`, nil)
	p.want(200, "ada", "GET users?after=bob&limit=1", "", nil)
	p.want(400, "ada", "GET users?limit=x", "", nil)
	p.want(204, "ada", "PUT users/dan", `{"admin":true,"disabled":true}`, nil)
	p.want(400, "ada", "PUT users/dan", `{}`, nil)
	p.want(401, "dan!password", "GET user", "", nil)
	p.want(204, "ada", "DELETE users/dan", "", nil)
	p.want(404, "ada", "DELETE users/dan", "", nil)
	p.want(409, "ada", "DELETE users/ada", "", nil) // the last administrator
	var entries []struct{ Action, Result string }
	p.want(200, "ada", "GET audit?limit=1000", "", &entries)
	refused := 0
	for _, e := range entries {
		if e.Result == "refused" {
			refused++
		}
		if strings.Contains(e.Action, "secret") {
			t.Errorf("%+v", e)
		}
	}
	if refused < 3 {
		t.Errorf("%d refusals are written down of %d entries", refused, len(entries))
	}
}
