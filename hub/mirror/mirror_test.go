package mirror

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/berth-engine/berth/hub/account"
	"github.com/berth-engine/berth/hub/catalog"
	"github.com/berth-engine/berth/hub/outbound"
	"github.com/berth-engine/berth/hub/seal"
	"github.com/berth-engine/berth/hub/store/storetest"
	"github.com/berth-engine/berth/test/postgres"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
)

var tester = account.System("test")

const indexType = "application/vnd.oci.image.index.v1+json"

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

// TestOneFetch: many clients at once cost the upstream one fetch of each thing,
// and it is here when the upstream is gone.
func TestOneFetch(t *testing.T) {
	o := newOrigin(t)
	w := front(t, o, nil)
	blob := "/v2/up/a/b/blobs/" + digest.FromBytes(o.blob).String()
	const clients = 10
	var waiting atomic.Int32
	all := make(chan struct{})
	o.set(func(rw http.ResponseWriter, r *http.Request) bool {
		// The second half comes when all clients have read from the first.
		if strings.Contains(r.URL.Path, "/blobs/") && r.Header.Get("Authorization") != "" {
			rw.Header().Set("Content-Length", fmt.Sprint(len(o.blob)))
			_, _ = rw.Write(o.blob[:len(o.blob)/2])
			rw.(http.Flusher).Flush()
			<-all
			_, _ = rw.Write(o.blob[len(o.blob)/2:])
			return true
		}
		return false
	})
	var group sync.WaitGroup
	for range clients {
		group.Go(func() {
			resp, err := http.Get(w.front.URL + blob) //nolint:noctx // the server's end ends it
			if err != nil {
				t.Error(err)
				return
			}
			defer resp.Body.Close()
			first := make([]byte, 1000)
			if _, err := io.ReadFull(resp.Body, first); err != nil {
				t.Error(err)
			}
			if waiting.Add(1) == clients {
				close(all)
			}
			rest, err := io.ReadAll(resp.Body)
			if err != nil || !bytes.Equal(append(first, rest...), o.blob) {
				t.Errorf("%d bytes, %v", len(rest), err)
			}
		})
	}
	group.Wait()
	for range 3 {
		resp, body := w.get(t, "/v2/up/a/b/manifests/1")
		if resp.StatusCode != http.StatusOK || body != string(o.manifest) || resp.Header.Get("Content-Type") != indexType ||
			resp.Header.Get("Docker-Content-Digest") != digest.FromBytes(o.manifest).String() {
			t.Errorf("%d %q %v", resp.StatusCode, body, resp.Header)
		}
	}
	// One more of each is the question without a token.
	path := strings.Replace(blob, "/up", "", 1)
	if n := o.count("GET " + path); n > 2 {
		t.Errorf("%d fetches of the blob", n)
	}
	if n := o.count("GET /v2/a/b/manifests/1"); n > 2 {
		t.Errorf("%d fetches of the manifest", n)
	}
	o.Close()
	resp, body := w.get(t, blob, "Range", "bytes=5-14")
	if resp.StatusCode != http.StatusPartialContent || body != "5678901234" {
		t.Errorf("part of a kept blob: %d %q", resp.StatusCode, body)
	}
	if resp, body := w.get(t, "/v2/up/a/b/manifests/"+digest.FromBytes(o.manifest).String()); resp.StatusCode != http.StatusOK || body != string(o.manifest) {
		t.Errorf("kept manifest: %d %q", resp.StatusCode, body)
	}
}

