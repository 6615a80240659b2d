package registry

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/berth-engine/berth/hub/account"
	"github.com/berth-engine/berth/hub/catalog"
	"github.com/berth-engine/berth/hub/store"
	"github.com/berth-engine/berth/hub/store/storetest"
	"github.com/berth-engine/berth/hub/token"
	"github.com/berth-engine/berth/oci"
)

const password = "correct horse"

// world is a Hub with accounts: ann and bert, and acme, which ann owns.
type world struct {
	*httptest.Server
	t         *testing.T
	db        *store.DB
	accounts  *account.Service
	catalog   *catalog.Service
	registry  *Registry
	ann, bert account.Principal
	clock     time.Time
	events    []Event
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, clock: time.Now()}
	now := func() time.Time { return w.clock }
	dir := t.TempDir()
	w.db = storetest.Open(t, "")
	w.accounts = account.New(w.db, account.Options{Now: now})
	w.catalog = catalog.New(w.db, catalog.Options{Now: now})
	tokens := token.New(w.db, w.accounts, w.catalog, now)
	var err error
	w.registry, err = New(t.Context(), Options{
		Storage: Filesystem(filepath.Join(dir, "registry")), Catalog: w.catalog, Identify: tokens.Identify,
		Events: []func(context.Context, Event){func(_ context.Context, e Event) { w.events = append(w.events, e) }},
	})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/v2/", w.registry)
	mux.Handle("/token", tokens)
	w.Server = httptest.NewServer(mux)
	t.Cleanup(func() {
		w.Close()
		if err := w.registry.Close(); err != nil {
			t.Error(err)
		}
	})
	for name, p := range map[string]*account.Principal{"ann": &w.ann, "bert": &w.bert} {
		u, err := w.accounts.CreateUser(t.Context(), account.System("test"), account.NewUser{Name: name, Password: password})
		if err != nil {
			t.Fatal(err)
		}
		*p = u.Principal()
	}
	if _, err := w.accounts.CreateOrganisation(t.Context(), w.ann, "acme"); err != nil {
		t.Fatal(err)
	}
	return w
}

func basic(name, secret string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(name+":"+secret))
}

// ask sends a request and returns the answer with its body.
func (w *world) ask(method, path, authorization, body string) (*http.Response, string) {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), method, w.URL+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	req.Header.Set("Accept", "*/*, application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json")
	if method == http.MethodPut {
		req.Header.Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return resp, string(text)
}

func (w *world) status(want int, method, path, authorization string) string {
	w.t.Helper()
	resp, body := w.ask(method, path, authorization, "")
	if resp.StatusCode != want {
		w.t.Errorf("%s %s: %d, not %d: %s", method, path, resp.StatusCode, want, body)
	}
	return body
}

// token asks the token server as Docker's client does.
func (w *world) token(authorization, scope string) string {
	w.t.Helper()
	resp, body := w.ask(http.MethodGet, "/token?service="+token.ServiceName+"&scope="+scope, authorization, "")
	var answer struct{ Token string }
	if err := json.Unmarshal([]byte(body), &answer); err != nil || resp.StatusCode != http.StatusOK || answer.Token == "" {
		w.t.Fatalf("token for %s: %d %s", scope, resp.StatusCode, body)
	}
	return "Bearer " + answer.Token
}

// push puts an image, as somebody.
func (w *world) push(p account.Principal, repository, content string) oci.Image {
	w.t.Helper()
	i := image(w.t, content)
	s := httptest.NewServer(w.registry.As(p))
	defer s.Close()
	if err := (oci.Remote{Registry: s.URL, Repository: repository}).Push(w.t.Context(), i, "1"); err != nil {
		w.t.Fatal(err)
	}
	return i
}

