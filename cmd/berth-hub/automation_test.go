package main

import (
	"archive/tar"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/berth-engine/berth/hub/account"
	"github.com/berth-engine/berth/hub/catalog"
	"github.com/berth-engine/berth/hub/gc"
	"github.com/berth-engine/berth/hub/webhook"
	"github.com/berth-engine/berth/oci"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// people is a Hub with accounts: ann administers it, bob has an account.
type people struct {
	url     string
	secrets map[string]string // access tokens with all scopes, by the user's name
}

func newPeople(t *testing.T, change func(*serveOptions)) people {
	t.Helper()
	o := serveOptions{
		listen: "127.0.0.1:0", noSeed: true, accounts: true, dataOptions: dataOptions{data: t.TempDir()},
		automationOptions: automationOptions{allowOutbound: []string{"127.0.0.1"}},
	}
	if change != nil {
		change(&o)
	}
	p := people{secrets: map[string]string{}}
	db, err := o.open(t.Context())
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
	bob, err := accounts.CreateUser(t.Context(), ann.Principal(), account.NewUser{Name: "bob", Password: "correct horse battery"})
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range []account.User{ann, bob} {
		if _, p.secrets[u.Name], err = accounts.CreateToken(t.Context(), u.Principal(), account.NewToken{Name: "t", Scopes: account.Scopes}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := catalog.New(db, catalog.Options{}).Create(t.Context(), ann.Principal(), "ann/app", false); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	addr, stop := start(t, o)
	p.url = "http://" + addr
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// call calls the API as somebody ("" is nobody) and decodes the answer into v.
func (p people) call(t *testing.T, who, method, path, body string, v any) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, p.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if who != "" {
		req.SetBasicAuth(who, p.secrets[who])
	}
	for _, a := range []string{ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageIndex} {
		req.Header.Add("Accept", a)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	switch v := v.(type) {
	case nil:
	case *string:
		*v = string(text)
	default:
		if err := json.Unmarshal(text, v); err != nil {
			t.Fatalf("%s %s: %d %s: %v", method, path, resp.StatusCode, text, err)
		}
	}
	return resp.StatusCode
}

func (p people) want(t *testing.T, status int, who, method, path, body string, v any) {
	t.Helper()
	var text string
	if v == nil {
		v = &text
	}
	if got := p.call(t, who, method, path, body, v); got != status {
		t.Fatalf("%s %s as %q: %d %s", method, path, who, got, text)
	}
}

func picture(t *testing.T, content string) oci.Image {
	t.Helper()
	l, err := oci.NewLayer([]oci.Entry{{Header: tar.Header{Name: "f", Mode: 0o644, Typeflag: tar.TypeReg}, Data: []byte(content)}}, oci.Zstd)
	if err != nil {
		t.Fatal(err)
	}
	i, err := oci.NewImage(ocispec.Platform{OS: "linux", Architecture: "amd64"}, ocispec.ImageConfig{}, "test", l)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// signed sends credentials with each request.
type signed struct{ name, secret string }

func (s signed) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.SetBasicAuth(s.name, s.secret)
	return http.DefaultTransport.RoundTrip(req)
}

func (p people) push(t *testing.T, who, repository string, i oci.Image, tag string) {
	t.Helper()
	client := &http.Client{Transport: signed{who, p.secrets[who]}}
	if err := (oci.Remote{Registry: p.url, Repository: repository, Client: client}).Push(t.Context(), i, tag); err != nil {
		t.Fatal(err)
	}
}

// TestAutomation is a repository's life: pushes are told, tags are kept, put
// back and removed, the repository is renamed, garbage goes.
func TestAutomation(t *testing.T) {
	p := newPeople(t, nil)
	const repo = "/api/v1/repositories/ann/app/-/"
	calls := make(chan *http.Request, 10)
	bodies := make(chan []byte, 10)
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		calls <- r
		bodies <- body
	}))
	defer receiver.Close()
	var hook struct {
		Value  webhook.Hook `json:"value"`
		Secret string       `json:"secret"`
	}
	p.want(t, http.StatusOK, "ann", http.MethodPost, repo+"webhooks", `{"url":"`+receiver.URL+`","events":["push","delete"]}`, &hook)
	told := func() webhook.Event {
		t.Helper()
		r, body := <-calls, <-bodies
		var e webhook.Event
		if err := json.Unmarshal(body, &e); err != nil || !webhook.Verify(hook.Secret, body, r.Header.Get(webhook.SignatureHeader)) {
			t.Errorf("%s, signed %s, %v", body, r.Header.Get(webhook.SignatureHeader), err)
		}
		return e
	}
	first, second := picture(t, "1"), picture(t, "2")
	p.push(t, "ann", "ann/app", first, "v1")
	if e := told(); e.Event != webhook.Push || e.Repository != "ann/app" || e.Tag != "v1" || e.Digest != first.Root().Descriptor.Digest.String() || e.Actor != "ann" {
		t.Errorf("told %+v", e)
	}
	p.push(t, "ann", "ann/app", second, "v1")
	told()
	var history []catalog.Event
	p.want(t, http.StatusOK, "ann", http.MethodGet, repo+"tags/v1/history", "", &history)
	was := first.Root().Descriptor.Digest.String()
	if len(history) != 2 || history[0].Previous != was && history[1].Previous != was { // within one second
		t.Errorf("history %+v", history)
	}
	p.want(t, http.StatusOK, "ann", http.MethodPost, repo+"tags/v1/restore", `{"digest":"`+was+`"}`, nil)
	if e := told(); e.Tag != "v1" || e.Digest != was {
		t.Errorf("told %+v", e)
	}
	var manifest string
	p.want(t, http.StatusOK, "ann", http.MethodGet, "/v2/ann/app/manifests/v1", "", &manifest)
	if manifest != string(first.Root().Data) {
		t.Errorf("restored %s", manifest)
	}
	// Immutable, then not, then kept by number.
	p.want(t, http.StatusNoContent, "ann", http.MethodPut, repo+"retention", `{"immutable":["v*"]}`, nil)
	p.want(t, http.StatusForbidden, "ann", http.MethodDelete, "/v2/ann/app/manifests/v1", "", nil)
	p.push(t, "ann", "ann/app", second, "v2")
	told()
	p.want(t, http.StatusNoContent, "ann", http.MethodPut, repo+"retention", `{"rules":[{"tags":"v*","keep_last":1}]}`, nil)
	p.want(t, http.StatusOK, "ann", http.MethodPost, repo+"retention/apply", "", nil)
	if e := told(); e.Event != webhook.Delete || e.Tag == "" {
		t.Errorf("told %+v", e)
	}
	p.want(t, http.StatusBadRequest, "ann", http.MethodPut, repo+"retention", `{"rule":[]}`, nil)
	// A new name; the old one leads there.
	p.want(t, http.StatusNoContent, "ann", http.MethodPost, repo+"rename", `{"to":"ann/new"}`, nil)
	digestOf := second.Root().Descriptor.Digest.String()
	for _, name := range []string{"ann/new", "ann/app"} {
		p.want(t, http.StatusOK, "ann", http.MethodGet, "/v2/"+name+"/manifests/"+digestOf, "", nil)
	}
	p.collect(t, `{"dry_run":true}`)
	p.collect(t, `{}`)
	p.want(t, http.StatusOK, "ann", http.MethodGet, "/v2/ann/new/blobs/"+second.Blobs[0].Descriptor.Digest.String(), "", nil)
}

// collect has garbage collected and waits until it is.
func (p people) collect(t *testing.T, how string) {
	t.Helper()
	var text string
	p.want(t, http.StatusAccepted, "ann", http.MethodPost, "/api/v1/gc", how, &text)
	for {
		var r gc.Report
		if err := json.Unmarshal([]byte(text), &r); err != nil || r.Error != "" {
			t.Fatalf("%s: %v", text, err)
		}
		if !r.Ended.IsZero() {
			return
		}
		select {
		case <-t.Context().Done():
			t.Fatal("it never ended")
		case <-time.After(5 * time.Millisecond):
		}
		p.want(t, http.StatusOK, "ann", http.MethodGet, "/api/v1/gc/"+r.ID, "", &text)
	}
}

// TestAutomationIsForWhoMay: others get the answer for what is not there, and
// what only administrators may do is refused.
func TestAutomationIsForWhoMay(t *testing.T) {
	p := newPeople(t, nil)
	const repo, none = "/api/v1/repositories/ann/app/-/", "/api/v1/repositories/ann/none/-/"
	for _, call := range []string{
		"GET webhooks", "POST webhooks", "GET webhooks/x", "PUT webhooks/x", "DELETE webhooks/x", "POST webhooks/x/ping", "GET webhooks/x/deliveries",
		"GET retention", "PUT retention", "POST retention/plan", "POST retention/apply", "GET builds", "GET builds/source", "PUT builds/source",
		"DELETE builds/source", "GET builds/x", "GET builds/x/log", "POST builds/x/cancel", "POST builds/x/rebuild", "GET tags/x/history",
		"POST tags/x/restore", "POST rename",
	} {
		method, path, _ := strings.Cut(call, " ")
		for _, who := range []string{"", "bob"} {
			var private, missing string
			a, b := p.call(t, who, method, repo+path, "{}", &private), p.call(t, who, method, none+path, "{}", &missing)
			if a != http.StatusNotFound || a != b || strings.ReplaceAll(private, "ann/app", "ann/none") != missing {
				t.Errorf("%s as %q: %d %s, and %d %s where there is nothing", call, who, a, private, b, missing)
			}
		}
	}
	for _, call := range []string{"GET gc", "POST gc", "GET mirrors", "POST mirrors", "GET mirrors/x", "PUT mirrors/x", "DELETE mirrors/x"} {
		method, path, _ := strings.Cut(call, " ")
		for _, who := range []string{"", "bob"} {
			p.want(t, http.StatusForbidden, who, method, "/api/v1/"+path, "{}", nil)
		}
	}
	p.want(t, http.StatusForbidden, "bob", http.MethodGet, "/api/v1/namespaces/ann/-/webhooks", "", nil)
	p.want(t, http.StatusOK, "bob", http.MethodGet, "/api/v1/namespaces/bob/-/webhooks", "", nil)
	p.want(t, http.StatusUnauthorized, "", http.MethodGet, "/git/ann/app.git/info/refs?service=git-upload-pack", "", nil)
	p.want(t, http.StatusNotFound, "bob", http.MethodGet, "/git/ann/app.git/info/refs?service=git-upload-pack", "", nil)
	p.want(t, http.StatusNotFound, "", http.MethodPost, "/hooks/x", "{}", nil)
	p.want(t, http.StatusNotFound, "ann", http.MethodGet, repo+"nothing", "", nil)
	p.want(t, http.StatusMethodNotAllowed, "ann", http.MethodDelete, repo+"retention", "", nil)
	p.want(t, http.StatusForbidden, "ann", http.MethodPost, repo+"webhooks", `{"url":"http://169.254.169.254/latest/meta-data"}`, nil)
}

// TestMirrorOfEverything: names in nobody's namespace are the upstream's, those
// in somebody's never are asked for there, and what is private stays so.
func TestMirrorOfEverything(t *testing.T) {
	manifest := []byte(`{"schemaVersion":2,"mediaType":"` + ocispec.MediaTypeImageIndex + `","manifests":[]}`)
	asked := make(chan string, 100)
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.URL.Path
		if r.URL.Path != "/v2/other/thing/manifests/1" && r.URL.Path != "/v2/thing/manifests/1" {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", ocispec.MediaTypeImageIndex)
		_, _ = w.Write(manifest)
	}))
	defer upstream.Close()
	p := newPeople(t, nil)
	p.want(t, http.StatusOK, "ann", http.MethodPost, "/api/v1/mirrors", `{"upstream":"`+upstream.URL+`"}`, nil)
	p.want(t, http.StatusOK, "ann", http.MethodPost, "/api/v1/mirrors", `{"prefix":"up","upstream":"`+upstream.URL+`","public":true}`, nil)
	p.want(t, http.StatusConflict, "ann", http.MethodPost, "/api/v1/mirrors", `{"prefix":"bob","upstream":"`+upstream.URL+`"}`, nil)
	p.want(t, http.StatusConflict, "ann", http.MethodPost, "/api/v1/mirrors", `{"prefix":"up","upstream":"`+upstream.URL+`"}`, nil)
	p.push(t, "ann", "ann/app", picture(t, "x"), "1")
	var text string
	for _, test := range []struct {
		who, path string
		status    int
		upstream  bool
	}{
		{"bob", "/v2/other/thing/manifests/1", 200, true},
		{"", "/v2/other/thing/manifests/1", 401, false}, // not a public mirror
		{"", "/v2/up/thing/manifests/1", 200, true},
		{"bob", "/v2/up/none/manifests/1", 404, true},
		{"bob", "/v2/ann/app/manifests/1", 403, false},
		{"bob", "/v2/ann/none/manifests/1", 403, false},
		{"ann", "/v2/ann/app/manifests/1", 200, false},
		{"ann", "/v2/ann/none/manifests/1", 404, false},
		{"bob", "/v2/other/../ann/app/manifests/1", 0, false},
	} {
		got := p.call(t, test.who, http.MethodGet, test.path, "", &text)
		if test.status != 0 && got != test.status || test.status == 0 && got == 200 || (len(asked) > 0) != test.upstream {
			t.Errorf("%s as %q: %d %s; upstream asked %d times", test.path, test.who, got, text, len(asked))
		}
		for len(asked) > 0 {
			<-asked
		}
	}
	if d := digest.FromBytes(manifest); p.call(t, "bob", http.MethodGet, "/v2/other/thing/manifests/"+d.String(), "", &text) != 200 || text != string(manifest) {
		t.Errorf("kept: %s", text)
	}
}

