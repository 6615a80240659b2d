package mirror

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
)

// TestTags: pages of tags are passed on with their links, kept while fresh, and
// what they were while the upstream cannot be asked.
func TestTags(t *testing.T) {
	o := newOrigin(t)
	o.set(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Header.Get("Authorization") == "" || !strings.HasSuffix(r.URL.Path, "/tags/list") {
			return false
		}
		switch q := r.URL.Query(); {
		case r.URL.Path != "/v2/a/b/tags/list":
			w.WriteHeader(http.StatusNotFound)
		case q.Get("last") == "two":
			fmt.Fprint(w, `{"name":"a/b","tags":["zwo"]}`)
		case q.Get("last") == "evil":
			fmt.Fprint(w, `{"name":"a/b","tags":["<script>"]}`)
		default:
			w.Header().Set("Link", `</v2/a/b/tags/list?n=2&last=two>; rel="next"`)
			fmt.Fprint(w, `{"name":"a/b","tags":["one","two"]}`)
		}
		return true
	})
	w := front(t, o, func(s *Spec) { s.FreshSeconds = 3600 })
	for range 2 {
		resp, body := w.get(t, "/v2/up/a/b/tags/list?n=2")
		if resp.StatusCode != http.StatusOK || strings.TrimSpace(body) != `{"name":"up/a/b","tags":["one","two"]}` ||
			resp.Header.Get("Link") != `</v2/up/a/b/tags/list?last=two&n=2>; rel="next"` {
			t.Errorf("first page: %s %s, %v", resp.Status, body, resp.Header)
		}
	}
	if n := o.count("GET /v2/a/b/tags/list"); n != 2 { // without a token, and with it
		t.Errorf("the upstream was asked %d times", n)
	}
	if resp, body := w.get(t, "/v2/up/a/b/tags/list?n=2&last=two"); !strings.Contains(body, `["zwo"]`) || resp.Header.Get("Link") != "" {
		t.Errorf("last page: %s %s, %v", resp.Status, body, resp.Header)
	}
	for path, want := range map[string]int{
		"/v2/up/a/b/tags/list?last=evil": http.StatusBadGateway, "/v2/up/a/none/tags/list": http.StatusNotFound,
		"/v2/up/a/b/tags/list?n=x": http.StatusBadRequest, "/v2/up/a/b/tags/list?last=..%2f..": http.StatusBadRequest,
	} {
		if resp, body := w.get(t, path); resp.StatusCode != want {
			t.Errorf("%s: %s %s", path, resp.Status, body)
		}
	}
	if _, err := w.DB.Exec(t.Context(), "UPDATE mirror_tags SET checked = 0"); err != nil {
		t.Fatal(err)
	}
	o.set(func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Retry-After", "60")
		w.WriteHeader(http.StatusTooManyRequests)
		return true
	})
	if resp, body := w.get(t, "/v2/up/a/b/tags/list?n=2"); resp.StatusCode != http.StatusOK || resp.Header.Get("Warning") == "" || !strings.Contains(body, "two") {
		t.Errorf("an old page: %s %s", resp.Status, body)
	}
	asked := o.count("GET /v2/a/b/tags/list")
	for range 3 { // it asked for patience
		if resp, _ := w.get(t, "/v2/up/a/b/tags/list?n=3"); resp.StatusCode != http.StatusTooManyRequests || resp.Header.Get("Retry-After") == "" {
			t.Errorf("a page that is not kept: %s", resp.Status)
		}
	}
	if n := o.count("GET /v2/a/b/tags/list"); n != asked {
		t.Errorf("the upstream was asked %d times more", n-asked)
	}
}

// TestNoContentLength: a blob whose size the upstream does not say is passed on
// in chunks, held back until it is right, and kept.
func TestNoContentLength(t *testing.T) {
	o := newOrigin(t)
	good := o.blob
	sum := digest.FromBytes(good)
	send := good
	o.set(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Header.Get("Authorization") == "" || r.Method != http.MethodGet || !strings.Contains(r.URL.Path, "/blobs/") {
			return false
		}
		w.(http.Flusher).Flush() // so that no length is known
		_, _ = w.Write(send)
		return true
	})
	w := front(t, o, func(s *Spec) { s.Capacity = int64(len(good)) + 100 })
	path := "/v2/up/a/b/blobs/" + sum.String()
	for name, bad := range map[string][]byte{"other": bytes.Repeat([]byte("x"), len(good)), "short": good[:len(good)-1], "endless": append(bytes.Clone(good), make([]byte, 1000)...)} {
		send = bad
		resp, err := http.Get(w.front.URL + path) //nolint:noctx // the server's end ends it
		if err != nil {
			continue // broken off before it began
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err == nil && resp.StatusCode == http.StatusOK {
			t.Errorf("%s: %d bytes were passed on as whole", name, len(body))
		}
	}
	send = good
	for range 2 {
		if resp, body := w.get(t, path); resp.StatusCode != http.StatusOK || body != string(good) {
			t.Errorf("%s, %d bytes", resp.Status, len(body))
		}
	}
	if n := o.count("GET /v2/a/b/blobs/" + sum.String()); n > 5 {
		t.Errorf("it was fetched %d times", n)
	}
}
