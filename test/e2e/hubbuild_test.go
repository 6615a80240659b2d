package e2e

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-engine/berth/hub/account"
	"github.com/berth-engine/berth/hub/catalog"
	"github.com/berth-engine/berth/hub/store"
	"github.com/berth-engine/berth/test/engine"
)

// buildHub is a Hub of its own with accounts, which builds in the daemon d.
type buildHub struct {
	*engine.Hub
	d      *engine.Daemon
	secret string // ann's access token
	args   []string
}

func newBuildHub(t *testing.T, d *engine.Daemon) *buildHub {
	t.Helper()
	h := &buildHub{d: d, args: []string{"--no-seed", "--accounts", "--build-engine", "local=" + d.Host()}}
	db, err := store.Open(t.Context(), filepath.Join(d.Dir, "hub", "hub.db"))
	if err != nil {
		t.Fatal(err)
	}
	accounts := account.New(db, account.Options{})
	token, err := accounts.FirstRun(t.Context(), false)
	if err != nil {
		t.Fatal(err)
	}
	ann, err := accounts.Setup(t.Context(), token, account.NewUser{Name: "ann", Password: "correct horse battery"})
	if err != nil {
		t.Fatal(err)
	}
	if _, h.secret, err = accounts.CreateToken(t.Context(), ann.Principal(), account.NewToken{Name: "t", Scopes: account.Scopes}); err != nil {
		t.Fatal(err)
	}
	if _, err := catalog.New(db, catalog.Options{}).Create(t.Context(), ann.Principal(), "ann/app", false); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	port, err := engine.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	h.start(t, "127.0.0.1:"+port)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the Hub's log:\n%s", tail(h.Log(), 60))
		}
		if err := h.Stop(); err != nil {
			t.Error(err)
		}
	})
	return h
}

func (h *buildHub) start(t *testing.T, listen string) {
	t.Helper()
	var err error
	if h.Hub, err = engine.StartHub(h.d.Dir, listen, h.args...); err != nil {
		t.Fatal(err)
	}
}

// call calls the API for ann's repository; a body that is streamed is given to
// read, otherwise decoded into v.
func (h *buildHub) call(t *testing.T, method, path, body string, v any, read func(io.Reader) bool) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://"+h.Addr+"/api/v1/repositories/ann/app/-/"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth("ann", h.secret)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		text, _ := io.ReadAll(resp.Body)
		t.Fatalf("%s %s: %s %s", method, path, resp.Status, text)
	}
	if read != nil {
		for buffer := make([]byte, 4096); ; {
			n, err := resp.Body.Read(buffer)
			if n > 0 && !read(strings.NewReader(string(buffer[:n]))) || err != nil {
				return
			}
		}
	}
	if v != nil {
		if err := json.NewDecoder(resp.Body).Decode(v); err != nil {
			t.Fatal(err)
		}
	}
}

type hubBuild struct{ ID, State, Commit, Digest, Error string }

// push commits files and pushes them; it returns the build that this makes.
func (h *buildHub) push(t *testing.T, dir string, files map[string]string) hubBuild {
	t.Helper()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{
		{"init", "-q"},
		{"add", "-A"},
		{"commit", "-qm", "change"},
		{"push", "-q", "http://ann:" + h.secret + "@" + h.Addr + "/git/ann/app.git", "HEAD:main"},
	} {
		c := exec.CommandContext(t.Context(), "git", append([]string{"-c", "user.name=ann", "-c", "user.email=ann@example.com", "-c", "http.proxy="}, args...)...)
		c.Dir = dir
		c.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_TERMINAL_PROMPT=0", "no_proxy=*")
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("git %s: %v: %s", args[0], err, out)
		}
	}
	var builds []hubBuild
	h.call(t, http.MethodGet, "builds", "", &builds, nil)
	commit := strings.TrimSpace(must(t, h.d, "git", "-C", dir, "rev-parse", "HEAD"))
	for _, b := range builds {
		if b.Commit == commit {
			return b
		}
	}
	t.Fatalf("no build of %s: %+v", commit, builds)
	return hubBuild{}
}

// follow reads a build's log until it holds text, or to its end for "".
func (h *buildHub) follow(t *testing.T, id, text string) string {
	t.Helper()
	var log strings.Builder
	h.call(t, http.MethodGet, "builds/"+id+"/log?follow=1", "", nil, func(r io.Reader) bool {
		_, _ = io.Copy(&log, r)
		return text == "" || !strings.Contains(log.String(), text)
	})
	if !strings.Contains(log.String(), text) {
		t.Fatalf("the log ended without %q:\n%s", text, log.String())
	}
	return log.String()
}

