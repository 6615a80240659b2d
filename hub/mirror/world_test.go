package mirror

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"sync"
	"testing"

	"github.com/berth-engine/berth/hub/catalog"
	"github.com/berth-engine/berth/hub/outbound"
	"github.com/berth-engine/berth/hub/seal"
	"github.com/berth-engine/berth/hub/store/storetest"
	"github.com/opencontainers/go-digest"
)

// origin is an upstream registry with one repository, a/b, that wants a token.
type origin struct {
	*httptest.Server
	manifest  []byte
	blob      []byte
	handle    func(w http.ResponseWriter, r *http.Request) bool // true when it answered
	realm     string
	mu        sync.Mutex
	passwords []string // Authorization of requests for tokens
	counts    map[string]int
}

func (o *origin) count(what string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.counts[what]
}

func newOrigin(t *testing.T) *origin {
	t.Helper()
	o := &origin{manifest: []byte(`{"schemaVersion":2,"manifests":[]}`), blob: bytes.Repeat([]byte("0123456789"), 100_000), counts: map[string]int{}}
	o.Server = httptest.NewTLSServer(o)
	o.realm = o.URL + "/token"
	t.Cleanup(o.Close)
	return o
}

func (o *origin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	o.counts[r.Method+" "+r.URL.Path]++
	handle, manifest := o.handle, o.manifest
	if r.URL.Path == "/token" {
		o.passwords = append(o.passwords, r.Header.Get("Authorization"))
	}
	o.mu.Unlock()
	if handle != nil && handle(w, r) {
		return
	}
	if r.URL.Path == "/token" {
		fmt.Fprintf(w, `{"token":"good","expires_in":300}`)
		return
	}
	if r.Header.Get("Authorization") != "Bearer good" {
		w.Header().Set("WWW-Authenticate", `Bearer realm="`+o.realm+`",service="s,1",scope="repository:evil:push"`)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	switch d := digest.FromBytes(manifest); r.URL.Path {
	case "/v2/a/b/manifests/1", "/v2/a/b/manifests/" + d.String():
		w.Header().Set("Content-Type", indexType)
		w.Header().Set("Docker-Content-Digest", d.String())
		_, _ = w.Write(manifest)
	case "/v2/a/b/blobs/" + digest.FromBytes(o.blob).String():
		w.Header().Set("Content-Length", fmt.Sprint(len(o.blob)))
		_, _ = w.Write(o.blob)
	default:
		http.NotFound(w, r)
	}
}

func (o *origin) set(handle func(w http.ResponseWriter, r *http.Request) bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.handle = handle
}

type world struct {
	*Service
	front *httptest.Server
	m     Mirror
}

// front serves a mirror of o for the namespace up.
func front(t *testing.T, o *origin, change func(*Spec)) world {
	t.Helper()
	dir := t.TempDir()
	db := storetest.Open(t, database(t))
	key, err := seal.New([32]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(o.Certificate())
	s, err := New(Options{
		DB: db, Catalog: catalog.New(db, catalog.Options{}), Key: key, Dir: filepath.Join(dir, "mirror"), RootCAs: roots,
		Policy: outbound.Policy{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	spec := Spec{Prefix: "up", Upstream: o.URL, Username: "ann", Password: "secret"}
	if change != nil {
		change(&spec)
	}
	m, err := s.Create(t.Context(), tester, spec)
	if err != nil {
		t.Fatal(err)
	}
	f := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, _, _, _ := split(r.URL.Path)
		m, upstream, found, err := s.Match(r.Context(), name)
		if err != nil || !found {
			t.Errorf("%s: found %t, %v", r.URL.Path, found, err)
		}
		s.Serve(w, r, m, upstream)
	}))
	t.Cleanup(func() {
		f.Close()
		s.drop(m.ID)
	})
	return world{s, f, m}
}

func (w world) get(t *testing.T, path string, header ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.front.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return &http.Response{StatusCode: http.StatusOK}, "broken off: " + err.Error()
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return resp, "broken off: " + err.Error()
	}
	return resp, string(body)
}
