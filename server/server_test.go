package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	engine "github.com/berth-engine/berth/container"
	"github.com/berth-engine/berth/server/compat"
)

func TestVersions(t *testing.T) {
	_, hs := serve(t, &fakeContainers{}, nil)
	for path, want := range map[string]string{
		"/containers/json":          "200 []",
		"/v1.24/containers/json":    "200 []",
		"/v1.56/containers/json":    "200 []",
		"/v1.23/containers/json":    `400 {"message":"client version 1.23 is too old. Minimum supported API version is 1.24, please upgrade your client to a newer version"}`,
		"/v1.99/containers/json":    `400 {"message":"client version 1.99 is too new. Maximum supported API version is 1.56"}`,
		"/v2.0/containers/json":     `400 {"message":"client version 2.0 is too new. Maximum supported API version is 1.56"}`,
		"/v1.2.3/containers/json":   `400 {"message":"invalid API version \"1.2.3\""}`,
		"/vx/containers/json":       `404 {"message":"page not found"}`,
		"/v1.44":                    `404 {"message":"page not found"}`,
		"/":                         `404 {"message":"page not found"}`,
		"/containers//json":         `404 {"message":"page not found"}`,
		"/nosuch":                   `404 {"message":"page not found"}`,
		"/v1.99/nosuch":             `404 {"message":"page not found"}`,
		"/containers/json?a=%zz":    `400 {"message":"invalid URL escape \"%zz\""}`,
		"/v1.44/services":           `503 {"message":"This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this node to swarm and try again."}`,
		"/v1.44/plugins/privileges": `501 {"message":"GET /plugins/privileges is not supported by this version of Berth yet"}`,
		"/containers/x/attach/ws":   `400 {"message":"not a websocket request"}`,
		"/containers/json?limit=x":  `400 {"message":"invalid value \"x\" for limit: must be a number"}`,
	} {
		code, body, header := do(t, hs, http.MethodGet, path, "")
		if got := fmt.Sprint(code, " ", strings.TrimSpace(body)); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
		if header.Get("Api-Version") != "1.56" || header.Get("Ostype") != "linux" || header.Get("Server") != "Berth/9.9.9 (linux)" || header.Get("Docker-Experimental") != "false" {
			t.Errorf("%s: headers %v", path, header)
		}
	}
}

func TestPing(t *testing.T) {
	_, hs := serve(t, nil, nil)
	code, body, h := do(t, hs, http.MethodGet, "/_ping", "")
	if code != 200 || body != "OK" || h.Get("Builder-Version") != "" || h.Get("Swarm") != "inactive" || h.Get("Cache-Control") == "" {
		t.Errorf("%d %q %v", code, body, h)
	}
	code, body, h = do(t, hs, http.MethodHead, "/v1.41/_ping", "")
	if code != 200 || body != "" || h.Get("Content-Length") != "0" || h.Get("Api-Version") != "1.56" {
		t.Errorf("HEAD: %d %q %v", code, body, h)
	}
	cli := mobyClient(t, hs)
	if p, err := cli.Ping(t.Context(), client.PingOptions{NegotiateAPIVersion: true}); err != nil || p.APIVersion != "1.56" || cli.ClientVersion() != "1.56" {
		t.Errorf("%+v %v", p, err)
	}
}

// Every kind of error arrives at the stock client as that kind, with its text.
func TestErrorKindsRoundTrip(t *testing.T) {
	for _, tc := range []struct {
		kind   error
		status int
		is     error // at the client
	}{
		{errdefs.ErrNotFound, 404, errdefs.ErrNotFound},
		{errdefs.ErrInvalidArgument, 400, errdefs.ErrInvalidArgument},
		{errdefs.ErrFailedPrecondition, 400, errdefs.ErrInvalidArgument},
		{errdefs.ErrOutOfRange, 400, errdefs.ErrInvalidArgument},
		{errdefs.ErrConflict, 409, errdefs.ErrConflict},
		{errdefs.ErrAlreadyExists, 409, errdefs.ErrConflict},
		{errdefs.ErrAborted, 409, errdefs.ErrConflict},
		{errdefs.ErrUnauthenticated, 401, errdefs.ErrUnauthenticated},
		{errdefs.ErrPermissionDenied, 403, errdefs.ErrPermissionDenied},
		{errdefs.ErrResourceExhausted, 429, errdefs.ErrResourceExhausted},
		{errdefs.ErrNotImplemented, 501, errdefs.ErrNotImplemented},
		{errdefs.ErrUnavailable, 503, errdefs.ErrUnavailable},
		{errdefs.ErrInternal, 500, errdefs.ErrInternal},
		{errdefs.ErrDataLoss, 500, errdefs.ErrInternal},
		{errdefs.ErrUnknown, 500, errdefs.ErrInternal},
		{errors.New("plain"), 500, errdefs.ErrInternal},
		{context.DeadlineExceeded, 500, errdefs.ErrInternal},
	} {
		err := fmt.Errorf("some text: %w", tc.kind)
		if got := status(err); got != tc.status {
			t.Errorf("%v: status %d, want %d", tc.kind, got, tc.status)
		}
		_, hs := serve(t, &fakeContainers{err: err}, nil)
		_, cliErr := mobyClient(t, hs).ContainerRename(t.Context(), "a", client.ContainerRenameOptions{NewName: "b"})
		if !errors.Is(cliErr, tc.is) || !strings.HasSuffix(cliErr.Error(), err.Error()) {
			t.Errorf("%v: client got %v", tc.kind, cliErr)
		}
	}
	// The outermost kind counts.
	if got := status(fmt.Errorf("%w: %w", errdefs.ErrInvalidArgument, errdefs.ErrNotFound)); got != 400 {
		t.Errorf("outermost: %d", got)
	}
	_, hs := serve(t, &fakeContainers{err: engine.ErrAlreadyStarted}, nil)
	if code, body, _ := do(t, hs, http.MethodPost, "/containers/x/start", ""); code != 304 || body != "" {
		t.Errorf("already started: %d %q", code, body)
	}
	if _, err := mobyClient(t, hs).ContainerStart(t.Context(), "x", client.ContainerStartOptions{}); err != nil {
		t.Errorf("already started: %v", err)
	}
}

