package autobuild

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/berth-engine/berth/hub/account"
	"github.com/berth-engine/berth/hub/catalog"
	"github.com/berth-engine/berth/hub/outbound"
	"github.com/berth-engine/berth/hub/registry"
	"github.com/berth-engine/berth/hub/seal"
	"github.com/berth-engine/berth/hub/status"
	"github.com/berth-engine/berth/hub/store"
	"github.com/berth-engine/berth/hub/store/storetest"
	"github.com/berth-engine/berth/hub/webhook"
	"github.com/berth-engine/berth/test/postgres"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
)

// engine answers as much of Docker's API as a build needs.
type engine struct {
	*httptest.Server
	mu     sync.Mutex
	files  map[string]string // of the last context
	query  string
	pushes []string // path and credentials
	hold   chan struct{}
	begun  chan struct{}
	now    int // builds that run
	most   int
}

func newEngine(t *testing.T) *engine {
	e := &engine{begun: make(chan struct{}, 100)}
	e.Server = httptest.NewServer(e)
	t.Cleanup(e.Close)
	return e
}

func (e *engine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case strings.HasSuffix(r.URL.Path, "/_ping"):
		w.Header().Set("Api-Version", "1.50")
	case strings.HasSuffix(r.URL.Path, "/build"):
		e.build(w, r)
	case strings.HasSuffix(r.URL.Path, "/push"):
		e.mu.Lock()
		e.pushes = append(e.pushes, r.URL.Path+"?"+r.URL.RawQuery+" "+r.Header.Get("X-Registry-Auth"))
		e.mu.Unlock()
		fmt.Fprintln(w, `{"status":"Pushed","id":"layer"}`)
		fmt.Fprintln(w, `{"aux":{"Tag":"x","Digest":"sha256:dd","Size":1}}`)
	case r.Method == http.MethodDelete:
		fmt.Fprintln(w, "[]")
	default:
		http.NotFound(w, r)
	}
}

func (e *engine) build(w http.ResponseWriter, r *http.Request) {
	files := map[string]string{}
	t := tar.NewReader(r.Body)
	for {
		h, err := t.Next()
		if err != nil {
			break
		}
		content, _ := io.ReadAll(t)
		if h.Typeflag == tar.TypeReg {
			files[h.Name] = string(content)
		}
	}
	e.mu.Lock()
	e.files, e.query = files, r.URL.RawQuery
	e.now++
	e.most = max(e.most, e.now)
	hold := e.hold
	e.mu.Unlock()
	fmt.Fprintln(w, `{"stream":"Step 1/1\n"}`)
	w.(http.Flusher).Flush()
	e.begun <- struct{}{}
	if hold != nil {
		select {
		case <-hold:
		case <-r.Context().Done():
		}
	}
	e.mu.Lock()
	e.now--
	e.mu.Unlock()
	if files["Dockerfile"] == "broken" {
		fmt.Fprintln(w, `{"errorDetail":{"message":"it does not build"},"error":"it does not build"}`)
		return
	}
	fmt.Fprintln(w, `{"stream":"done\n"}`)
}

// robots counts what is opened and closed.
type robots struct {
	mu   sync.Mutex
	open map[string]string
	n    int
}

func (r *robots) Open(_ context.Context, repository, build string, _ time.Time) (id, login, secret string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.n++
	id = fmt.Sprint("robot", r.n)
	r.open[id] = build
	return id, repository + "+" + id, "secret", nil
}

func (r *robots) Close(_ context.Context, id string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.open, id)
	return nil
}

func (r *robots) left() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.open)
}

var tester = account.System("test")

type world struct {
	*Service
	engine *engine
	robots *robots
	repo   string // its name
	id     string
	ended  chan Build
	git    string // URL
	hooks  string
}

