package main

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-engine/berth/hub/registry"
)

// ask makes a request with a Host header and further ones, in pairs.
func ask(t *testing.T, method, url, host string, header ...string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if host != "" {
		req.Host = host
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp
}

// TestRebinding: a page whose name was made to lead to an open Hub can neither
// read nor write there, by any of its parts.
func TestRebinding(t *testing.T) {
	addr, stop := start(t, serveOptions{listen: "127.0.0.1:0", dataOptions: dataOptions{data: t.TempDir()}, frontOptions: frontOptions{hosts: []string{"hub.example"}}})
	_, port, _ := strings.Cut(addr, ":")
	for _, call := range []string{
		"GET /v2/library/hello-world/manifests/latest", "POST /v2/a/b/blobs/uploads/", "DELETE /v2/library/hello-world/manifests/latest", "POST /api/v1/gc",
		"GET /", "GET /metrics", "GET /healthz", "GET /token", "GET /v1/search?q=hello", "GET /git/a/b.git/info/refs", "POST /hooks/x",
	} {
		method, path, _ := strings.Cut(call, " ")
		for _, host := range []string{"evil.example:" + port, "evil.example"} {
			if resp := ask(t, method, "http://"+addr+path, host, "Origin", "http://"+host); resp.StatusCode != http.StatusMisdirectedRequest {
				t.Errorf("%s as %s: %s", call, host, resp.Status)
			}
		}
	}
	for _, host := range []string{"", "localhost:" + port, "127.0.0.1", "[::1]:" + port, "hub.example:" + port} {
		if resp := ask(t, http.MethodGet, "http://"+addr+"/v2/", host); resp.StatusCode != http.StatusOK {
			t.Errorf("as %q: %s", host, resp.Status)
		}
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// TestBehindAProxy: whom a trusted proxy speaks for is in the log and is slowed
// down, not the proxy.
func TestBehindAProxy(t *testing.T) {
	log := filepath.Join(t.TempDir(), "access.log")
	addr, stop := start(t, serveOptions{
		listen: "127.0.0.1:0", noSeed: true, dataOptions: dataOptions{data: t.TempDir()}, accessLog: log,
		frontOptions: frontOptions{proxies: []string{"127.0.0.0/8"}, rate: 0.5},
	})
	url := "http://" + addr + "/v2/"
	last := func(client string) *http.Response { return ask(t, http.MethodGet, url, "", "X-Forwarded-For", client) }
	var slow *http.Response
	for range 11 { // twenty seconds' worth, and one more
		slow = last("198.51.100.1, 203.0.113.7")
	}
	if slow.StatusCode != http.StatusTooManyRequests || slow.Header.Get("Retry-After") == "" {
		t.Errorf("the eleventh: %s %v", slow.Status, slow.Header)
	}
	if resp := last("203.0.113.8"); resp.StatusCode != http.StatusOK {
		t.Errorf("somebody else: %s", resp.Status)
	}
	for range 20 {
		if resp := ask(t, http.MethodGet, url, ""); resp.StatusCode != http.StatusOK {
			t.Fatalf("the machine itself: %s", resp.Status)
		}
	}
	for client, want := range map[string]int{"": http.StatusOK, "203.0.113.9": http.StatusUnauthorized} {
		if resp := ask(t, http.MethodGet, "http://"+addr+"/metrics", "", "X-Forwarded-For", client); resp.StatusCode != want {
			t.Errorf("metrics for %q: %s", client, resp.Status)
		}
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(text), "\n")
	var a registry.Access
	if err := json.Unmarshal([]byte(first), &a); err != nil || a.Remote != "203.0.113.7" {
		t.Errorf("logged %q, %v", first, err)
	}
}
