package autobuild

import (
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-engine/berth/hub/outbound"
	"github.com/berth-engine/berth/hub/store"
	"github.com/berth-engine/berth/hub/webhook"
	"github.com/containerd/errdefs"
)

// TestHook: a push elsewhere is fetched from the source's URL and built.
func TestHook(t *testing.T) {
	dir, sha := work(t, map[string]string{"Dockerfile": "FROM scratch"})
	elsewhere := httptest.NewServer(&cgi.Handler{
		Path: "/usr/lib/git-core/git-http-backend",
		Env:  []string{"GIT_PROJECT_ROOT=" + dir, "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*"},
	})
	defer elsewhere.Close()
	w := newWorld(t, nil)
	src, secret, err := w.SetSource(t.Context(), tester, w.repo, Spec{Kind: Remote, URL: elsewhere.URL + "/.git", Rules: []Rule{{Branch: "*"}}})
	if err != nil {
		t.Fatal(err)
	}
	w.run(t)
	call := func(hook, secret, body string, header ...string) int {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.hooks+hook, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set(webhook.SignatureHeader, webhook.Sign(secret, []byte(body)))
		for i := 0; i+1 < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	push := `{"ref":"refs/heads/main","after":"` + sha + `","repository":{"clone_url":"http://169.254.169.254/"}}`
	for name, got := range map[string]int{
		"unknown hook":   call("x", secret, push) - http.StatusNotFound,
		"another secret": call(src.Hook, "guess", push) - http.StatusUnauthorized,
		"no secret":      call(src.Hook, "", push) - http.StatusUnauthorized,
		"no JSON":        call(src.Hook, secret, "x") - http.StatusBadRequest,
		"an option":      call(src.Hook, secret, `{"ref":"--upload-pack=x y","after":"`+sha+`"}`) - http.StatusBadRequest,
		"no commit":      call(src.Hook, secret, `{"ref":"refs/heads/main","after":"HEAD"}`) - http.StatusBadRequest,
		"huge":           call(src.Hook, secret, `{"x":"`+strings.Repeat("x", maxHook)+`"}`) - http.StatusRequestEntityTooLarge,
		"ping":           call(src.Hook, secret, "{}", "X-GitHub-Event", "ping") - http.StatusNoContent,
		"deleted":        call(src.Hook, secret, `{"ref":"refs/heads/x","after":"`+strings.Repeat("0", 40)+`"}`) - http.StatusNoContent,
		"right":          call(src.Hook, secret, push) - http.StatusAccepted,
	} {
		if got != 0 {
			t.Errorf("%s: off by %d", name, got)
		}
	}
	if b := <-w.ended; b.State != Succeeded || b.Commit != sha || w.engine.files["Dockerfile"] != "FROM scratch" {
		t.Errorf("%+v\n%s", b, w.log(t, b.ID))
	}
	if left, err := filepath.Glob(filepath.Join(w.Dir, ".fetch-*")); err != nil || len(left) > 0 {
		t.Errorf("left %q, %v", left, err)
	}
	// An address inside is not fetched from, also when a name leads there.
	w.Service.git.policy = outbound.Policy{}
	if call(src.Hook, secret, push) != http.StatusAccepted {
		t.Error("the second call")
	}
	if b := <-w.ended; b.State != Failed || !strings.Contains(b.Error, "502") {
		t.Errorf("%+v", b)
	}
}

// TestPrivate: a private repository elsewhere is fetched with the source's name
// and token, which nobody else sees.
func TestPrivate(t *testing.T) {
	dir, sha := work(t, map[string]string{"Dockerfile": "FROM scratch"})
	served := &cgi.Handler{
		Path: "/usr/lib/git-core/git-http-backend",
		Env:  []string{"GIT_PROJECT_ROOT=" + dir, "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*"},
	}
	stranger := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			t.Error("a stranger got the credentials")
		}
		served.ServeHTTP(w, r)
	}))
	defer stranger.Close()
	elsewhere := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if name, token, _ := r.BasicAuth(); name != "ann" || token != "t0ken" {
			w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if strings.HasPrefix(r.URL.Path, "/away/") {
			http.Redirect(w, r, stranger.URL+strings.TrimPrefix(r.URL.Path, "/away"), http.StatusFound)
			return
		}
		served.ServeHTTP(w, r)
	}))
	defer elsewhere.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: elsewhere.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, func(o *Options) { o.GitCA = ca })
	w.run(t)
	rules := []Rule{{Branch: "*"}}
	build := func(spec Spec) Build {
		t.Helper()
		spec.Kind, spec.Rules = Remote, rules
		src, _, err := w.SetSource(t.Context(), tester, w.repo, spec)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.DB.Tx(t.Context(), func(tx *store.Tx) error {
			_, err := enqueue(t.Context(), tx, src, "refs/heads/main", sha, "test")
			return err
		}); err != nil {
			t.Fatal(err)
		}
		w.poke()
		b := <-w.ended
		if text := w.log(t, b.ID) + b.Error; strings.Contains(text, "t0ken") || strings.Contains(text, "YW5uOnQwa2Vu") {
			t.Errorf("the token is in %q", text)
		}
		return b
	}
	private := elsewhere.URL + "/.git"
	if b := build(Spec{URL: private}); b.State != Failed || !strings.Contains(b.Error, "private") {
		t.Errorf("without a token: %+v", b)
	}
	if b := build(Spec{URL: private, Username: "ann", Password: "wrong"}); b.State != Failed || !strings.Contains(b.Error, "does not take") {
		t.Errorf("with a wrong one: %+v", b)
	}
	if b := build(Spec{URL: private, Username: "ann", Password: "t0ken"}); b.State != Succeeded || b.Commit != sha {
		t.Errorf("with the token: %+v\n%s", b, w.log(t, b.ID))
	}
	if b := build(Spec{URL: private, Username: "ann"}); b.State != Succeeded {
		t.Errorf("with the token that is there: %+v", b)
	}
	if b := build(Spec{URL: elsewhere.URL + "/away/.git", Username: "ann", Password: "t0ken"}); b.State != Failed {
		t.Errorf("a redirect was followed: %+v", b)
	}
	var sealed string
	if err := w.DB.QueryRow(t.Context(), "SELECT password FROM build_sources").Scan(&sealed); err != nil || sealed == "" || strings.Contains(sealed, "t0ken") {
		t.Errorf("the database has %q, %v", sealed, err)
	}
	for name, spec := range map[string]Spec{
		"by http": {URL: "http://127.0.0.1/x", Username: "ann", Password: "x"}, "moved": {URL: private, Username: "ann"},
		"another name": {URL: elsewhere.URL + "/away/.git", Username: "bob"}, "no name": {URL: private, Password: "x"}, "lines": {URL: private, Username: "a\nb", Password: "x"},
	} {
		spec.Kind, spec.Rules = Remote, rules
		if _, _, err := w.SetSource(t.Context(), tester, w.repo, spec); !errors.Is(err, errdefs.ErrInvalidArgument) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestBadSources(t *testing.T) {
	w := newWorld(t, nil)
	good := []Rule{{Branch: "main"}}
	for name, spec := range map[string]Spec{
		"kind": {Kind: "svn", Rules: good}, "no rules": {Kind: Hosted}, "url": {Kind: Hosted, URL: "https://x.example", Rules: good},
		"scheme": {Kind: Remote, URL: "file:///etc", Rules: good}, "ext": {Kind: Remote, URL: "ext::sh -c x", Rules: good},
		"option": {Kind: Remote, URL: "--upload-pack=x", Rules: good}, "engine": {Kind: Hosted, Engine: "x", Rules: good},
		"both": {Kind: Hosted, Rules: []Rule{{Branch: "a", Tag: "b"}}}, "neither": {Kind: Hosted, Rules: []Rule{{}}},
		"pattern": {Kind: Hosted, Rules: []Rule{{Branch: "["}}}, "context": {Kind: Hosted, Rules: []Rule{{Branch: "a", Context: "../x"}}},
		"absolute":   {Kind: Hosted, Rules: []Rule{{Branch: "a", Dockerfile: "/etc/passwd"}}},
		"image tag":  {Kind: Hosted, Rules: []Rule{{Branch: "a", Tags: []string{"a b"}}}},
		"other name": {Kind: Hosted, Rules: []Rule{{Branch: "a", Tags: []string{"x/y:{ref}"}}}},
	} {
		if _, _, err := w.SetSource(t.Context(), tester, w.repo, spec); !errors.Is(err, errdefs.ErrInvalidArgument) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := w.SetSource(t.Context(), tester, w.repo, Spec{Kind: Remote, URL: "http://10.0.0.1/x", Rules: good}); !errors.Is(err, errdefs.ErrPermissionDenied) {
		t.Errorf("inside: %v", err)
	}
	w.Engines = nil
	if _, _, err := w.SetSource(t.Context(), tester, w.repo, Spec{Kind: Hosted, Rules: good}); !errors.Is(err, errdefs.ErrFailedPrecondition) {
		t.Errorf("no engine: %v", err)
	}
	for text, want := range map[string]string{
		"a=unix:///run/x.sock,registry=h:5,parallel=3": `{"Name":"a","Host":"unix:///run/x.sock","CA":"","Cert":"","Key":"","Registry":"h:5","Parallel":3}`,
		"a": "", "a=http://x": "", "a=tcp://x:1,parallel=0": "", "a=tcp://x:1,color=red": "", "=tcp://x:1": "",
	} {
		e, err := ParseEngine(text)
		got, _ := json.Marshal(e)
		if (want == "") != (err != nil) || want != "" && string(got) != want {
			t.Errorf("%s: %s, %v", text, got, err)
		}
	}
}