func (h *buildHub) state(t *testing.T, id string) hubBuild {
	t.Helper()
	var b hubBuild
	h.call(t, http.MethodGet, "builds/"+id, "", &b, nil)
	return b
}

// TestHubBuilds: a push to a Git repository of the Hub becomes an image there,
// built in the engine with the live log; a Hub that is killed builds it once
// more; a build can be cancelled; nothing of it stays in the engine.
func TestHubBuilds(t *testing.T) {
	d := newDaemon(t)
	if err := d.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	h := newBuildHub(t, d)
	h.call(t, http.MethodPut, "builds/source", `{"kind":"hub","rules":[{"branch":"main","tags":["latest","{sha}"]}]}`, nil, nil)
	dir := t.TempDir()
	b := h.push(t, dir, map[string]string{"Dockerfile": "FROM busybox\nCOPY greeting /greeting\nRUN echo a step\nCMD cat /greeting\n", "greeting": "from git\n"})
	log := h.follow(t, b.ID, "")
	if got := h.state(t, b.ID); got.State != "succeeded" || got.Digest == "" || !strings.Contains(log, "a step") {
		t.Fatalf("%+v\n%s", got, log)
	}
	if out := must(t, d, "berth", "images", "-q", h.Addr+"/ann/app"); out != "" {
		t.Errorf("the engine kept the image: %s", out)
	}
	must(t, d, "sh", "-c", "echo "+h.secret+" | berth login -u ann --password-stdin "+h.Addr)
	if out := must(t, d, "berth", "run", "--rm", "-q", h.Addr+"/ann/app:"+b.Commit[:12]); !strings.Contains(out, "from git") {
		t.Errorf("it says %q", out)
	}
	must(t, d, "berth", "rmi", "-f", h.Addr+"/ann/app:"+b.Commit[:12])

	// Killed in the middle.
	b = h.push(t, dir, map[string]string{"Dockerfile": "FROM busybox\nRUN echo begun; sleep 5\nRUN echo went on\n"})
	h.follow(t, b.ID, "begun")
	addr := h.Addr
	if err := h.Kill(); err != nil {
		t.Fatal(err)
	}
	h.start(t, addr)
	log = h.follow(t, b.ID, "")
	if got := h.state(t, b.ID); got.State != "succeeded" || !strings.Contains(log, "went on") || strings.Count(log, "building "+b.Commit) != 2 {
		t.Errorf("%+v\n%s", got, log)
	}

	b = h.push(t, dir, map[string]string{"Dockerfile": "FROM busybox\nRUN echo for ever; sleep 100000\n"})
	h.follow(t, b.ID, "for ever")
	h.call(t, http.MethodPost, "builds/"+b.ID+"/cancel", "", nil, nil)
	h.follow(t, b.ID, "")
	if got := h.state(t, b.ID); got.State != "cancelled" {
		t.Errorf("%+v", got)
	}
	b = h.push(t, dir, map[string]string{"Dockerfile": "FROM busybox\nRUN exit 3\n"})
	if log = h.follow(t, b.ID, ""); h.state(t, b.ID).State != "failed" || !strings.Contains(log, "3") {
		t.Errorf("%+v\n%s", h.state(t, b.ID), log)
	}
	// For two platforms: one image, whose parts are the engine's builds.
	h.call(t, http.MethodPut, "builds/source", `{"kind":"hub","rules":[{"branch":"main","tags":["multi"],"platforms":["linux/amd64","linux/arm64"]}]}`, nil, nil)
	b = h.push(t, dir, map[string]string{"Dockerfile": "FROM scratch\nARG TARGETARCH\nCOPY greeting /greeting-${TARGETARCH}\n"})
	log = h.follow(t, b.ID, "")
	got := h.state(t, b.ID)
	if got.State != "succeeded" {
		t.Fatalf("%+v\n%s", got, log)
	}
	index := must(t, d, "berth", "manifest", "inspect", "--insecure", h.Addr+"/ann/app:multi")
	for _, want := range []string{`"amd64"`, `"arm64"`, "application/vnd.oci.image.index.v1+json"} {
		if !strings.Contains(index, want) {
			t.Errorf("no %s in %s", want, index)
		}
	}
	var tags []struct{ Name string }
	h.call(t, http.MethodGet, "tags", "", &tags, nil)
	for _, tag := range tags {
		if strings.HasPrefix(tag.Name, catalog.Transient) {
			t.Errorf("the part %s is left", tag.Name)
		}
	}
	must(t, d, "berth", "builder", "prune", "-af")
}
