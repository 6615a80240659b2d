package server

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/moby/moby/api/types/container"

	engine "github.com/berth-engine/berth/container"
	"github.com/berth-engine/berth/plugin"
	"github.com/berth-engine/berth/volume"
)

// judge is an authorisation plugin that remembers what it was shown.
type judge struct {
	mu    sync.Mutex
	seen  []seen
	allow func(what string, m seen) (bool, string)
}

type seen struct {
	RequestMethod, RequestURI string
	RequestBody, ResponseBody []byte
	ResponseStatusCode        int
	RequestHeaders            map[string]string
}

func (j *judge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/Plugin.Activate" {
		fmt.Fprint(w, `{"Implements":["authz"]}`)
		return
	}
	var m seen
	_ = json.NewDecoder(r.Body).Decode(&m)
	what := strings.TrimPrefix(r.URL.Path, "/AuthZPlugin.")
	j.mu.Lock()
	if what == "AuthZReq" {
		j.seen = append(j.seen, m)
	}
	allow, text := j.allow(what, m)
	j.mu.Unlock()
	_ = json.NewEncoder(w).Encode(map[string]any{"Allow": allow, "Msg": text})
}

func judged(t *testing.T, j *judge, c *fakeContainers) *httptest.Server {
	t.Helper()
	dir := t.TempDir()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", filepath.Join(dir, "judge.sock"))
	if err != nil {
		t.Fatal(err)
	}
	ps := httptest.NewUnstartedServer(j)
	ps.Listener = l
	ps.Start()
	t.Cleanup(ps.Close)
	volumes, err := volume.Open(t.TempDir(), nil, nil, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	s := New(Options{
		Containers: c, Images: &fakeImages{}, Volumes: volumes, Plugins: plugin.New(plugin.Options{Sockets: dir, Specs: []string{}}),
		Authz: func() []string { return []string{"judge"} },
	})
	hs := httptest.NewUnstartedServer(s)
	hs.Config.ConnContext = withConn
	hs.Start()
	t.Cleanup(hs.Close)
	return hs
}

// noPrivileged refuses what a careful plugin would: it reads the body as a
// language would that tells cases apart and takes the first of equal keys.
func noPrivileged(what string, m seen) (bool, string) {
	if what == "AuthZReq" && strings.HasPrefix(m.RequestURI, "/v1.47/containers/create") {
		if len(m.RequestBody) == 0 {
			return true, "" // as plugins did that fell to CVE-2024-41110
		}
		if strings.Contains(string(m.RequestBody), `"Privileged":true`) {
			return false, "privileged containers are not allowed"
		}
	}
	return true, ""
}

// TestAuthzSeesWhatActs: no spelling of a request passes a plugin that the
// daemon then understands otherwise.
func TestAuthzSeesWhatActs(t *testing.T) {
	var got *engine.CreateOptions
	j := &judge{allow: noPrivileged}
	hs := judged(t, j, &fakeContainers{create: func(o engine.CreateOptions) (container.CreateResponse, error) {
		got = &o
		return container.CreateResponse{ID: "made"}, nil
	}})
	bad := `{"Image":"i","HostConfig":{"Privileged":true}}`
	head := "POST /v1.47/containers/create HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
	chunked := func(body string) string { return fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body), body) }
	for name, raw := range map[string]string{
		"plain":             head + fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(bad), bad),
		"length 0":          head + "Content-Length: 0\r\n\r\n" + bad,
		"length 0, chunked": head + "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(bad),
		"chunked":           head + "Transfer-Encoding: chunked\r\n\r\n" + chunked(bad),
		"trailer":           head + "Transfer-Encoding: chunked\r\nTrailer: Content-Length\r\n\r\n" + fmt.Sprintf("%x\r\n%s\r\n0\r\nContent-Length: 0\r\n\r\n", len(bad), bad),
		"case":              head + lengthOf(`{"image":"i","hostconfig":{"privileged":true}}`),
		"twice":             head + lengthOf(`{"Image":"i","HostConfig":{"Privileged":false},"HostConfig":{"Privileged":true}}`),
		"twice, case":       head + lengthOf(`{"Image":"i","HostConfig":{"Privileged":false,"privileged":true}}`),
		"escape":            head + lengthOf(`{"Image":"i","HostConfig":{"Privi\u006ceged":true}}`),
		"path":              strings.Replace(head, "/containers/create", "/containers%2Fcreate", 1) + lengthOf(bad),
		"other type":        strings.Replace(head, "application/json", "text/plain", 1) + lengthOf(bad),
		"no type":           strings.Replace(head, "Content-Type: application/json\r\n", "", 1) + lengthOf(bad),
		"type parameter":    strings.Replace(head, "application/json", "application/json; charset=utf-8", 1) + lengthOf(bad),
		"large":             head + lengthOf(`{"Hostname":"`+strings.Repeat("a", maxBody)+`","Image":"i","HostConfig":{"Privileged":true}}`),
		"two documents":     head + lengthOf(`{"Image":"i"}`+bad),
	} {
		got = nil
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", hs.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		go func() { _, _ = io.WriteString(conn, raw) }() // a refusal may come before all is written
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err == nil {
			body, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if resp.StatusCode < 400 {
				t.Errorf("%s: %d %s", name, resp.StatusCode, body)
			}
		}
		conn.Close()
		if got != nil && got.Request.HostConfig != nil && got.Request.HostConfig.Privileged {
			t.Errorf("%s: it was made", name)
		}
	}
}