func newWorld(t *testing.T, change func(*Options)) world {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Fatal("git is needed: ", err)
	}
	dir := t.TempDir()
	db := storetest.Open(t, database(t))
	names := catalog.New(db, catalog.Options{Open: true})
	repo, err := names.Create(t.Context(), tester, "ann/app", true)
	if err != nil {
		t.Fatal(err)
	}
	key, err := seal.New([32]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	w := world{engine: newEngine(t), robots: &robots{open: map[string]string{}}, repo: repo.Name, id: repo.ID, ended: make(chan Build, 100)}
	o := Options{
		DB: db, Catalog: names, Key: key, Dir: filepath.Join(dir, "git"), Credentials: w.robots,
		Policy:  outbound.Policy{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}},
		Engines: []Engine{{Name: "one", Host: "tcp://" + w.engine.Listener.Addr().String(), Registry: "hub.example"}},
		Ended:   func(_ context.Context, _ string, b Build) { w.ended <- b },
		Index: func(_ context.Context, repository string, parts []registry.Part, tags []string) (digest.Digest, error) {
			var list []string
			for _, p := range parts {
				list = append(list, platforms.Format(p.Platform)+"="+p.Digest.String())
			}
			return digest.Digest(fmt.Sprintf("index of %s in %s as %s", strings.Join(list, " "), repository, strings.Join(tags, " "))), nil
		},
	}
	if change != nil {
		change(&o)
	}
	if w.Service, err = New(o); err != nil {
		t.Fatal(err)
	}
	front := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		var err error
		if rest, ok := strings.CutPrefix(r.URL.Path, "/git/ann/app.git/"); ok {
			err = w.ServeGit(rw, r, account.Principal{Name: "ann"}, repo.Name, rest)
		} else {
			err = w.ServeHook(rw, r, strings.TrimPrefix(r.URL.Path, "/hooks/"))
		}
		if err != nil {
			rw.WriteHeader(status.Of(err))
		}
	}))
	w.git, w.hooks = front.URL+"/git/ann/app.git", front.URL+"/hooks/"
	t.Cleanup(front.Close)
	return w
}