func TestBodies(t *testing.T) {
	var got engine.CreateOptions
	c := &fakeContainers{create: func(o engine.CreateOptions) (container.CreateResponse, error) {
		got = o
		return container.CreateResponse{ID: "abc"}, nil
	}}
	_, hs := serve(t, c, nil)
	big := `{"Image":"x","Env":["` + strings.Repeat("a", maxBody) + `"]}`
	for _, tc := range []struct{ body, ct, want string }{
		{`{"Image":"x"}`, "application/json", `201 {"Id":"abc","Warnings":[]}`},
		{`{"Image":"x","NoSuchField":1}`, "application/json; charset=utf-8", `201 {"Id":"abc","Warnings":[]}`},
		{`{"Image":`, "application/json", `400 {"message":"invalid JSON: unexpected EOF"}`},
		{` `, "application/json", `400 {"message":"invalid JSON: got EOF while reading request body"}`},
		{`{"Image":3}`, "application/json", `400 {"message":"invalid JSON: json: cannot unmarshal number into Go struct field`},
		{`{"Image":"x"}}`, "application/json", `400 {"message":"unexpected content after JSON"}`},
		{`{"Image":"x"}{}`, "application/json", `400 {"message":"unexpected content after JSON"}`},
		{`{"Image":"x"} x`, "application/json", `400 {"message":"unexpected content after JSON"}`},
		{`{"Image":"x"}`, "text/plain", `400 {"message":"unsupported Content-Type header (text/plain): must be 'application/json'"}`},
		{`{"Image":"x"}`, "", `400 {"message":"malformed Content-Type header (): mime: no media type"}`},
		{big, "application/json", `413 {"message":"request body is larger than 8388608 bytes`},
		{`{"Image":"x"}` + strings.Repeat(" ", maxBody), "application/json", `413 {"message":"request body is larger than`},
	} {
		code, body, _ := do(t, hs, http.MethodPost, "/v1.44/containers/create?name=n", tc.body, "Content-Type", tc.ct)
		if g := fmt.Sprint(code, " ", strings.TrimSpace(body)); !strings.HasPrefix(g, tc.want) {
			t.Errorf("%.40s (%s): %.200s, want %s", tc.body, tc.ct, g, tc.want)
		}
	}
	// Of keys that differ in case only, the last counts, for everybody.
	if code, body, _ := do(t, hs, http.MethodPost, "/containers/create?name=n", `{"Image":"x","hostconfig":{"Privileged":true},"HostConfig":{"Privileged":false}}`); code != 201 || got.Request.HostConfig.Privileged || got.Name != "n" {
		t.Errorf("%d %s %+v", code, body, got.Request.HostConfig)
	}
	if code, body, _ := do(t, hs, http.MethodPost, "/containers/create", ""); code != 400 || !strings.Contains(body, "config cannot be empty") {
		t.Errorf("%d %s", code, body)
	}
}

func TestPanicCostsOneRequest(t *testing.T) {
	c := &fakeContainers{list: func(engine.ListOptions) ([]container.Summary, error) { panic("oops") }}
	_, hs := serve(t, c, nil)
	for range 2 {
		if code, body, _ := do(t, hs, http.MethodGet, "/containers/json", ""); code != 500 || strings.Contains(body, "oops") {
			t.Errorf("%d %s", code, body)
		}
	}
}

