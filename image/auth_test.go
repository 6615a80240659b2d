package image

import (
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/moby/moby/api/types/registry"

	"github.com/berth-engine/berth/oci"
)

// witness is a foreign server that remembers every credential it is shown.
type witness struct {
	*httptest.Server
	mu     sync.Mutex
	seen   int
	leaked []string
	token  string
}

func newWitness(t *testing.T, secrets ...string) *witness {
	t.Helper()
	w := &witness{token: "foreign-token"}
	w.Server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil {
			t.Error(err)
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		w.seen++
		all := fmt.Sprint(r.Header, r.Form)
		for _, s := range secrets {
			if strings.Contains(all, s) {
				w.leaked = append(w.leaked, r.Method+" "+r.URL.String()+" "+all)
			}
		}
		fmt.Fprintf(rw, `{"token":%q,"access_token":%q}`, w.token, w.token)
	}))
	t.Cleanup(w.Close)
	return w
}

func (w *witness) check(t *testing.T, visited bool) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.leaked) > 0 {
		t.Errorf("credentials reached a foreign server:\n%s", strings.Join(w.leaked, "\n"))
	}
	if visited && w.seen == 0 {
		t.Error("the foreign server was not visited: the test proves nothing")
	}
}

const password = "c0rrecthorse"

var (
	basic  = base64.StdEncoding.EncodeToString([]byte("me:" + password))
	login  = &registry.AuthConfig{Username: "me", Password: password}
	secret = []string{password, basic, "refresh-me", "bearer-me"}
)

// demand makes a registry ask for authorization until ok says yes.
func demand(challenge string, ok func(r *http.Request) bool) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if ok(r) {
			return false
		}
		w.Header().Set("WWW-Authenticate", challenge)
		w.WriteHeader(http.StatusUnauthorized)
		return true
	}
}

func TestBasicAndTokenAuth(t *testing.T) {
	reg := newRegistry(t)
	reg.put("private:1", twoLayers(t, "a"))
	ref := reg.host() + "/private:1"
	s, _ := openStore(t, t.TempDir())

	reg.setHook(demand(`Basic realm="r"`, func(r *http.Request) bool { return r.Header.Get("Authorization") == "Basic "+basic }))
	if err := s.Pull(t.Context(), ref, PullOptions{}); err == nil || !strings.Contains(err.Error(), "may require 'docker login'") {
		t.Errorf("anonymous: %v", err)
	}
	if err := s.Pull(t.Context(), ref, PullOptions{Auth: &registry.AuthConfig{Username: "me", Password: password, ServerAddress: "elsewhere.example"}}); err == nil {
		t.Error("credentials for another registry were used")
	}
	for _, a := range []*registry.AuthConfig{login, {Auth: basic}, {Username: "me", Password: password, ServerAddress: "http://" + reg.host() + "/v2/"}} {
		if err := s.Pull(t.Context(), ref, PullOptions{Auth: a}); err != nil {
			t.Errorf("basic: %v", err)
		}
	}

	reg.setHook(demand(`Bearer`, func(r *http.Request) bool { return r.Header.Get("Authorization") == "Bearer bearer-me" }))
	if err := s.Pull(t.Context(), ref, PullOptions{Auth: &registry.AuthConfig{RegistryToken: "bearer-me"}}); err != nil {
		t.Errorf("registry token: %v", err)
	}

	// A token server of the registry itself gets password and identity token.
	var got string
	reg.setHook(func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == "/token" {
			if err := r.ParseForm(); err != nil {
				t.Error(err)
			}
			got = r.Form.Get("grant_type") + " " + r.Form.Get("password") + r.Form.Get("refresh_token")
			fmt.Fprint(w, `{"access_token":"good"}`)
			return true
		}
		return demand(fmt.Sprintf(`Bearer realm="%s/token",service="s"`, reg.URL), func(r *http.Request) bool {
			return r.Header.Get("Authorization") == "Bearer good"
		})(w, r)
	})
	for _, c := range []struct {
		auth *registry.AuthConfig
		want string
	}{{login, "password " + password}, {&registry.AuthConfig{Username: "me", IdentityToken: "refresh-me"}, "refresh_token refresh-me"}} {
		if err := s.Pull(t.Context(), ref, PullOptions{Auth: c.auth}); err != nil || got != c.want {
			t.Errorf("token server saw %q, want %q; %v", got, c.want, err)
		}
	}
}