func lengthOf(body string) string {
	return fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body)
}

// TestAuthzDecides: refusals before and after, with Docker's words; what fails
// refuses; passwords and credentials are not shown.
func TestAuthzDecides(t *testing.T) {
	j := &judge{allow: func(what string, m seen) (bool, string) {
		switch {
		case strings.Contains(m.RequestURI, "refuse"):
			return what != "AuthZReq", "not you"
		case strings.Contains(m.RequestURI, "hide"):
			return what != "AuthZRes", "a secret"
		}
		return true, ""
	}}
	c := &fakeContainers{inspect: container.InspectResponse{ID: "full"}, list: func(engine.ListOptions) ([]container.Summary, error) { return nil, nil }}
	hs := judged(t, j, c)
	do := func(method, path, body string) (int, string) {
		req, err := http.NewRequestWithContext(t.Context(), method, hs.URL+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("X-Registry-Auth", "c2VjcmV0")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		data, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, strings.TrimSpace(string(data))
	}
	for _, tc := range []struct {
		method, path, body string
		code               int
		want               string
	}{
		{"GET", "/containers/json", "", 200, "[]"},
		{"GET", "/_ping", "", 200, "OK"},
		{"HEAD", "/_ping", "", 200, ""},
		{"GET", "/containers/refuse/json", "", 403, `{"message":"authorization denied by plugin judge: not you"}`},
		{"GET", "/containers/hide/json", "", 403, `{"message":"authorization denied by plugin judge: a secret"}`},
		{"POST", "/containers/refuse/start", "", 403, "not you"},
		{"POST", "/containers/x/start", "{}", 204, ""},
		{"POST", "/containers/x/rename?name=y", `{"a":1}`, 403, "plugins could not see it"},
		{"GET", "/nosuch", "", 404, "page not found"},
		{"POST", "/auth", `{"username":"u","password":"hunter2","serveraddress":"127.0.0.1:1"}`, 500, ""},
	} {
		code, body := do(tc.method, tc.path, tc.body)
		if code != tc.code || !strings.Contains(body, tc.want) {
			t.Errorf("%s %s: %d %s", tc.method, tc.path, code, body)
		}
	}
	if strings.Contains(fmt.Sprint(c.calls), "refuse") {
		t.Errorf("carried out: %q", c.calls)
	}
	j.mu.Lock()
	text, _ := json.Marshal(j.seen)
	for _, s := range j.seen {
		if strings.Contains(string(s.RequestBody), "hunter2") || s.RequestHeaders["X-Registry-Auth"] != "" {
			t.Error("a plugin was shown credentials")
		}
	}
	j.mu.Unlock()
	if !strings.Contains(string(text), "/auth") {
		t.Error("nothing was seen")
	}
}

// Nobody is allowed what a plugin that is gone cannot allow.
func TestAuthzGone(t *testing.T) {
	c := &fakeContainers{}
	s := New(Options{Containers: c, Plugins: plugin.New(plugin.Options{Sockets: t.TempDir(), Specs: []string{}}), Authz: func() []string { return []string{"gone"} }})
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "http://localhost/containers/x/start", nil))
	if w.Code != 500 || !strings.Contains(w.Body.String(), `plugin gone failed with error: AuthZPlugin.AuthZReq: plugin \"gone\" not found`) || len(c.calls) > 0 {
		t.Errorf("%d %s %q", w.Code, w.Body, c.calls)
	}
}

// Each operation that reads a JSON body is known to the plugins' view of it.
func TestBodiesAreKnown(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	readers := 0
	for _, f := range files {
		if strings.HasSuffix(f, "_test.go") || f == "decode.go" {
			continue
		}
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		readers += strings.Count(string(data), "readJSON(w")
	}
	served := 0
	s := New(Options{})
	for _, op := range s.operations() {
		if _, ok := bodies[op.method+" "+op.path]; ok && op.state != notYet && op.state != alone {
			served++
		}
	}
	if readers != served {
		t.Errorf("%d handlers read JSON, but the bodies of %d operations are known: complete the table", readers, served)
	}
}
