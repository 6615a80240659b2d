package build

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
)

func TestDownloadsAreBounded(t *testing.T) {
	const most = 1000
	var packed bytes.Buffer
	zip := gzip.NewWriter(&packed)
	_, _ = zip.Write(make([]byte, most+1))
	if err := zip.Close(); err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/full", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, most)) })
	mux.HandleFunc("/empty", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/said", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, most+1)) })
	mux.HandleFunc("/unsaid", func(w http.ResponseWriter, _ *http.Request) {
		w.(http.Flusher).Flush()
		_, _ = w.Write(make([]byte, most+1))
	})
	mux.HandleFunc("/endless", func(w http.ResponseWriter, _ *http.Request) {
		for {
			if _, err := w.Write(make([]byte, 100)); err != nil {
				return
			}
		}
	})
	mux.HandleFunc("/packed", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Accept-Encoding") != "gzip" {
			t.Errorf("asked for %q", r.Header)
		}
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(packed.Bytes())
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	client := &http.Client{Transport: downloads(bound{most, time.Minute})}
	get := func(method, path string) (int, error) {
		r, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(r)
		if err != nil {
			return 0, err
		}
		defer resp.Body.Close()
		data, err := io.ReadAll(resp.Body)
		return len(data), err
	}
	for path, want := range map[string]int{"/full": most, "/empty": 0} {
		if n, err := get(http.MethodGet, path); err != nil || n != want {
			t.Errorf("%s: %d bytes, %v", path, n, err)
		}
	}
	for _, path := range []string{"/said", "/unsaid", "/endless", "/packed"} {
		n, err := get(http.MethodGet, path)
		if !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), server.URL+path+": it has more than 1000B") || n > most {
			t.Errorf("%s: %d bytes, %v", path, n, err)
		}
	}
	if _, err := get(http.MethodHead, "/said"); err != nil {
		t.Error("a question that is answered without a body:", err)
	}
}

// TestSilentDownloads: a server that sends nothing, at all or any more, is not waited
// for without end.
func TestSilentDownloads(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/nothing", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	mux.HandleFunc("/some", func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte("some"))
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	client := &http.Client{Transport: downloads(bound{1000, 200 * time.Millisecond})}
	for path, want := range map[string]string{"/nothing": "", "/some": "some"} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		var data []byte
		resp, err := client.Do(r)
		if err == nil {
			data, err = io.ReadAll(resp.Body)
			_ = resp.Body.Close()
		}
		if !errdefs.IsUnavailable(err) || !strings.Contains(err.Error(), server.URL+path+": nothing has come for 200ms") || string(data) != want {
			t.Errorf("%s: %q, %v", path, data, err)
		}
	}
}
