package autobuild

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
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
	"github.com/berth-engine/berth/hub/store/storetest"
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
