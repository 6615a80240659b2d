package remote

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
)

// witness is a server that remembers what it was asked.
type witness struct {
	*httptest.Server
	mu   sync.Mutex
	seen []string // "METHOD path?query authorization body"
}

func newWitness(t *testing.T, answer http.HandlerFunc) *witness {
	t.Helper()
	w := &witness{}
	w.Server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.mu.Lock()
		w.seen = append(w.seen, strings.TrimSpace(fmt.Sprintf("%s %s %s %s", r.Method, r.URL, r.Header.Get("Authorization"), body)))
		w.mu.Unlock()
		answer(rw, r)
	}))
	t.Cleanup(w.Close)
	return w
}

func (w *witness) asked() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	list := strings.Join(w.seen, "\n")
	w.seen = nil
	return list
}

// TestBound: a client that hands its user's password to whatever a registry names
// does not, below Hosts.
func TestBound(t *testing.T) {
	token := func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"token":"for-anybody"}`) }
	foreign := newWitness(t, token)
	var challenge string
	var redirect string
	var registry *witness
	registry = newWitness(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/token":
			token(w, r)
		case r.URL.Path == "/v2/moved":
			http.Redirect(w, r, redirect, http.StatusTemporaryRedirect)
		case r.Header.Get("Authorization") != "Bearer for-anybody":
			w.Header().Set("WWW-Authenticate", challenge)
			w.WriteHeader(http.StatusUnauthorized)
		}
	})
	origin, err := url.Parse(registry.URL)
	if err != nil {
		t.Fatal(err)
	}
	var client *http.Client
	renew := func() {
		hosts, err := New().Hosts(t.Context(), Registries{}, origin.Host)
		if err != nil {
			t.Fatal(err)
		}
		client = hosts[len(hosts)-1].Client
	}
	renew()
	get := func(address, authorization string) (int, string, error) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
		if err != nil {
			t.Fatal(err)
		}
		if authorization != "" {
			req.Header.Set("Authorization", authorization)
		}
		resp, err := client.Do(req)
		if err != nil {
			return 0, "", err
		}
		resp.Body.Close()
		return resp.StatusCode, resp.Header.Get("WWW-Authenticate"), nil
	}

	// A token server elsewhere: asked for what anybody gets, the client hears nothing.
	challenge = `Bearer realm="` + foreign.URL + `/token",service="s",scope="repository:x:pull"`
	status, header, err := get(registry.URL+"/v2/x", "Basic c2VjcmV0")
	if err != nil || status != http.StatusOK || header != "" {
		t.Errorf("%d %q %v", status, header, err)
	}
	if got := foreign.asked(); !strings.Contains(got, "/token?") || strings.Contains(got, "Basic") {
		t.Errorf("the foreign token server was asked:\n%s", got)
	}
	// And if that is not enough, it is an error that says why.
	renew()
	registry.asked()
	challenge = `Bearer realm="` + foreign.URL + `/none",service="s"`
	foreign.Config.Handler = http.NotFoundHandler()
	if _, _, err := get(registry.URL+"/v2/x", ""); err == nil || !strings.Contains(err.Error(), "another site") {
		t.Errorf("%v", err)
	}
	foreign.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		foreign.mu.Lock()
		foreign.seen = append(foreign.seen, r.Header.Get("Authorization"))
		foreign.mu.Unlock()
	})

	// One of the registry's own origin is the client's to ask, with the password.
	challenge = `Bearer realm="` + registry.URL + `/token",service="s"`
	if status, header, err := get(registry.URL+"/v2/x", ""); err != nil || status != http.StatusUnauthorized || header != challenge {
		t.Errorf("%d %q %v", status, header, err)
	}
	registry.asked()
	if _, _, err := get(registry.URL+"/token", "Basic c2VjcmV0"); err != nil || !strings.Contains(registry.asked(), "Basic c2VjcmV0") {
		t.Errorf("%v", err)
	}

	// A redirect takes nothing along, nor does a token request that nobody asked for.
	foreign.asked()
	redirect = foreign.URL + "/blob"
	if status, _, err := get(registry.URL+"/v2/moved", "Bearer secret"); err != nil || status != http.StatusOK {
		t.Errorf("%d %v", status, err)
	}
	if _, _, err := get(foreign.URL+"/token", "Basic c2VjcmV0"); err != nil {
		t.Error(err)
	}
	if got := foreign.asked(); strings.Contains(got, "secret") || strings.Contains(got, "Basic") {
		t.Errorf("elsewhere was told:\n%s", got)
	}
}