// TestCredentialsStayHome: no trick makes them leave for another origin.
func TestCredentialsStayHome(t *testing.T) {
	home := func(r *http.Request) bool { return r.Header.Get("Authorization") == "Basic "+basic }
	img := twoLayers(t, "a")
	layer := img.Blobs[0].Descriptor.Digest.String()
	for name, c := range map[string]struct {
		hook    func(reg *fakeRegistry, foreign *witness) func(http.ResponseWriter, *http.Request) bool
		auths   []*registry.AuthConfig
		visited bool
	}{
		"realm": {func(_ *fakeRegistry, f *witness) func(http.ResponseWriter, *http.Request) bool {
			return demand(`Bearer realm="`+f.URL+`/token",service="s"`, func(*http.Request) bool { return false })
		}, []*registry.AuthConfig{login, {IdentityToken: "refresh-me"}}, true},
		"realm after basic": {func(_ *fakeRegistry, f *witness) func(http.ResponseWriter, *http.Request) bool {
			n := 0
			return func(w http.ResponseWriter, r *http.Request) bool {
				if n++; n == 1 {
					return demand(`Basic realm="x"`, func(*http.Request) bool { return false })(w, r)
				}
				w.Header().Add("WWW-Authenticate", `Basic realm="x"`)
				w.Header().Add("WWW-Authenticate", `Bearer realm="`+f.URL+`/token",service="s"`)
				w.WriteHeader(http.StatusUnauthorized)
				return true
			}
		}, []*registry.AuthConfig{login}, true},
		"token server redirects": {func(reg *fakeRegistry, f *witness) func(http.ResponseWriter, *http.Request) bool {
			return func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path == "/token" {
					http.Redirect(w, r, f.URL+"/token", http.StatusTemporaryRedirect)
					return true
				}
				return demand(`Bearer realm="`+reg.URL+`/token",service="s"`, func(*http.Request) bool { return false })(w, r)
			}
		}, []*registry.AuthConfig{login, {IdentityToken: "refresh-me"}}, false},
		"layer redirects": {func(_ *fakeRegistry, f *witness) func(http.ResponseWriter, *http.Request) bool {
			return func(w http.ResponseWriter, r *http.Request) bool {
				if strings.HasSuffix(r.URL.Path, layer) && home(r) {
					http.Redirect(w, r, f.URL+"/blob", http.StatusTemporaryRedirect)
					return true
				}
				return demand(`Basic realm="x"`, home)(w, r)
			}
		}, []*registry.AuthConfig{login}, true},
		"bearer redirects": {func(_ *fakeRegistry, f *witness) func(http.ResponseWriter, *http.Request) bool {
			return func(w http.ResponseWriter, r *http.Request) bool {
				http.Redirect(w, r, f.URL+r.URL.Path, http.StatusTemporaryRedirect)
				return true
			}
		}, []*registry.AuthConfig{{RegistryToken: "bearer-me"}}, true},
	} {
		t.Run(name, func(t *testing.T) {
			foreign := newWitness(t, secret...)
			reg := newRegistry(t)
			reg.put("private:1", img)
			reg.setHook(c.hook(reg, foreign))
			s, _ := openStore(t, t.TempDir())
			for _, a := range c.auths {
				if err := s.Pull(t.Context(), reg.host()+"/private:1", PullOptions{Auth: a}); err == nil {
					t.Error("the pull succeeded")
				}
			}
			foreign.check(t, c.visited)
			wantEmpty(t, s)
		})
	}
}