func TestClientsFlow(t *testing.T) {
	w := newWorld(t)
	resp, _ := w.ask(http.MethodGet, "/v2/", "", "")
	if want := `Bearer realm="` + w.URL + `/token",service="berth-hub"`; resp.StatusCode != 401 || resp.Header.Get("WWW-Authenticate") != want {
		t.Errorf("%d %s", resp.StatusCode, resp.Header.Get("WWW-Authenticate"))
	}
	w.status(200, "GET", "/v2/", w.token(basic("ann", password), ""))
	w.status(401, "GET", "/token?service=berth-hub", basic("ann", "wrong"))
	w.status(401, "GET", "/v2/", basic("ann", "wrong"))
	w.status(200, "GET", "/v2/", basic("ann", password))

	resp, _ = w.ask("POST", "/v2/ann/app/blobs/uploads/", "", "")
	if got := resp.Header.Get("WWW-Authenticate"); resp.StatusCode != 401 || !strings.Contains(got, `scope="repository:ann/app:pull,push"`) {
		t.Errorf("%d %s", resp.StatusCode, got)
	}
	w.status(202, "POST", "/v2/ann/app/blobs/uploads/", w.token(basic("ann", password), "repository:ann/app:pull,push"))
	// A token for pulling does not push, though ann may; the client is told to ask.
	resp, _ = w.ask("POST", "/v2/ann/app/blobs/uploads/", w.token(basic("ann", password), "repository:ann/app:pull"), "")
	if resp.StatusCode != 401 || !strings.Contains(resp.Header.Get("WWW-Authenticate"), `error="insufficient_scope"`) {
		t.Errorf("%d %v", resp.StatusCode, resp.Header)
	}
	// Who asked for it and did not get it needs no other token.
	if body := w.status(403, "POST", "/v2/ann/app/blobs/uploads/", w.token(basic("bert", password), "repository:ann/app:pull,push")); strings.Count(body, "{") != 2 {
		t.Errorf("answered twice: %s", body)
	}
	if body := w.status(404, "GET", "/v2/ann/none/tags/list", basic("ann", password)); strings.Count(body, `"errors"`) != 1 || !strings.Contains(body, "NAME_UNKNOWN") {
		t.Errorf("answered %s", body)
	}
}

// TestPrivateNamesAreHidden compares every answer about a private repository
// with the one about a repository that does not exist (CVE-2019-19030).
func TestPrivateNamesAreHidden(t *testing.T) {
	w := newWorld(t)
	i := w.push(w.ann, "ann/secret", "private")
	blob := i.Blobs[0].Descriptor.Digest.String()
	for _, path := range []string{
		"/tags/list", "/manifests/1", "/manifests/" + i.Root().Descriptor.Digest.String(), "/blobs/" + blob,
		"/referrers/" + i.Root().Descriptor.Digest.String(), "/blobs/uploads/x",
	} {
		for _, method := range []string{"GET", "HEAD", "DELETE", "POST", "PUT", "PATCH"} {
			for who, authorization := range map[string]string{
				"nobody": "", "bert": basic("bert", password), "bert's token": w.token(basic("bert", password), "repository:ann/secret:pull,push,delete+repository:ann/nothing:pull,push,delete"),
				"anonymous token": w.token("", "repository:ann/secret:pull"),
			} {
				there, body := w.ask(method, "/v2/ann/secret"+path, authorization, "")
				nothing, empty := w.ask(method, "/v2/ann/nothing"+path, authorization, "")
				challenge := func(r *http.Response) string {
					return strings.ReplaceAll(r.Header.Get("WWW-Authenticate"), "ann/nothing", "ann/secret")
				}
				if who == "anonymous token" { // the one that asked for the name gets a 403
					nothing, empty = w.ask(method, "/v2/ann/nothing"+path, w.token("", "repository:ann/nothing:pull"), "")
				}
				if there.StatusCode != nothing.StatusCode || there.StatusCode < 400 || challenge(there) != challenge(nothing) ||
					strings.ReplaceAll(empty, "ann/nothing", "ann/secret") != body || strings.Contains(body, "sha256") {
					t.Errorf("%s, %s %s: %d %s and %d %s", who, method, path, there.StatusCode, body, nothing.StatusCode, empty)
				}
			}
		}
	}
	for _, authorization := range []string{w.token("", ""), basic("bert", password)} {
		if body := w.status(200, "GET", "/v2/_catalog", authorization); strings.Contains(body, "secret") {
			t.Errorf("listed: %s", body)
		}
	}
	if body := w.status(200, "GET", "/v2/_catalog", basic("ann", password)); !strings.Contains(body, "ann/secret") {
		t.Errorf("not listed for its owner: %s", body)
	}
}

