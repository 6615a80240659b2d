package mirror

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
)

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