// TestForeignLayerAddress: addresses in a manifest are not fetched.
func TestForeignLayerAddress(t *testing.T) {
	foreign := newWitness(t, secret...)
	reg := newRegistry(t)
	img := twoLayers(t, "a")
	d := img.Blobs[0].Descriptor
	d.URLs = []string{foreign.URL + "/layer"}
	m := oci.NewBlob(img.Root().Descriptor.MediaType, fmt.Appendf(nil, `{"schemaVersion":2,"config":%s,"layers":[%s,%s]}`,
		toJSON(t, img.Blobs[2].Descriptor), toJSON(t, d), toJSON(t, img.Blobs[1].Descriptor)))
	reg.put("urls:1", oci.Image{Blobs: img.Blobs, Manifests: []oci.Blob{m}})
	s, _ := openStore(t, t.TempDir())
	mustPull(t, s, reg.host()+"/urls:1")
	if foreign.seen > 0 {
		t.Error("an address named by the manifest was fetched")
	}
}

// TestMirrors: the mirror is asked first and without credentials; what it does
// not have comes from the registry.
func TestMirrors(t *testing.T) {
	origin := newRegistry(t)
	img := twoLayers(t, "a")
	origin.put("private:1", img)
	mirror := newWitness(t, secret...)
	asked := newRegistry(t)
	asked.setHook(func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("WWW-Authenticate", `Bearer realm="`+mirror.URL+`/token",service="s"`)
		w.WriteHeader(http.StatusUnauthorized)
		return true
	})
	origin.setHook(demand(`Basic realm="x"`, func(r *http.Request) bool { return r.Header.Get("Authorization") == "Basic "+basic }))
	s, _ := openStore(t, t.TempDir())
	s.SetRegistries(Registries{Mirrors: map[string][]string{origin.host(): {"http://127.0.0.1:1", asked.URL + "/prefix/"}}})
	if err := s.Pull(t.Context(), origin.host()+"/private:1", PullOptions{Auth: login}); err != nil {
		t.Fatal(err)
	}
	mirror.check(t, true)
	if n := asked.requests("/prefix/v2/private/manifests/1"); n == 0 {
		t.Error("the mirror was not asked")
	}

	// A mirror that has the image is enough: the registry is not asked.
	full := newRegistry(t)
	full.put("library/hello:latest", img)
	s.SetRegistries(Registries{Mirrors: map[string][]string{"docker.io": {full.URL}}})
	mustPull(t, s, "hello")
	s.SetRegistries(Registries{Mirrors: map[string][]string{"docker.io": {"ftp://x"}}})
	if err := s.Pull(t.Context(), "hello", PullOptions{}); err == nil || !strings.Contains(err.Error(), "invalid mirror") {
		t.Errorf("%v", err)
	}
}

