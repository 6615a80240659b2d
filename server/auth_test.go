package server

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/registry"
	"github.com/moby/moby/client"

	"github.com/berth-engine/berth/image"
)

// loginRegistry is a registry that knows user and password by Basic, or by a
// token of its own token service.
func loginRegistry(t *testing.T, scheme string, tls bool) *httptest.Server {
	t.Helper()
	mux := http.NewServeMux()
	hs := httptest.NewUnstartedServer(mux)
	mux.HandleFunc("/v2/", func(w http.ResponseWriter, r *http.Request) {
		u, p, basic := r.BasicAuth()
		if scheme == "none" || scheme == "Basic" && basic && u == "user" && p == "pass" || r.Header.Get("Authorization") == "Bearer good" {
			return
		}
		if scheme == "odd" {
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
			return
		}
		w.Header().Set("WWW-Authenticate", scheme+` realm="`+hs.URL+`/token",service="s"`)
		if scheme == "evil" {
			w.Header().Set("WWW-Authenticate", `Bearer realm="http://evil.example/token",service="s"`)
		}
		w.WriteHeader(http.StatusUnauthorized)
	})
	mux.HandleFunc("/token", func(w http.ResponseWriter, r *http.Request) {
		u, p, _ := r.BasicAuth()
		if r.Method == http.MethodPost && r.PostFormValue("refresh_token") == "refresh" {
			fmt.Fprint(w, `{"access_token":"good","refresh_token":"refresh"}`)
			return
		}
		if u != "user" || p != "pass" || r.URL.Query().Get("offline_token") != "true" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		fmt.Fprint(w, `{"token":"good","refresh_token":"refresh"}`)
	})
	if tls {
		hs.StartTLS()
	} else {
		hs.Start()
	}
	t.Cleanup(hs.Close)
	return hs
}

// unkinded errors become 500.
func unkinded(err error) bool { return status(err) == http.StatusInternalServerError }

func TestLogin(t *testing.T) {
	insecure := image.Registries{Insecure: []string{"127.0.0.0/8"}}
	for _, tc := range []struct {
		scheme   string
		tls      bool
		settings image.Registries
		cfg      registry.AuthConfig
		token    string
		fails    string // text of the error; "": none
		kind     func(error) bool
	}{
		{"Basic", false, image.Registries{}, registry.AuthConfig{Username: "user", Password: "pass"}, "", "", nil},
		{"Basic", true, insecure, registry.AuthConfig{Username: "user", Password: "pass"}, "", "", nil},
		{"Basic", true, image.Registries{}, registry.AuthConfig{Username: "user", Password: "pass"}, "", "", nil}, // on loopback
		{"Basic", false, image.Registries{}, registry.AuthConfig{Username: "user", Password: "wrong"}, "", "401 Unauthorized", errdefs.IsUnauthorized},
		{"Bearer", false, image.Registries{}, registry.AuthConfig{Username: "user", Password: "pass"}, "refresh", "", nil},
		{"Bearer", true, insecure, registry.AuthConfig{Username: "user", IdentityToken: "refresh"}, "refresh", "", nil},
		{"Bearer", false, image.Registries{}, registry.AuthConfig{Username: "user", Password: "wrong"}, "", "incorrect username or password", errdefs.IsUnauthorized},
		{"evil", true, insecure, registry.AuthConfig{Username: "user", Password: "pass"}, "", "without TLS", errdefs.IsPermissionDenied},
		{"odd", false, image.Registries{}, registry.AuthConfig{}, "", "302", errdefs.IsInternal},
		{"none", false, image.Registries{}, registry.AuthConfig{Username: "a", Password: "b"}, "", "", nil},
	} {
		hs := loginRegistry(t, tc.scheme, tc.tls)
		tc.cfg.ServerAddress = hs.URL + "/v2/"
		token, err := login(t.Context(), tc.settings, tc.cfg, "test")
		if tc.fails == "" && (err != nil || token != tc.token) || tc.fails != "" && (err == nil || !strings.Contains(err.Error(), tc.fails) || !tc.kind(err)) {
			t.Errorf("%s tls=%v %+v: %q %v", tc.scheme, tc.tls, tc.cfg, token, err)
		}
		if err != nil && strings.Contains(err.Error(), "pass:") {
			t.Errorf("leaks: %v", err)
		}
	}
	if _, err := login(t.Context(), image.Registries{}, registry.AuthConfig{ServerAddress: "user@host"}, ""); !errdefs.IsInvalidArgument(err) {
		t.Errorf("bad address: %v", err)
	}
}

