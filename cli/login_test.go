package cli

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/moby/moby/api/types/registry"
)

func TestLogin(t *testing.T) {
	var got registry.AuthConfig
	d := newFake(t, map[string]http.HandlerFunc{"POST /auth": func(w http.ResponseWriter, r *http.Request) {
		if err := json.NewDecoder(r.Body).Decode(&got); err != nil {
			t.Error(err)
		}
		if got.Password != "pw" {
			fail(401, "unauthorized: incorrect username or password")(w, r)
			return
		}
		answer(registry.AuthResponse{Status: "Login Succeeded"})(w, r)
	}})
	code, out, errs := d.run("pw\n", "login", "-u", "me", "--password-stdin", "https://reg.example/")
	if code != 0 || out != "Login Succeeded\n" || !strings.Contains(errs, "stored unencrypted in") || got.Username != "me" || got.ServerAddress != "reg.example" {
		t.Errorf("got %d, %q, %q, %+v", code, out, errs, got)
	}
	cfg := filepath.Join(os.Getenv("DOCKER_CONFIG"), "config.json")
	if data, err := os.ReadFile(cfg); err != nil || !strings.Contains(string(data), `"reg.example"`) {
		t.Errorf("got %s, %v", data, err)
	}
	// Again, with what is stored.
	if code, out, _ = d.run("", "login", "reg.example"); code != 0 || out != "Login Succeeded\n" {
		t.Errorf("got %d, %q", code, out)
	}
	if code, out, _ = d.run("", "logout", "reg.example"); code != 0 || out != "Removing login credentials for reg.example\n" {
		t.Errorf("got %d, %q", code, out)
	}
	for want, args := range map[string][]string{
		"Error response from daemon: unauthorized: incorrect username or password\n": {"login", "-u", "me", "-p", "wrong", "reg.example"},
		"Error: Cannot perform an interactive login from a non TTY device\n":         {"login", "reg.example"},
		"the --password-stdin option requires --username to be set\n":                {"login", "--password-stdin"},
		"conflicting options: cannot specify both --password and --password-stdin\n": {"login", "-u", "x", "-p", "y", "--password-stdin"},
	} {
		if code, _, errs = d.run("", args...); code != 1 || !strings.HasSuffix(errs, want) {
			t.Errorf("%q: got %d, %q", args, code, errs)
		}
	}
}
