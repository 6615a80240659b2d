package cli

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-engine/berth/cli/stream"
)

// TestHub calls a Hub's interface with the credentials of `berth login`, and
// shows what it answers.
func TestHub(t *testing.T) {
	stranger := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("a stranger was asked, with %q", r.Header.Get("Authorization"))
	}))
	defer stranger.Close()
	hub := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, secret, _ := r.BasicAuth()
		switch r.Method + " " + r.URL.RequestURI() {
		case "GET /api/v1/user":
			fmt.Fprintf(w, `{"name":%q,"scopes":["repo:read"]}`, name)
		case "GET /api/v1/repositories?limit=1000&search=web":
			fmt.Fprint(w, `[{"name":"ann/web","public":true,"tags":2,"pulls":7,"description":"evil \u001b[31m text"}]`)
		case "POST /api/v1/namespaces/ann/-/robots":
			var body bytes.Buffer
			_, _ = body.ReadFrom(r.Body)
			fmt.Fprintf(w, "%s by %s", body.String(), secret)
		case "GET /api/v1/away":
			http.Redirect(w, r, stranger.URL, http.StatusFound)
		case "GET /api/v1/page":
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, "<html>")
		default:
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprint(w, `{"error":"you may not"}`)
		}
	}))
	defer hub.Close()
	host := strings.TrimPrefix(hub.URL, "http://")
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("config.json", fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, host, base64.StdEncoding.EncodeToString([]byte("ann:bhp_x"))))
	run := func(in string, args ...string) (string, error) {
		var out bytes.Buffer
		s := &Session{IO: &stream.IO{In: strings.NewReader(in), Out: &out, Err: &out}}
		s.flags.configDir = dir
		cmd := newHub(s)
		cmd.SetArgs(args)
		cmd.SilenceErrors, cmd.SilenceUsage = true, true
		err := cmd.ExecuteContext(t.Context())
		return out.String(), err
	}
	file := write("robot.json", `{"name":"ci"}`)
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"whoami", host}, "ann repo:read\n"},
		{[]string{"repos", host, "web"}, "NAME      VISIBILITY   TAGS      PULLS     DESCRIPTION\nann/web   public       2         7         evil [31m text\n"},
		{[]string{"api", host, "post", "namespaces/ann/-/robots", "-d", `{"name":"x"}`}, `{"name":"x"} by bhp_x`},
		{[]string{"api", host, "POST", "/namespaces/ann/-/robots", "-d", "@" + file}, `{"name":"ci"} by bhp_x`},
		{[]string{"api", host, "POST", "namespaces/ann/-/robots", "-d", "@-"}, `{"name":"in"} by bhp_x`},
	} {
		if out, err := run(`{"name":"in"}`, c.args...); err != nil || out != c.want {
			t.Errorf("%q: %q, %v", c.args, out, err)
		}
	}
	for want, args := range map[string][]string{
		"403 Forbidden: you may not":     {"api", host, "DELETE", "users/ann"},
		"does not answer as a Hub: 404":  {"api", host, "GET", "page"},
		"does not answer as a Hub: 302":  {"api", host, "GET", "away"},
		"is not a host":                  {"api", host + "/x?", "GET", "user"},
		"no such file":                   {"api", host, "POST", "x", "-d", "@/nowhere"},
		"accepts between 1 and 2 arg(s)": {"repos"},
		"requires 1 argument":            {"whoami"},
	} {
		if out, err := run("", args...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, not %q\n%s", args, err, want, out)
		}
	}
	write("config.json", "{}")
	if _, err := run("", "whoami", host); err == nil || !strings.Contains(err.Error(), "berth login") {
		t.Errorf("without credentials: %v", err)
	}
}
