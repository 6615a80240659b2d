package site

import (
	"bufio"
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/berth-engine/berth/hub/store"
	"github.com/chromedp/chromedp"
)

// running puts a build into the database that no engine knows of.
func (h *hub) running(repo, ref string) string {
	h.t.Helper()
	r, _, err := h.catalog.Find(h.t.Context(), h.admin, repo)
	h.must(err)
	id := store.NewID()
	_, err = h.db.Exec(h.t.Context(), `INSERT INTO builds (id, repository, ref, sha, rule, engine, actor, state, created, started, ended, beat, tries, cancel, robot, digest, error)
		VALUES (?, ?, ?, '4b825dc642cb6eb9a060e54bf8d69288fbee4904', '{"branch":"main"}', 'builder', 'ada', 'running', ?, ?, 0, 4000000000, 1, 0, '', '', '')`, id, r.ID, ref, time.Now().Unix()-10, time.Now().Unix()-5)
	h.must(err)
	return id
}

// says adds to a build's log.
func (h *hub) says(id string, at int, text string) int {
	h.t.Helper()
	_, err := h.db.Exec(h.t.Context(), "INSERT INTO build_logs (build, start, text) VALUES (?, ?, ?)", id, at, base64.StdEncoding.EncodeToString([]byte(text)))
	h.must(err)
	return at + len(text)
}

func (h *hub) ends(id, state string) {
	h.t.Helper()
	_, err := h.db.Exec(h.t.Context(), "UPDATE builds SET state = ?, ended = started + 61 WHERE id = ?", state, id)
	h.must(err)
}

// TestLiveLog follows a build while it runs: lines come before its end does.
func TestLiveLog(t *testing.T) {
	h := fill(t)
	id := h.running("ada/web", "refs/heads/main")
	at := h.says(id, 0, "#1 FROM debian\n#2 RUN <b>make</b>")
	b := h.signedIn("ada")
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, h.server.URL+"/r/ada/web/-/builds/"+id+"/stream", nil)
	h.must(err)
	resp, err := b.Do(req)
	h.must(err)
	defer resp.Body.Close()
	if resp.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("%d %s", resp.StatusCode, resp.Header.Get("Content-Type"))
	}
	lines := bufio.NewScanner(resp.Body)
	next := func(want string) {
		t.Helper()
		for lines.Scan() {
			if lines.Text() != "" {
				break
			}
		}
		if lines.Text() != want {
			t.Fatalf("got %q, want %q (%v)", lines.Text(), want, lines.Err())
		}
	}
	next("event: start")
	next("data:")
	next("data: #1 FROM debian")
	at = h.says(id, at, "\n#3 pushed\n")
	next("data: #2 RUN <b>make</b>")
	next("data: #3 pushed")
	h.ends(id, "succeeded")
	next("event: end")
	_, page := b.get("/r/ada/web/-/builds/" + id)
	if got := text(page); strings.Contains(page, "<b>make") || !strings.Contains(got, "#3 pushed") || !strings.Contains(got, "1m1s") || !strings.Contains(got, "Build again") {
		t.Errorf("the page: %s", got)
	}
	_ = at
	// Logs are for who may push, also in a public repository.
	for who, other := range map[string]*browser{"reader": h.signedIn("grace")} {
		for _, page := range []string{"", "/" + id, "/" + id + "/log", "/" + id + "/stream"} {
			if resp, _ := other.get("/r/ada/web/-/builds" + page); resp.StatusCode != http.StatusForbidden {
				t.Errorf("%s %s: %d", who, page, resp.StatusCode)
			}
		}
	}
	h.repo(h.admin, "ada/other", true)
	if resp, _ := b.get("/r/ada/other/-/builds/" + id); resp.StatusCode != http.StatusNotFound {
		t.Errorf("by another repository: %d", resp.StatusCode)
	}
}

func TestBuildSettings(t *testing.T) {
	h := fill(t)
	b, at := h.signedIn("ada"), "/r/ada/web/-/settings/builds"
	rule := []string{
		"on", "branch", "pattern", "main", "context", "", "file", "", "tags", "latest {sha}", "platforms", "", "parameters", "A=1\r\nB=x=y\r\n",
		"on", "tag", "pattern", "", "context", "", "file", "", "tags", "", "platforms", "", "parameters", "",
	}
	resp, body := b.submit(at, append([]string{"kind", "git", "url", "https://git.example.org/web.git", "engine", "builder"}, rule...)...)
	if resp.StatusCode != http.StatusOK || !strings.Contains(text(body), "Secret of the hook") {
		t.Fatalf("%d %s", resp.StatusCode, text(body))
	}
	if hook := find(t, `(https?://hub\.example/hooks/[^<"]+)`, body); !strings.HasPrefix(hook, "http://hub.example/hooks/") {
		t.Errorf("hook %q", hook)
	}
	_, body = b.get(at)
	for _, want := range []string{`value="main"`, "A=1\nB=x=y", "latest {sha}", "https://git.example.org/web.git"} {
		if !strings.Contains(body, want) {
			t.Errorf("no %q in the form", want)
		}
	}
	checkMarkup(t, at, body)
	for what, bad := range map[string][]string{
		"address":  append([]string{"kind", "git", "url", "http://169.254.169.254/x.git", "engine", "builder"}, rule...),
		"argument": {"kind", "hub", "engine", "builder", "on", "branch", "pattern", "main", "context", "", "file", "", "tags", "", "platforms", "", "parameters", "no value"},
		"rule":     {"kind", "hub", "engine", "builder", "on", "moon", "pattern", "main", "context", "", "file", "", "tags", "", "platforms", "", "parameters", ""},
		"columns":  {"kind", "hub", "engine", "builder", "on", "branch", "pattern", "main"},
	} {
		if resp, body := b.submit(at, bad...); resp.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %d %s", what, resp.StatusCode, text(body))
		}
	}
	b.want(at, at+"/delete")
}

// TestBrowserLog watches the page of a build that runs.
func TestBrowserLog(t *testing.T) {
	h := fill(t)
	id := h.running("ada/web", "refs/heads/main")
	at := h.says(id, 0, "#1 FROM debian\n")
	b := h.chromium()
	b.signIn("ada")
	b.open("/r/ada/web/-/builds/" + id)
	h.says(id, at, "#2 RUN make\n")
	b.run(chromedp.WaitReady(chromedp.Search("//pre[contains(., '#2 RUN make')]")))
	h.ends(id, "succeeded")
	b.run(chromedp.WaitReady(chromedp.Search("//button[contains(., 'Build again')]"))) // the page loaded itself again
	b.quiet()
}

func TestEvents(t *testing.T) {
	var out strings.Builder
	e := &events{w: &out}
	for _, part := range []string{"one\ntw", "o\r\n", "10%\r20%\rdone\n", "\n", "data: x\nevent: end\n", "bad \xff", " rest"} {
		if n, err := e.Write([]byte(part)); err != nil || n != len(part) {
			t.Fatal(n, err)
		}
	}
	if err := e.end(); err != nil {
		t.Fatal(err)
	}
	want := "data: one\n\ndata: two\n\ndata: done\n\ndata: \n\ndata: data: x\n\ndata: event: end\n\ndata: bad \uFFFD rest\n\nevent: end\ndata:\n\n"
	if out.String() != want {
		t.Errorf("got %q", out.String())
	}
}