// TestCredentials: they go to the token server that is the upstream itself or
// was named, and nowhere else.
func TestCredentials(t *testing.T) {
	var leaked atomic.Value
	evil := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if a := r.Header.Get("Authorization"); a != "" {
			leaked.Store(r.URL.Path + " " + a)
		}
		if r.URL.Path == "/token" {
			fmt.Fprint(w, `{"token":"good"}`)
			return
		}
		w.Header().Set("Content-Length", "1000000")
		_, _ = w.Write(bytes.Repeat([]byte("0123456789"), 100_000))
	}))
	defer evil.Close()
	o := newOrigin(t)
	w := front(t, o, nil)
	if resp, _ := w.get(t, "/v2/up/a/b/manifests/1"); resp.StatusCode != http.StatusOK || len(o.passwords) != 1 || o.passwords[0] != "Basic YW5uOnNlY3JldA==" {
		t.Errorf("%d, the own token server got %q", resp.StatusCode, o.passwords)
	}
	// A realm elsewhere gets none, and a redirect takes no token along.
	o.realm = evil.URL + "/token"
	w = front(t, o, nil)
	o.set(func(rw http.ResponseWriter, r *http.Request) bool {
		if strings.Contains(r.URL.Path, "/blobs/") && r.Header.Get("Authorization") != "" {
			http.Redirect(rw, r, evil.URL+"/storage", http.StatusTemporaryRedirect)
			return true
		}
		return false
	})
	if resp, body := w.get(t, "/v2/up/a/b/blobs/"+digest.FromBytes(o.blob).String()); resp.StatusCode != http.StatusOK || body != string(o.blob) {
		t.Errorf("%d, %d bytes", resp.StatusCode, len(body))
	}
	if l := leaked.Load(); l != nil {
		t.Errorf("elsewhere got %v", l)
	}
	// Named with the upstream, it does get them.
	host, err := url.Parse(evil.URL)
	if err != nil {
		t.Fatal(err)
	}
	w = front(t, o, func(s *Spec) { s.AuthHosts = []string{host.Host} })
	w.get(t, "/v2/up/a/b/manifests/1")
	if l, _ := leaked.Load().(string); l != "/token Basic YW5uOnNlY3JldA==" {
		t.Errorf("the named token server got %q", l)
	}
	// Basic over the upstream itself works; a change of the upstream wants the password anew.
	if _, err := w.Update(t.Context(), tester, w.m.ID, Spec{Prefix: "up", Upstream: "https://elsewhere.example", Username: "ann"}); !errors.Is(err, errdefs.ErrInvalidArgument) {
		t.Errorf("another upstream with the old password: %v", err)
	}
	var sealed string
	if err := w.DB.QueryRow(t.Context(), "SELECT password FROM mirrors").Scan(&sealed); err != nil || strings.Contains(sealed, "secret") || sealed == "" {
		t.Errorf("the database has %q, %v", sealed, err)
	}
}