// TestGitPush pushes to a Git repository of the Hub with an access token, and
// reads the log of the build that an engine which is not there fails.
func TestGitPush(t *testing.T) {
	t.Chdir(t.TempDir()) // as `--data hub` has it
	p := newPeople(t, func(o *serveOptions) {
		o.engines, o.data = []string{"gone=unix:///nonexistent.sock,registry=hub.example"}, "hub"
	})
	const repo = "/api/v1/repositories/ann/app/-/"
	var none string
	if p.want(t, http.StatusOK, "ann", http.MethodGet, repo+"builds", "", &none); none != "[]\n" {
		t.Errorf("builds, of which there are none: %s", none)
	}
	p.want(t, http.StatusOK, "ann", http.MethodPut, repo+"builds/source", `{"kind":"hub","rules":[{"branch":"main"}]}`, nil)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte("FROM scratch\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	url := strings.Replace(p.url, "http://", "http://ann:"+p.secrets["ann"]+"@", 1) + "/git/ann/app.git"
	for _, args := range [][]string{
		{"init", "-q"}, {"add", "-A"}, {"commit", "-qm", "first"}, {"push", "-q", url, "HEAD:main"},
	} {
		c := exec.CommandContext(t.Context(), "git", append([]string{"-c", "user.name=ann", "-c", "user.email=ann@example.com", "-c", "http.proxy="}, args...)...)
		c.Dir = dir
		c.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "no_proxy=*", "GIT_TERMINAL_PROMPT=0")
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("git %s: %v: %s", args[0], err, out)
		}
	}
	var builds []struct{ ID, State, Commit, Error string }
	p.want(t, http.StatusOK, "ann", http.MethodGet, repo+"builds", "", &builds)
	if len(builds) != 1 {
		t.Fatalf("%+v", builds)
	}
	var log string
	p.want(t, http.StatusOK, "ann", http.MethodGet, repo+"builds/"+builds[0].ID+"/log?follow=1", "", &log)
	p.want(t, http.StatusOK, "ann", http.MethodGet, repo+"builds", "", &builds)
	if builds[0].State != "failed" || !strings.Contains(log, "building "+builds[0].Commit) || !strings.Contains(log, "nonexistent.sock") {
		t.Errorf("%+v\n%s", builds, log)
	}
	p.want(t, http.StatusConflict, "ann", http.MethodPost, fmt.Sprintf("%sbuilds/%s/cancel", repo, builds[0].ID), "", nil)
}
