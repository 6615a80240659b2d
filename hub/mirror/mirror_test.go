package mirror

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/berth-engine/berth/hub/account"
	"github.com/berth-engine/berth/test/postgres"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
)

var tester = account.System("test")

const indexType = "application/vnd.oci.image.index.v1+json"

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