// TestTagsOfMirrors: the tags of a repository are a mirror's, if one can tell, and else
// the registry's.
func TestTagsOfMirrors(t *testing.T) {
	source := newRegistry(t)
	source.put("app:v1", twoLayers(t, "m"))
	s, _ := openStore(t, t.TempDir())
	mustPull(t, s, source.host()+"/app:v1")
	asked := map[string]string{}
	var mu sync.Mutex
	note := func(name string) func(http.Handler) http.Handler {
		return func(h http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if strings.HasSuffix(r.URL.Path, "/tags/list") {
					mu.Lock()
					asked[name] = r.URL.RawQuery
					mu.Unlock()
				}
				h.ServeHTTP(w, r)
			})
		}
	}
	origin, mirror := newDistribution(t, note("origin")).URL, newDistribution(t, note("mirror")).URL
	host := strings.TrimPrefix(origin, "http://")
	for _, to := range []string{host, strings.TrimPrefix(mirror, "http://")} {
		for _, tag := range []string{":v1", ":v2"} {
			mustTag(t, s, source.host()+"/app:v1", to+"/app"+tag)
			mustPush(t, s, to+"/app"+tag)
		}
	}
	mustTag(t, s, source.host()+"/app:v1", host+"/rest:v3")
	mustPush(t, s, host+"/rest:v3")

	fresh, _ := openStore(t, t.TempDir())
	fresh.SetRegistries(Registries{Mirrors: map[string][]string{host: {"http://127.0.0.1:1", mirror}}})
	all := func(repository string, tags ...string) {
		t.Helper()
		if err := fresh.PullAll(t.Context(), host+repository, PullOptions{}); err != nil {
			t.Error(err)
		}
		for _, tag := range tags {
			if _, err := fresh.Resolve(t.Context(), host+repository+tag, nil); err != nil {
				t.Error(err)
			}
		}
	}
	all("/app", ":v1", ":v2")
	if want := map[string]string{"mirror": "ns=" + url.QueryEscape(host)}; !maps.Equal(asked, want) {
		t.Errorf("asked for tags: %v", asked)
	}
	all("/rest", ":v3")
	if _, ok := asked["origin"]; !ok {
		t.Error("what no mirror has is not asked of the registry")
	}
}

// TestInsecureTLS: a certificate that nobody signed will do on loopback.
func TestInsecureTLS(t *testing.T) {
	reg := newRegistry(t)
	reg.put("tls:1", twoLayers(t, "a"))
	secure := httptest.NewTLSServer(reg)
	defer secure.Close()
	s, _ := openStore(t, t.TempDir())
	mustPull(t, s, strings.TrimPrefix(secure.URL, "https://")+"/tls:1")
}

// TestPlainRedirect: a registry with TLS does not make us read from a connection
// without.
func TestPlainRedirect(t *testing.T) {
	img := twoLayers(t, "a")
	plain, reg := newRegistry(t), newRegistry(t)
	plain.put("some/image:1", img)
	reg.put("some/image:1", img)
	secure, ca := newTLS(t, reg, nil)
	root := writeFiles(t, map[string]string{
		"registry.test/hosts.toml": fmt.Sprintf("server = %q\nca = 'ca.pem'", secure.URL), "registry.test/ca.pem": ca,
	})
	for _, part := range []string{"/manifests/", "/blobs/", "/tags/"} {
		reg.setHook(func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.Contains(r.URL.Path, part) {
				return false
			}
			http.Redirect(w, r, plain.URL+r.URL.Path, http.StatusTemporaryRedirect)
			return true
		})
		s, _ := openStore(t, t.TempDir())
		s.SetRegistries(Registries{ConfigDirs: []string{root}})
		pull := func() error { return s.Pull(t.Context(), "registry.test/some/image:1", PullOptions{}) }
		if part == "/tags/" {
			pull = func() error { return s.PullAll(t.Context(), "registry.test/some/image", PullOptions{}) }
		}
		if err := pull(); err == nil || !strings.Contains(err.Error(), "from HTTPS to plain HTTP") {
			t.Errorf("%s: %v", part, err)
		}
		if n := plain.requests(""); n > 0 {
			t.Errorf("%s: %d requests over the plain connection", part, n)
		}
	}
}

// TestTagsRedirect: another port of the same host is another origin, also for
// the lists of tags.
func TestTagsRedirect(t *testing.T) {
	foreign := newWitness(t, secret...)
	reg := newRegistry(t)
	reg.setHook(func(w http.ResponseWriter, r *http.Request) bool {
		http.Redirect(w, r, foreign.URL+r.URL.Path, http.StatusTemporaryRedirect)
		return true
	})
	s, _ := openStore(t, t.TempDir())
	_ = s.PullAll(t.Context(), reg.host()+"/some/image", PullOptions{Auth: &registry.AuthConfig{RegistryToken: "bearer-me"}})
	foreign.check(t, true)
}