// TestHostile: what an upstream must not get away with.
func TestHostile(t *testing.T) {
	o := newOrigin(t)
	blob := "/v2/up/a/b/blobs/" + digest.FromBytes(o.blob).String()
	manifest := "/v2/up/a/b/manifests/1"
	byDigest := "/v2/up/a/b/manifests/" + digest.FromString("other").String()
	send := func(header map[string]string, status int, body string) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path == "/token" || r.Header.Get("Authorization") == "" {
				return false
			}
			for k, v := range header {
				w.Header().Set(k, v)
			}
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
			return true
		}
	}
	index := map[string]string{"Content-Type": indexType}
	for name, test := range map[string]struct {
		path   string
		handle func(http.ResponseWriter, *http.Request) bool
	}{
		"a blob with another digest":   {blob, send(nil, 200, "something else")},
		"a blob that ends early":       {blob, send(map[string]string{"Content-Length": "1000000"}, 200, "short")},
		"a blob larger than is kept":   {blob, send(map[string]string{"Content-Length": "9000000000000"}, 200, "")},
		"a manifest of another digest": {byDigest, send(index, 200, "{}")},
		"a manifest of another type":   {manifest, send(map[string]string{"Content-Type": "text/html"}, 200, "{}")},
		"two types":                    {manifest, send(index, 200, `{"mediaType":"application/vnd.oci.image.manifest.v1+json"}`)},
		"no JSON":                      {manifest, send(index, 200, "x")},
		"a huge manifest":              {manifest, send(index, 200, `{"x":"`+strings.Repeat("x", maxManifest)+`"}`)},
		"redirects without end":        {blob, send(map[string]string{"Location": "/v2/x"}, 307, "")},
		"a redirect to http":           {blob, send(map[string]string{"Location": "http://127.0.0.1:1/"}, 307, "")},
		"a redirect to a file":         {blob, send(map[string]string{"Location": "file:///etc/passwd"}, 307, "")},
		"a redirect inside":            {blob, send(map[string]string{"Location": "https://169.254.169.254/latest"}, 307, "")},
		"an error":                     {manifest, send(nil, 500, "no")},
		"a token server inside": {manifest, func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("WWW-Authenticate", `Bearer realm="https://10.0.0.1/token"`)
			w.WriteHeader(http.StatusUnauthorized)
			return true
		}},
		"no token": {manifest, func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path == "/token" {
				fmt.Fprint(w, "{}")
				return true
			}
			return false
		}},
		"a strange challenge": {manifest, func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("WWW-Authenticate", `Negotiate x`)
			w.WriteHeader(http.StatusUnauthorized)
			return true
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w := front(t, o, nil)
			o.set(test.handle)
			resp, body := w.get(t, test.path)
			if resp.StatusCode == http.StatusOK && !strings.HasPrefix(body, "broken off") || resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusBadGateway {
				t.Errorf("%d %.100q", resp.StatusCode, body)
			}
			left, err := filepath.Glob(filepath.Join(w.Dir, "*", "*"))
			if err != nil || len(left) > 0 {
				t.Errorf("kept %q, %v", left, err)
			}
		})
	}
}

// TestPatience: an upstream that asks for patience is left alone, and tags are
// what they were meanwhile.
func TestPatience(t *testing.T) {
	o := newOrigin(t)
	w := front(t, o, nil)
	if resp, _ := w.get(t, "/v2/up/a/b/manifests/1"); resp.StatusCode != http.StatusOK {
		t.Fatal(resp.Status)
	}
	old := func() { // as if it was asked long ago
		if _, err := w.DB.Exec(t.Context(), "UPDATE mirror_manifests SET checked = 0"); err != nil {
			t.Fatal(err)
		}
	}
	old()
	var asked atomic.Int32
	o.set(func(rw http.ResponseWriter, _ *http.Request) bool {
		asked.Add(1)
		rw.Header().Set("Retry-After", "3600")
		rw.WriteHeader(http.StatusTooManyRequests)
		return true
	})
	for range 3 {
		resp, body := w.get(t, "/v2/up/a/b/manifests/1")
		if resp.StatusCode != http.StatusOK || body != string(o.manifest) || resp.Header.Get("Warning") == "" {
			t.Errorf("%d %q %v", resp.StatusCode, body, resp.Header)
		}
	}
	resp, body := w.get(t, "/v2/up/a/b/manifests/2")
	if resp.StatusCode != http.StatusTooManyRequests || !strings.Contains(body, "TOOMANYREQUESTS") || resp.Header.Get("Retry-After") < "35" {
		t.Errorf("%d %s %v", resp.StatusCode, body, resp.Header)
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("it was asked %d times", n)
	}
	// Patience over, the tag has moved, then it is gone.
	w.drop(w.m.ID)
	o.set(nil)
	o.mu.Lock()
	o.manifest = []byte(`{"schemaVersion":2,"manifests":[],"annotations":{}}`)
	o.mu.Unlock()
	if resp, body := w.get(t, "/v2/up/a/b/manifests/1"); body != string(o.manifest) || resp.Header.Get("Warning") != "" {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	old()
	if resp, _ := w.get(t, "/v2/up/a/b/manifests/1"); resp.StatusCode != http.StatusOK || o.count("HEAD /v2/a/b/manifests/1") == 0 {
		t.Errorf("%d; asked for the head %d times", resp.StatusCode, o.count("HEAD /v2/a/b/manifests/1"))
	}
	old()
	o.set(func(rw http.ResponseWriter, r *http.Request) bool { http.NotFound(rw, r); return true })
	for range 2 {
		if resp, _ := w.get(t, "/v2/up/a/b/manifests/1"); resp.StatusCode != http.StatusNotFound {
			t.Errorf("a tag that the upstream has no more: %d", resp.StatusCode)
		}
	}
}

func TestEvict(t *testing.T) {
	o := newOrigin(t)
	w := front(t, o, func(s *Spec) { s.Capacity = 2_500_000 })
	var last []byte
	for i := range 5 {
		last = append(bytes.Clone(o.blob), byte(i))
		o.set(func(rw http.ResponseWriter, r *http.Request) bool {
			if strings.Contains(r.URL.Path, "/blobs/") && r.Header.Get("Authorization") != "" {
				rw.Header().Set("Content-Length", fmt.Sprint(len(last)))
				_, _ = rw.Write(last)
				return true
			}
			return false
		})
		if resp, body := w.get(t, "/v2/up/a/b/blobs/"+digest.FromBytes(last).String()); resp.StatusCode != http.StatusOK || body != string(last) {
			t.Fatal(resp.StatusCode)
		}
		age := time.Now().Add(time.Duration(i-10) * time.Hour)
		if err := os.Chtimes(w.blobPath(w.m, digest.FromBytes(last)), age, age); err != nil {
			t.Fatal(err)
		}
	}
	left, err := os.ReadDir(filepath.Join(w.Dir, w.m.ID))
	if err != nil || len(left) != 2 {
		t.Errorf("%v, %v", left, err)
	}
	if _, err := os.Stat(w.blobPath(w.m, digest.FromBytes(last))); err != nil {
		t.Error(err)
	}
	if err := w.Remove(t.Context(), tester, w.m.ID); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(w.Dir, w.m.ID)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after the end: %v", err)
	}
}