// TestLoginTrusts: what the registries' directory says of certificates holds for
// a login, too: the authority's, and this client's own, which the registry wants.
func TestLoginTrusts(t *testing.T) {
	hs := loginRegistry(t, "Bearer", true)
	hs.TLS.ClientAuth = tls.RequireAnyClientCert
	host := strings.TrimPrefix(hs.URL, "https://")
	root := t.TempDir()
	dir := filepath.Join(root, host)
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(hs.TLS.Certificates[0].PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: hs.Certificate().Raw})
	settings := image.Registries{ConfigDirs: []string{root}}
	cfg := registry.AuthConfig{Username: "user", Password: "pass", ServerAddress: host}
	for _, c := range []struct {
		file  string
		data  []byte
		fails string
	}{
		{"ca.crt", certificate, "certificate required"},
		{"client.key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}), "client.cert is missing"},
		{"client.cert", certificate, ""},
		{"ca.crt", []byte("nonsense"), "ca.crt holds no certificate"},
	} {
		if err := os.WriteFile(filepath.Join(dir, c.file), c.data, 0o600); err != nil {
			t.Fatal(err)
		}
		token, err := login(t.Context(), settings, cfg, "test")
		if c.fails == "" && (err != nil || token != "refresh") || c.fails != "" && (err == nil || !strings.Contains(err.Error(), c.fails)) {
			t.Errorf("with %s: %q, %v", c.file, token, err)
		}
	}
}

// TestLoginHostsFile: a login goes where hosts.toml says that the registry is, with
// the headers that it wants, and with the trust that the file has and no more.
func TestLoginHostsFile(t *testing.T) {
	hs := loginRegistry(t, "Bearer", true)
	var key string
	inner := hs.Config.Handler
	hs.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/v2") {
			key = r.Header.Get("X-Key")
		} else if r.Header.Get("X-Key") != "" {
			t.Errorf("%s got the registry's header", r.URL)
		}
		inner.ServeHTTP(w, r)
	})
	dir := filepath.Join(t.TempDir(), "registry.test")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: hs.Certificate().Raw})
	if err := os.WriteFile(filepath.Join(dir, "ca.pem"), authority, 0o600); err != nil {
		t.Fatal(err)
	}
	settings := image.Registries{ConfigDirs: []string{filepath.Dir(dir)}}
	cfg := registry.AuthConfig{Username: "user", Password: "pass", ServerAddress: "registry.test"}
	server := fmt.Sprintf("server = %q\n", hs.URL)
	for text, fails := range map[string]string{
		server: "certificate signed by unknown authority",
		server + "ca = 'ca.pem'\n[header]\nX-Key = 'good'\n":      "",
		server + "skip_verify = true\n[header]\nX-Key = 'good'\n": "",
		server + "ca = 'ca.pem'\n[host.'http://127.0.0.1:1']\n":   "", // mirrors know nobody
		server + "certificate = 'ca.pem'\n":                       "unknown setting",
		strings.Replace(server, "https:", "http:", 1):             "400 Bad Request", // as it answers plain HTTP
	} {
		if err := os.WriteFile(filepath.Join(dir, "hosts.toml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		key = ""
		token, err := login(t.Context(), settings, cfg, "test")
		if fails == "" && (err != nil || token != "refresh") || fails != "" && (err == nil || !strings.Contains(err.Error(), fails)) {
			t.Errorf("with %s: %q, %v", text, token, err)
		}
		if strings.Contains(text, "X-Key") && key != "good" {
			t.Errorf("with %s: the registry got the header %q", text, key)
		}
	}
}

func TestRegistryHost(t *testing.T) {
	for in, want := range map[string]string{
		"": "docker.io", "https://index.docker.io/v1/": "docker.io", "registry-1.docker.io": "docker.io",
		"http://h:5000/v2/": "h:5000", "ghcr.io": "ghcr.io",
	} {
		if got := registryHost(in); got != want {
			t.Errorf("%s: %s", in, got)
		}
	}
}

func TestAuthOperation(t *testing.T) {
	reg := loginRegistry(t, "Basic", false)
	_, hs := serve(t, nil, nil)
	cli := mobyClient(t, hs)
	o := client.RegistryLoginOptions{Username: "user", Password: "pass", ServerAddress: reg.Listener.Addr().String()}
	if r, err := cli.RegistryLogin(t.Context(), o); err != nil || r.Auth.Status != "Login Succeeded" {
		t.Errorf("%+v %v", r, err)
	}
	o.Password = "no"
	if _, err := cli.RegistryLogin(t.Context(), o); !errdefs.IsUnauthorized(err) {
		t.Errorf("%v", err)
	}
	if code, body, _ := do(t, hs, http.MethodPost, "/auth", `{"username":`); code != 400 {
		t.Errorf("%d %s", code, body)
	}
}