// TestBlobsAcrossRepositories tries to reach a private blob through another
// repository, by name and by mounting it (CVE-2024-39897).
func TestBlobsAcrossRepositories(t *testing.T) {
	w := newWorld(t)
	i := w.push(w.ann, "ann/secret", "private")
	w.push(w.bert, "bert/own", "own")
	blob := i.Blobs[0].Descriptor.Digest.String()
	bert := basic("bert", password)
	w.status(404, "GET", "/v2/bert/own/blobs/"+blob, bert)
	for _, from := range []string{"ann/secret", "../../r/x", "r/" + i.Blobs[0].Descriptor.Digest.Encoded()[:26], "ANN", ""} {
		resp, _ := w.ask("POST", "/v2/bert/own/blobs/uploads/?mount="+blob+"&from="+from, bert, "")
		if resp.StatusCode != http.StatusAccepted {
			t.Errorf("mount from %q: %d", from, resp.StatusCode)
		}
		w.status(404, "GET", "/v2/bert/own/blobs/"+blob, bert)
	}
	// The name in the storage is none that anybody can ask for.
	c, _, err := w.catalog.Find(t.Context(), w.ann, "ann/secret")
	if err != nil {
		t.Fatal(err)
	}
	w.status(403, "GET", "/v2/"+c.Storage+"/blobs/"+blob, bert)
	w.status(403, "GET", "/v2/"+c.Storage+"/manifests/1", basic("ann", password))
	// With a right to read it, mounting works.
	if err := w.catalog.Give(t.Context(), w.ann, catalog.Grant{Namespace: "ann", Repository: "ann/secret", Kind: "user", Subject: "bert", Role: catalog.Read}); err != nil {
		t.Fatal(err)
	}
	resp, _ := w.ask("POST", "/v2/bert/own/blobs/uploads/?mount="+blob+"&from=ann/secret", bert, "")
	if resp.StatusCode != http.StatusCreated || !strings.HasSuffix(resp.Header.Get("Location"), "/v2/bert/own/blobs/"+blob) {
		t.Errorf("mount: %d %s", resp.StatusCode, resp.Header.Get("Location"))
	}
	w.status(200, "GET", "/v2/bert/own/blobs/"+blob, bert)
}

// TestRightsEndAtOnce uses tokens that are still good after what they rest on
// was taken away (CVE-2025-23208).
func TestRightsEndAtOnce(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	w.push(w.ann, "acme/app", "x")
	scope := "repository:acme/app:pull,push,delete"
	if _, err := w.accounts.CreateTeam(ctx, w.ann, "acme", "devs", ""); err != nil {
		t.Fatal(err)
	}
	grant := catalog.Grant{Namespace: "acme", Repository: "acme/app", Kind: "team", Subject: "devs", Role: catalog.Write}
	join := func() error {
		return errors.Join(w.accounts.SetMember(ctx, w.ann, "acme", "bert", "member"), w.accounts.AddTeamMember(ctx, w.ann, "acme", "devs", "bert"), w.catalog.Give(ctx, w.ann, grant))
	}
	for name, end := range map[string]func() error{
		"left the team":          func() error { return w.accounts.RemoveTeamMember(ctx, w.ann, "acme", "devs", "bert") },
		"left the organisation":  func() error { return w.accounts.RemoveMember(ctx, w.ann, "acme", "bert") },
		"the grant was taken":    func() error { return w.catalog.Take(ctx, w.ann, grant) },
		"the account was locked": func() error { return w.accounts.SetDisabled(ctx, account.System("test"), "bert", true) },
	} {
		if err := errors.Join(join(), w.accounts.SetDisabled(ctx, account.System("test"), "bert", false)); err != nil {
			t.Fatal(err)
		}
		bearer := w.token(basic("bert", password), scope)
		w.status(200, "GET", "/v2/acme/app/tags/list", bearer)
		w.status(202, "POST", "/v2/acme/app/blobs/uploads/", bearer)
		w.status(403, "DELETE", "/v2/acme/app/manifests/1", bearer)
		if err := end(); err != nil {
			t.Fatal(name, err)
		}
		if resp, _ := w.ask("GET", "/v2/acme/app/tags/list", bearer, ""); resp.StatusCode < 400 {
			t.Errorf("%s: still reads", name)
		}
		if resp, _ := w.ask("POST", "/v2/acme/app/blobs/uploads/", bearer, ""); resp.StatusCode < 400 {
			t.Errorf("%s: still writes", name)
		}
	}
	// Of an access token: revoked, and never more than its scopes.
	token, secret, err := w.accounts.CreateToken(ctx, w.ann, account.NewToken{Name: "ci", Scopes: []account.Scope{account.ScopeRead}})
	if err != nil {
		t.Fatal(err)
	}
	bearer := w.token(basic("ann", secret), scope)
	w.status(200, "GET", "/v2/acme/app/tags/list", bearer)
	w.status(403, "POST", "/v2/acme/app/blobs/uploads/", bearer)
	w.status(403, "POST", "/v2/acme/app/blobs/uploads/", basic("ann", secret))
	if err := w.accounts.RevokeToken(ctx, w.ann, token.ID); err != nil {
		t.Fatal(err)
	}
	w.status(401, "GET", "/v2/acme/app/tags/list", bearer)
	// Five minutes and the slack are over.
	bearer = w.token(basic("ann", password), scope)
	w.clock = w.clock.Add(6 * time.Minute)
	w.status(401, "GET", "/v2/acme/app/tags/list", bearer)
}

