package remote

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/pkg/reference"
)

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestTokenScope: a registry that names another token server of its site does
// not get a token for more than the user asked for; nor one from elsewhere the
// password.
func TestTokenScope(t *testing.T) {
	for _, c := range []struct {
		realm    string
		password bool
		scopes   string
	}{
		{"https://auth.example.com/token", true, "repository:mine:pull"},
		{"https://registry.example.com/token", true, "repository:mine:pull repository:yours:pull,push"},
		{"https://auth.example.net/token", false, "repository:mine:pull repository:yours:pull,push"},
		{"https://auth.example.com:8443/token", false, "repository:mine:pull repository:yours:pull,push"},
		{"http://auth.example.com/token", false, "repository:mine:pull repository:yours:pull,push"},
		{"http://registry.example.com/token", false, "repository:mine:pull repository:yours:pull,push"},
	} {
		var asked []string
		password := false
		client := &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			data := ""
			if r.Body != nil {
				body, _ := io.ReadAll(r.Body)
				data = string(body)
			}
			form, _ := url.ParseQuery(data)
			asked = append(r.URL.Query()["scope"], strings.Fields(form.Get("scope"))...)
			user, _, _ := r.BasicAuth()
			password = user != "" || strings.Contains(fmt.Sprint(r.URL, form), "c0rrect")
			return &http.Response{
				StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(`{"token":"t","access_token":"t"}`)), Request: r, Header: http.Header{},
			}, nil
		})}
		home, _ := url.Parse("https://registry.example.com")
		a := newAuthorizer(client, home, false, &credentials{user: "me", secret: "c0rrect"})
		ref, err := reference.Parse("registry.example.com/mine:1")
		if err != nil {
			t.Fatal(err)
		}
		ctx, err := docker.ContextWithRepositoryScope(t.Context(), ref, false)
		if err != nil {
			t.Fatal(err)
		}
		req, _ := http.NewRequestWithContext(ctx, http.MethodGet, home.String()+"/v2/mine/manifests/1", nil)
		resp := &http.Response{StatusCode: http.StatusUnauthorized, Request: req, Header: http.Header{
			"Www-Authenticate": {fmt.Sprintf(`Bearer realm=%q,service="s",scope="repository:yours:pull,push"`, c.realm)},
		}}
		if err := a.AddResponses(ctx, []*http.Response{resp}); err != nil {
			t.Fatal(err)
		}
		if err := a.Authorize(ctx, req); err != nil {
			t.Errorf("%s: %v", c.realm, err)
		}
		if got := strings.Join(asked, " "); got != c.scopes || password != c.password {
			t.Errorf("%s: scopes %q, password sent: %v", c.realm, got, password)
		}
	}
}
