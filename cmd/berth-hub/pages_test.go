package main

import (
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
)

// TestPages looks at the Hub's own image as a visitor does, and searches for it as
// a client does, with and without accounts.
func TestPages(t *testing.T) {
	for _, accounts := range []bool{false, true} {
		dir := t.TempDir()
		o := serveOptions{dataOptions: dataOptions{data: filepath.Join(dir, "data")}, listen: "127.0.0.1:0", accounts: accounts}
		addr, stop := start(t, o)
		for path, want := range map[string]string{
			"/r/library/hello-world":                     "docker pull " + addr + "/library/hello-world:latest",
			"/r/library/hello-world/-/tags":              "linux/arm64",
			"/r/library/hello-world/-/tags/latest":       "COPY",
			"/r/library/hello-world/-/tags/latest/files": "hello",
			"/v1/search?q=hello":                         `"name":"hello-world"`,
			"/search?q=hello":                            "library/hello-world",
		} {
			resp, err := http.Get("http://" + addr + path)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil || resp.StatusCode != http.StatusOK || !strings.Contains(string(body), want) {
				t.Errorf("accounts %v: %s: %d, %v, no %q", accounts, path, resp.StatusCode, err, want)
			}
			if signIn := strings.Contains(string(body), `href="/signin"`); signIn != accounts && !strings.HasPrefix(path, "/v1") {
				t.Errorf("accounts %v: %s: to sign in is offered: %v", accounts, path, signIn)
			}
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	}
}