func TestPublicAndRenamed(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	i := w.push(w.ann, "ann/app", "x")
	blob := "/blobs/" + i.Blobs[0].Descriptor.Digest.String()
	if err := w.catalog.SetPublic(ctx, w.ann, "ann/app", true); err != nil {
		t.Fatal(err)
	}
	w.status(200, "GET", "/v2/ann/app"+blob, "")
	w.status(200, "GET", "/v2/ann/app"+blob, w.token("", "repository:ann/app:pull"))
	w.status(401, "POST", "/v2/ann/app/blobs/uploads/", "")
	w.status(403, "DELETE", "/v2/ann/app/manifests/1", basic("bert", password))
	if err := w.catalog.Rename(ctx, w.bert, "ann/app", "bert/app"); err == nil {
		t.Error("bert took ann's repository")
	}
	if err := w.catalog.Rename(ctx, w.ann, "ann/app", "bert/app"); err == nil {
		t.Error("ann put a repository into bert's namespace")
	}
	if err := w.catalog.Rename(ctx, w.ann, "ann/app", "acme/app"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"acme/app", "ann/app"} { // and the old name leads there
		w.status(200, "GET", "/v2/"+name+blob, "")
		if body := w.status(200, "GET", "/v2/"+name+"/manifests/1", ""); body != string(i.Root().Data) {
			t.Errorf("%s: %s", name, body)
		}
	}
	w.push(w.ann, "ann/app", "new") // goes where the old name leads
	if list, err := w.catalog.List(ctx, w.ann, catalog.Query{}); err != nil || len(list) != 1 || list[0].Name != "acme/app" {
		t.Errorf("%+v, %v", list, err)
	}
	c, _, err := w.catalog.Find(ctx, w.ann, "acme/app")
	if err != nil {
		t.Fatal(err)
	}
	if h, err := w.catalog.History(ctx, c, "1", 0); err != nil || len(h) != 2 || h[0].Previous == "" || h[1].Previous != "" {
		t.Errorf("%+v, %v", h, err)
	}
	if err := w.catalog.FlushPulls(ctx); err != nil {
		t.Fatal(err)
	}
	if c, _, err = w.catalog.Find(ctx, w.ann, "acme/app"); err != nil || c.Pulls != 2 {
		t.Errorf("%d pulls, %v", c.Pulls, err)
	}
	var seen []string
	for _, e := range w.events {
		seen = append(seen, e.Action+" "+e.Repo.Name+":"+e.Tag)
	}
	if got := strings.Join(seen, ", "); got != "push ann/app:1, pull acme/app:1, pull acme/app:1, push acme/app:1" {
		t.Errorf("events: %s", got)
	}
	if err := w.catalog.Remove(ctx, w.ann, "acme/app"); err != nil {
		t.Fatal(err)
	}
	w.status(401, "GET", "/v2/acme/app"+blob, "")
	w.push(w.ann, "acme/app", "other")
	w.status(404, "GET", "/v2/acme/app"+blob, basic("ann", password))
}

// TestNamesAreOnlyNames sends names that are also SQL, paths or longer than any.
func TestNamesAreOnlyNames(t *testing.T) {
	w := newWorld(t)
	w.push(w.ann, "ann/secret", "private")
	bert := basic("bert", password)
	for _, name := range []string{
		"ann/secret'--", "x'%20OR%20'1'='1", "bert/..%2fann%2fsecret", "bert/../ann/secret", "bert%2f%2e%2e%2fann/secret", "bert/%00ann", "bert/" + strings.Repeat("a", 300),
		"%25", "bert/app%27%3b%20DROP%20TABLE%20repositories%3b--",
	} {
		for _, path := range []string{"/tags/list", "/manifests/1", "/referrers/sha256:" + strings.Repeat("0", 64)} {
			if resp, body := w.ask("GET", "/v2/"+name+path, bert, ""); resp.StatusCode < 300 || resp.StatusCode >= 500 {
				t.Errorf("%s%s: %d %s", name, path, resp.StatusCode, body)
			}
		}
		resp, body := w.ask("GET", "/token?scope=repository:"+name+":pull,push", bert, "")
		if resp.StatusCode >= 500 {
			t.Errorf("token for %s: %d %s", name, resp.StatusCode, body)
		}
		resp, body = w.ask("GET", "/v2/_catalog?n=5&last="+name, bert, "")
		if resp.StatusCode != 200 || strings.Contains(body, "secret") {
			t.Errorf("catalogue after %s: %d %s", name, resp.StatusCode, body)
		}
	}
	for _, tag := range []string{"1'--", "..%2f..%2fx", strings.Repeat("a", 200)} {
		if resp, _ := w.ask("GET", "/v2/ann/secret/manifests/"+tag, basic("ann", password), ""); resp.StatusCode < 300 || resp.StatusCode > 499 {
			t.Errorf("tag %s: %d", tag, resp.StatusCode)
		}
	}
	w.status(200, "GET", "/v2/ann/secret/tags/list", basic("ann", password))
}