func (w world) run(t *testing.T) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func runGit(t *testing.T, dir string, args ...string) string {
	t.Helper()
	c := exec.CommandContext(t.Context(), "git", append([]string{"-c", "user.name=ann", "-c", "user.email=ann@example.com", "-c", "init.defaultBranch=main", "-c", "commit.gpgsign=false"}, args...)...)
	c.Dir = dir
	c.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_TERMINAL_PROMPT=0", "http_proxy=", "HTTP_PROXY=", "all_proxy=", "no_proxy=*")
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("git %q: %v: %s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// work is a working copy with one commit.
func work(t *testing.T, files map[string]string) (dir, sha string) {
	t.Helper()
	dir = t.TempDir()
	runGit(t, dir, "init", "--quiet")
	return dir, commit(t, dir, files)
}

func commit(t *testing.T, dir string, files map[string]string) string {
	t.Helper()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	runGit(t, dir, "add", "-A")
	runGit(t, dir, "commit", "--quiet", "-m", "change")
	return runGit(t, dir, "rev-parse", "HEAD")
}

func (w world) log(t *testing.T, id string) string {
	t.Helper()
	var b bytes.Buffer
	if err := w.WriteLog(t.Context(), tester, w.repo, id, false, &b, func() error { return nil }); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestPushBuilds: pushes to a hosted repository are built as the rules say.
func TestPushBuilds(t *testing.T) {
	w := newWorld(t, nil)
	_, secret, err := w.SetSource(t.Context(), tester, w.repo, Spec{Kind: Hosted, Rules: []Rule{
		{Branch: "main", Context: "app", Args: map[string]string{"A": "b"}},
		{Tag: "v*", Dockerfile: "app/Dockerfile", Tags: []string{"{ref}", "at-{sha}"}},
	}})
	if err != nil || secret == "" {
		t.Fatal(secret, err)
	}
	w.run(t)
	dir, sha := work(t, map[string]string{"app/Dockerfile": "FROM scratch", "app/x": "1", "other": "2"})
	runGit(t, dir, "push", "--quiet", w.git, "HEAD:main", "HEAD:feature/x")
	b := <-w.ended
	if b.State != Succeeded || b.Commit != sha || b.Digest != "sha256:dd" || !slices.Equal(b.Tags, []string{"main", "latest"}) || b.Actor != "ann" {
		t.Errorf("%+v\n%s", b, w.log(t, b.ID))
	}
	if w.engine.files["Dockerfile"] != "FROM scratch" || w.engine.files["x"] != "1" || len(w.engine.files) != 2 || !strings.Contains(w.engine.query, "buildargs=%7B%22A%22%3A%22b%22%7D") ||
		!strings.Contains(w.engine.query, "t=hub.example%2Fann%2Fapp%3Amain") {
		t.Errorf("the engine got %v, %s", w.engine.files, w.engine.query)
	}
	if len(w.engine.pushes) != 2 || strings.HasSuffix(w.engine.pushes[0], " ") || w.robots.left() != 0 || w.robots.n != 1 {
		t.Errorf("pushes %q, %d robots are left of %d", w.engine.pushes, w.robots.left(), w.robots.n)
	}
	if log := w.log(t, b.ID); !strings.Contains(log, "Step 1/1") || !strings.Contains(log, "pushed sha256:dd") {
		t.Errorf("log %q", log)
	}
	// The same again is nothing; a tag is a build of its own; a clone has all.
	runGit(t, dir, "push", "--quiet", w.git, "HEAD:main")
	runGit(t, dir, "tag", "-a", "-m", "v", "v1")
	runGit(t, dir, "push", "--quiet", w.git, "v1")
	if b = <-w.ended; b.Commit != sha || !slices.Equal(b.Tags, []string{"v1", "at-" + sha[:12]}) || w.engine.files["other"] != "2" {
		t.Errorf("%+v", b)
	}
	if got := runGit(t, t.TempDir(), "ls-remote", w.git, "refs/heads/*"); strings.Count(got, sha) != 2 {
		t.Errorf("ls-remote: %s", got)
	}
	clone := t.TempDir()
	runGit(t, clone, "clone", "--quiet", w.git, "c")
	if text, err := os.ReadFile(filepath.Join(clone, "c", "app", "x")); err != nil || string(text) != "1" {
		t.Errorf("%q, %v", text, err)
	}
	commit(t, dir, map[string]string{"app/Dockerfile": "broken"})
	runGit(t, dir, "push", "--quiet", w.git, "HEAD:main")
	if b = <-w.ended; b.State != Failed || b.Error != "it does not build" {
		t.Errorf("%+v", b)
	}
	again, err := w.Rebuild(t.Context(), account.Principal{Kind: account.KindUser, Name: "bob"}, w.repo, b.ID)
	if err != nil {
		t.Fatal(err)
	}
	if b = <-w.ended; b.ID != again.ID || b.Actor != "bob" || b.State != Failed {
		t.Errorf("%+v", b)
	}
	if list, err := w.Builds(t.Context(), tester, w.repo); err != nil || len(list) != 4 {
		t.Errorf("%d builds, %v", len(list), err)
	}
}

// TestOrder: of several commits of a branch the builds are made one commit after
// the other, however many the engine takes at once, so that the tags are the last
// one's at the end; those of one commit are made at once.
func TestOrder(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Engines[0].Parallel = 4 })
	if _, _, err := w.SetSource(t.Context(), tester, w.repo, Spec{Kind: Hosted, Rules: []Rule{{Branch: "main"}, {Branch: "main", Tags: []string{"also"}}}}); err != nil {
		t.Fatal(err)
	}
	hold := make(chan struct{})
	w.engine.hold = hold
	var commits []string
	var dir string
	for i := range 4 { // within a second, more or less
		files := map[string]string{"Dockerfile": "FROM scratch", "x": strconv.Itoa(i)}
		if i == 0 {
			dir, _ = work(t, files)
		} else {
			commit(t, dir, files)
		}
		commits = append(commits, runGit(t, dir, "rev-parse", "HEAD"))
		runGit(t, dir, "push", "--quiet", w.git, "HEAD:main")
	}
	w.run(t)
	for _, sha := range commits {
		<-w.engine.begun
		<-w.engine.begun
		hold <- struct{}{}
		hold <- struct{}{}
		for range 2 {
			if b := <-w.ended; b.Commit != sha || b.State != Succeeded {
				t.Errorf("%s is built, not %s: %+v", b.Commit, sha, b)
			}
		}
	}
	if w.engine.most != 2 {
		t.Errorf("%d builds at once", w.engine.most)
	}
	list, err := w.Builds(t.Context(), tester, w.repo)
	if err != nil || len(list) != 8 {
		t.Fatal(len(list), err)
	}
	for i, b := range list {
		if want := commits[3-i/2]; b.Commit != want {
			t.Errorf("number %d of the newest is of %s, not %s", i, b.Commit, want)
		}
	}
}

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

// TestPlatforms: an image for several platforms is built for each, and its tags
// lead to all; the parts' own tags go.
func TestPlatforms(t *testing.T) {
	w := newWorld(t, nil)
	_, _, err := w.SetSource(t.Context(), tester, w.repo, Spec{Kind: Hosted, Rules: []Rule{{Branch: "main", Tags: []string{"v1"}, Platforms: []string{"linux/amd64", "linux/arm64/v8"}}}})
	if err != nil {
		t.Fatal(err)
	}
	w.run(t)
	dir, _ := work(t, map[string]string{"Dockerfile": "FROM scratch"})
	runGit(t, dir, "push", "--quiet", w.git, "HEAD:main")
	b := <-w.ended
	if b.State != Succeeded || b.Digest != "index of linux/amd64=sha256:dd linux/arm64=sha256:dd in ann/app as v1" {
		t.Errorf("%+v\n%s", b, w.log(t, b.ID))
	}
	w.engine.mu.Lock()
	defer w.engine.mu.Unlock()
	if len(w.engine.pushes) != 2 || !strings.Contains(w.engine.pushes[0], catalog.Transient+strings.ToLower(b.ID)) && !strings.Contains(w.engine.pushes[0], catalog.Transient+b.ID) ||
		!strings.Contains(w.engine.query, "platform=linux%2Farm64") {
		t.Errorf("pushed %q, built with %s", w.engine.pushes, w.engine.query)
	}
	for name, list := range map[string][]string{"unknown": {"linux"}, "nonsense": {"linux/a b"}, "twice": {"linux/arm64", "linux/arm64/v8"}, "many": make([]string, 11)} {
		if _, _, err := w.SetSource(t.Context(), tester, w.repo, Spec{Kind: Hosted, Rules: []Rule{{Branch: "main", Platforms: list}}}); !errors.Is(err, errdefs.ErrInvalidArgument) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestPartsOfAKilledBuild: what a Hub that was killed left of an image's parts goes
// when the build is taken up.
func TestPartsOfAKilledBuild(t *testing.T) {
	w := newWorld(t, nil)
	src, _, err := w.SetSource(t.Context(), tester, w.repo, Spec{Kind: Hosted, Rules: []Rule{{Branch: "main", Platforms: []string{"linux/amd64", "linux/arm64"}}}})
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	if err := w.DB.Tx(t.Context(), func(tx *store.Tx) (err error) {
		ids, err = enqueue(t.Context(), tx, src, "refs/heads/main", strings.Repeat("a", 40), "test")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	b, found, err := w.take(t.Context(), "one")
	if err != nil || !found || b.ID != ids[0] {
		t.Fatalf("%+v, %v", b, err)
	}
	repo, err := w.Catalog.ByID(t.Context(), w.id)
	if err != nil {
		t.Fatal(err)
	}
	for _, tag := range []string{part(b, 0), "kept"} {
		if _, err := w.Catalog.Pushed(t.Context(), tester, repo, catalog.Manifest{Digest: "sha256:dd"}, tag); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.adopt(t.Context(), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	tags, err := w.Catalog.Tags(t.Context(), repo, "", 0)
	if err != nil || len(tags) != 1 || tags[0].Name != "kept" {
		t.Errorf("%+v, %v", tags, err)
	}
	history, err := w.Catalog.History(t.Context(), repo, "", 0)
	if err != nil || len(history) != 1 {
		t.Errorf("parts are in the history: %+v, %v", history, err)
	}
	user := account.Principal{Kind: account.KindUser, ID: "x", Name: "x"}
	if _, err := w.Catalog.Pushed(t.Context(), user, repo, catalog.Manifest{Digest: "sha256:dd"}, catalog.Transient+"x"); !errors.Is(err, errdefs.ErrInvalidArgument) {
		t.Errorf("a user made one: %v", err)
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

// TestCancelAndLimit: an engine runs no more builds at once than it may; those
// that wait and those that run can be given up.
func TestCancelAndLimit(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Engines[0].Parallel = 2 })
	w.engine.hold = make(chan struct{})
	if _, _, err := w.SetSource(t.Context(), tester, w.repo, Spec{Kind: Hosted, Rules: []Rule{{Branch: "*"}}}); err != nil {
		t.Fatal(err)
	}
	w.run(t)
	dir, _ := work(t, map[string]string{"Dockerfile": "FROM scratch"})
	runGit(t, dir, "push", "--quiet", w.git, "HEAD:a", "HEAD:b", "HEAD:c", "HEAD:d")
	<-w.engine.begun
	<-w.engine.begun
	list, err := w.Builds(t.Context(), tester, w.repo)
	if err != nil {
		t.Fatal(err)
	}
	count := map[string][]Build{}
	for _, b := range list {
		count[b.State] = append(count[b.State], b)
	}
	if len(count[Queued]) != 2 || len(count[Running]) != 2 {
		t.Fatalf("%+v", count)
	}
	followed := make(chan string, 1)
	go func() {
		var text strings.Builder
		err := w.WriteLog(context.WithoutCancel(t.Context()), tester, w.repo, count[Running][0].ID, true, &text, func() error { return nil })
		followed <- fmt.Sprint(text.String(), err)
	}()
	for _, b := range []Build{count[Queued][0], count[Running][0]} {
		if err := w.Cancel(t.Context(), tester, w.repo, b.ID); err != nil {
			t.Error(err)
		}
	}
	if b := <-w.ended; b.ID != count[Running][0].ID || b.State != Cancelled {
		t.Errorf("%+v", b)
	}
	if text := <-followed; !strings.Contains(text, "Step 1/1") || !strings.HasSuffix(text, "cancelled\n<nil>") {
		t.Errorf("followed %q", text)
	}
	close(w.engine.hold)
	for range 2 {
		if b := <-w.ended; b.State != Succeeded {
			t.Errorf("%+v", b)
		}
	}
	if b, err := w.Build(t.Context(), tester, w.repo, count[Queued][0].ID); err != nil || b.State != Cancelled || w.engine.most != 2 {
		t.Errorf("%+v, %v; %d at once", b, err, w.engine.most)
	}
	if err := w.Cancel(t.Context(), tester, w.repo, list[0].ID); !errors.Is(err, errdefs.ErrFailedPrecondition) {
		t.Errorf("cancel of what ended: %v", err)
	}
}

// TestSurvives: a build under way when the Hub ends is built by the next one,
// and given up after that; a push that the Hub did not get to is built, too.
func TestSurvives(t *testing.T) {
	w := newWorld(t, nil)
	w.engine.hold = make(chan struct{})
	if _, _, err := w.SetSource(t.Context(), tester, w.repo, Spec{Kind: Hosted, Rules: []Rule{{Branch: "main"}}}); err != nil {
		t.Fatal(err)
	}
	stop := w.run(t)
	dir, sha := work(t, map[string]string{"Dockerfile": "FROM scratch"})
	runGit(t, dir, "push", "--quiet", w.git, "HEAD:main")
	<-w.engine.begun
	stop()
	list, err := w.Builds(t.Context(), tester, w.repo)
	if err != nil || len(list) != 1 || list[0].State != Running {
		t.Fatalf("%+v, %v", list, err)
	}
	// As a killed Hub leaves it.
	w.robots.open["old"] = list[0].ID
	if _, err := w.DB.Exec(t.Context(), "UPDATE builds SET robot = 'old'"); err != nil {
		t.Fatal(err)
	}
	close(w.engine.hold)
	stop = w.run(t)
	if b := <-w.ended; b.State != Succeeded || b.Commit != sha || w.robots.left() != 0 {
		t.Errorf("%+v, %d robots are left", b, w.robots.left())
	}
	if log := w.log(t, list[0].ID); strings.Count(log, "building ") != 2 {
		t.Errorf("log %q", log)
	}
	stop()
	if _, err := w.DB.Exec(t.Context(), "UPDATE builds SET state = ?, tries = ?", Running, maxTries); err != nil {
		t.Fatal(err)
	}
	// Pushed, and the Hub was killed before it looked.
	sha = commit(t, dir, map[string]string{"x": "1"})
	runGit(t, dir, "push", "--quiet", "file://"+w.Service.git.path(w.id), "HEAD:main")
	w.run(t)
	if b := <-w.ended; b.State != Succeeded || b.Commit != sha {
		t.Errorf("%+v", b)
	}
	if b, err := w.Build(t.Context(), tester, w.repo, list[0].ID); err != nil || b.State != Failed || !strings.Contains(b.Error, "twice") {
		t.Errorf("%+v, %v", b, err)
	}
	// A repository that is removed takes its Git repository along.
	if err := catalog.New(w.DB, catalog.Options{Open: true}).Remove(t.Context(), account.System("test"), "ann/app"); err != nil {
		t.Fatal(err)
	}
	if err := w.sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(w.Service.git.path(w.id)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its Git repository: %v", err)
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

// database is the URL of an empty database for a test.
var database = func(*testing.T) string { return "" } // SQLite

// TestPostgres runs what depends on the database on PostgreSQL.
func TestPostgres(t *testing.T) {
	postgres.Again(t, &database, map[string]func(*testing.T){
		"PushBuilds":     TestPushBuilds,
		"CancelAndLimit": TestCancelAndLimit,
		"Order":          TestOrder,
	})
}