func TestBrowsersAreRefused(t *testing.T) {
	_, hs := serve(t, &fakeContainers{}, nil)
	addr := strings.TrimPrefix(hs.URL, "http://")
	for _, tc := range []struct {
		header, value string
		code          int
	}{
		{"Origin", "http://evil.example", 403},
		{"Origin", "null", 403},
		{"Origin", "http://" + addr, 200},
		{"Sec-Fetch-Site", "cross-site", 403},
		{"Sec-Fetch-Site", "same-site", 403},
		{"Sec-Fetch-Site", "same-origin", 200},
		{"Host", "rebound.evil.example:2375", 403},
		{"Host", "rebound.evil.example.", 403},
		{"Host", "docker:2375", 200},
		{"Host", "localhost", 200},
		{"Host", "[::1]:2375", 200},
	} {
		if code, body, _ := do(t, hs, http.MethodGet, "/containers/json", "", tc.header, tc.value); code != tc.code {
			t.Errorf("%s: %s: %d %s", tc.header, tc.value, code, body)
		}
	}
}

func TestContainerCalls(t *testing.T) {
	c := &fakeContainers{}
	_, hs := serve(t, c, nil)
	for _, tc := range []struct{ method, path, call string }{
		{http.MethodPost, "/containers/a/start", "start a"},
		{http.MethodPost, "/v1.41/containers/a/stop?signal=INT&t=3", "stop a "},
		{http.MethodPost, "/v1.42/containers/a/stop?signal=INT", "stop a INT"},
		{http.MethodPost, "/containers/a/restart", "restart a"},
		{http.MethodPost, "/containers/a/kill?signal=9", "kill a 9"},
		{http.MethodPost, "/containers/a/rename?name=b", "rename a b"},
		{http.MethodDelete, "/containers/a?force=1", "remove a"},
		{http.MethodPost, "/containers/a/resize?h=1&w=2", "resize"},
	} {
		c.calls = nil
		code, body, _ := do(t, hs, tc.method, tc.path, "")
		if code > 204 || len(c.calls) != 1 || c.calls[0] != tc.call {
			t.Errorf("%s: %d %s %q", tc.path, code, body, c.calls)
		}
	}
	for path, want := range map[string]string{
		"/containers/a/resize?h=x&w=2":           "invalid resize height",
		"/containers/a/stop?t=x":                 "must be a number of seconds",
		"/containers/a/wait?condition=x":         "invalid condition",
		"/containers/prune?filters=x":            "invalid filter",
		"/containers/create?platform=a/b/c/d/e/": "",
	} {
		if code, body, _ := do(t, hs, http.MethodPost, path, ""); code != 400 || !strings.Contains(body, want) {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
	if code, body, _ := do(t, hs, http.MethodPost, "/containers/a/start", `{"a":"bcdefg"}`); code != 400 {
		t.Errorf("start with a body: %d %s", code, body)
	}
	c.err = errdefs.ErrNotFound.WithMessage("No such container: x")
	if code, body, _ := do(t, hs, http.MethodPost, "/containers/x/kill", ""); code != 404 || !strings.Contains(body, "cannot kill container: x: No such container: x") {
		t.Errorf("%d %s", code, body)
	}
}

func TestInfoAndVersion(t *testing.T) {
	_, hs := serve(t, nil, nil)
	cli := mobyClient(t, hs)
	info, err := cli.Info(t.Context(), client.InfoOptions{})
	if err != nil {
		t.Fatal(err)
	}
	i := info.Info
	if i.Containers != 5 || i.ContainersRunning != 3 || i.Driver != "overlayfs" || i.NCPU < 1 || i.MemTotal < 1<<20 || i.KernelVersion == "" ||
		i.OSType != "linux" || i.Swarm.LocalNodeState != "inactive" || i.DefaultRuntime != "berth" || i.ID != "id" || i.Name != "host" || !i.LiveRestoreEnabled {
		t.Errorf("%+v", i)
	}
	v, err := cli.ServerVersion(t.Context(), client.ServerVersionOptions{})
	if err != nil || v.Version != "9.9.9" || v.APIVersion != compat.Newest.String() || v.MinAPIVersion != "1.24" || len(v.Components) < 2 {
		t.Errorf("%+v %v", v, err)
	}
	for _, path := range []string{"/v1.24/info", "/v1.41/info", "/v1.49/info"} {
		if code, body, _ := do(t, hs, http.MethodGet, path, ""); code != 200 || !strings.Contains(body, `"BridgeNfIptables":false`) {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
	t.Setenv("HTTP_PROXY", "http://user:secret@proxy:1")
	if _, body, _ := do(t, hs, http.MethodGet, "/info", ""); strings.Contains(body, "secret") {
		t.Error("info shows the proxy's password")
	}
}

func TestReadHost(t *testing.T) {
	h := readHost("1")
	if _, err := os.Stat("/sys/fs/cgroup/memory/memory.limit_in_bytes"); err == nil && !h.memory {
		t.Errorf("%+v", h)
	}
	if h.osName == "" || h.machine == "" || h.memTotal == 0 {
		t.Errorf("%+v", h)
	}
}
