package attack

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// A registry that a build takes its base from names a token server elsewhere, which
// is to get the user's password (B7: CVE-2020-15157, and BuildKit asks it).
func TestAttackBuildPull(t *testing.T) {
	const password = "hunter-two"
	var mu sync.Mutex
	var told []string
	thief := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(io.LimitReader(r.Body, 1<<20))
		plain, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(r.Header.Get("Authorization"), "Basic "))
		mu.Lock()
		told = append(told, fmt.Sprintf("%s %s %q %s %s", r.Method, r.URL, r.Header, plain, body))
		mu.Unlock()
		fmt.Fprint(w, `{"token":"anybodys"}`)
	}))
	defer thief.Close()
	registry := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer anybodys" {
			w.Header().Set("WWW-Authenticate", `Bearer realm="`+thief.URL+`/token",service="s",scope="repository:other/private:pull,push"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		http.Redirect(w, r, thief.URL+"/moved", http.StatusTemporaryRedirect)
	}))
	defer registry.Close()
	host := strings.TrimPrefix(registry.URL, "http://")
	config := filepath.Join(daemon.Dir, "docker") // where clients look for it
	if err := os.MkdirAll(config, 0o700); err != nil {
		t.Fatal(err)
	}
	auth := base64.StdEncoding.EncodeToString([]byte("user:" + password))
	if err := os.WriteFile(filepath.Join(config, "config.json"), fmt.Appendf(nil, `{"auths":{%q:{"auth":%q}}}`, host, auth), 0o600); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(filepath.Join(config, "config.json"))
	for name, dockerfile := range map[string]string{
		"base":      "FROM " + host + "/x/base:1\n",
		"copy":      "FROM scratch\nCOPY --from=" + host + "/x/copy:1 / /\n",
		"mount":     "FROM attacker\nRUN --mount=from=" + host + "/x/mount:1,target=/m true\n",
		"front end": "# syntax=" + host + "/x/frontend:1\nFROM scratch\n",
	} {
		mu.Lock()
		told = nil
		mu.Unlock()
		out, err := berth(t.Context(), "build", "-q", files(t, map[string]string{"Dockerfile": dockerfile}))
		if err == nil {
			t.Errorf("%s: built:\n%s", name, out)
		}
		mu.Lock()
		all := strings.Join(told, "\n")
		mu.Unlock()
		if all == "" {
			t.Errorf("%s: the token server was not asked at all: %s", name, out)
		}
		if strings.Contains(all, password) || strings.Contains(all, auth) {
			t.Errorf("%s: the token server was told:\n%s", name, all)
		}
	}
}