func TestMatch(t *testing.T) {
	o := newOrigin(t)
	w := front(t, o, nil)
	if _, err := w.Create(t.Context(), tester, Spec{Upstream: "docker.io"}); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"up/a/b": o.URL + " a/b", "library/x": "https://registry-1.docker.io library/x", "x": "https://registry-1.docker.io library/x", "up": "https://registry-1.docker.io library/up"} {
		m, upstream, found, err := w.Match(t.Context(), name)
		if got := m.Upstream + " " + upstream; err != nil || !found || got != want {
			t.Errorf("%s: %s, %t, %v", name, got, found, err)
		}
	}
	for name, spec := range map[string]Spec{
		"prefix": {Prefix: "../x", Upstream: "https://x.example"}, "path": {Prefix: "x", Upstream: "https://x.example/v2"},
		"host": {Prefix: "x", Upstream: "https://x.example", AuthHosts: []string{"x/../y"}}, "plain": {Prefix: "x", Upstream: "http://x.example", Username: "a"},
		"negative": {Prefix: "x", Upstream: "https://x.example", Capacity: -1}, "none": {Prefix: "x"},
	} {
		if _, err := w.Create(t.Context(), tester, spec); !errors.Is(err, errdefs.ErrInvalidArgument) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := w.Create(t.Context(), tester, Spec{Prefix: "up", Upstream: "https://x.example"}); !errors.Is(err, errdefs.ErrAlreadyExists) {
		t.Errorf("a second one: %v", err)
	}
	if _, err := w.Create(t.Context(), tester, Spec{Prefix: "x", Upstream: "https://10.0.0.1"}); !errors.Is(err, errdefs.ErrPermissionDenied) {
		t.Errorf("inside: %v", err)
	}
}

// database is the URL of an empty database for a test.
var database = func(*testing.T) string { return "" } // SQLite

// TestPostgres runs what depends on the database on PostgreSQL.
func TestPostgres(t *testing.T) {
	postgres.Again(t, &database, map[string]func(*testing.T){
		"OneFetch": TestOneFetch,
		"Patience": TestPatience,
		"Match":    TestMatch,
	})
}
