package server

import (
	"context"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"

	engine "github.com/berth-engine/berth/container"
)

func TestExecOperations(t *testing.T) {
	f := &fakeContainers{}
	_, hs := serve(t, f, nil)
	for _, c := range []struct {
		method, path, body string
		code               int
		want, call         string
	}{
		{http.MethodPost, "/v1.44/containers/x/exec", `{"Cmd":["ls"],"Tty":true,"ConsoleSize":[1,2]}`, 201, `{"Id":"e1"}`, "exec x[ls] &[1 2]"},
		{http.MethodPost, "/v1.41/containers/x/exec", `{"Cmd":["ls"],"Tty":true,"ConsoleSize":[1,2]}`, 201, `{"Id":"e1"}`, "exec x[ls] <nil>"},
		{http.MethodPost, "/v1.44/containers/x/exec", `{"Cmd":["ls"],"ConsoleSize":[1,2]}`, 201, `{"Id":"e1"}`, "exec x[ls] <nil>"},
		{http.MethodPost, "/exec/e1/start", `{"Detach":true}`, 200, "", "exec start e1"},
		{http.MethodPost, "/exec/e1/resize?h=3&w=4", "", 200, "", "exec resize e13 4"},
		{http.MethodPost, "/exec/e1/resize?h=3", "", 400, `invalid resize width`, ""},
		{http.MethodGet, "/exec/e1/json", "", 200, `"ID":"e1"`, ""},
	} {
		code, body, _ := do(t, hs, c.method, c.path, c.body)
		if code != c.code || !strings.Contains(body, c.want) {
			t.Errorf("%s %s: %d %s", c.method, c.path, code, body)
		}
		if c.call != "" && !slices.Contains(f.calls, c.call) {
			t.Errorf("%s %s: calls %q", c.method, c.path, f.calls)
		}
	}
	f.err = errdefs.ErrConflict.WithMessage("container x is paused, unpause the container before exec")
	for _, path := range []string{"/containers/x/exec", "/exec/e1/start"} {
		code, body, _ := do(t, hs, http.MethodPost, path, `{"Cmd":["ls"]}`)
		if code != 409 || !strings.Contains(body, "unpause the container before exec") {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
	conn, err := mobyClient(t, hs).ExecAttach(t.Context(), "e1", client.ExecAttachOptions{TTY: true})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if text, err := io.ReadAll(conn.Reader); err != nil || string(text) != "container x is paused, unpause the container before exec\r\n" {
		t.Errorf("%q, %v", text, err)
	}
}

// TestExecAttached: the stream is framed unless the start says that it is for
// a terminal.
func TestExecAttached(t *testing.T) {
	var got engine.ExecStartOptions
	_, hs := serve(t, &fakeContainers{exec: func(_ context.Context, id string, o engine.ExecStartOptions, hijack engine.Hijack) error {
		got = o
		conn, err := hijack(!o.Tty)
		if err != nil {
			return err
		}
		defer conn.Close()
		input, err := io.ReadAll(conn)
		if err != nil {
			return err
		}
		_, err = conn.Write(append([]byte(id+" "), input...))
		return err
	}}, nil)
	cli := mobyClient(t, hs)
	for tty, kind := range map[bool]string{true: "application/vnd.docker.raw-stream", false: "application/vnd.docker.multiplexed-stream"} {
		o := client.ExecAttachOptions{TTY: tty}
		if tty {
			o.ConsoleSize = client.ConsoleSize{Height: 5, Width: 6}
		}
		resp, err := cli.ExecAttach(t.Context(), "e1", o)
		if err != nil {
			t.Fatal(err)
		}
		if media, ok := resp.MediaType(); !ok || media != kind {
			t.Errorf("terminal %v: %q", tty, media)
		}
		if _, err := io.WriteString(resp.Conn, "typed"); err != nil {
			t.Fatal(err)
		}
		if err := resp.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if out, err := io.ReadAll(resp.Reader); err != nil || string(out) != "e1 typed" {
			t.Errorf("%q, %v", out, err)
		}
		resp.Close()
		if got.Tty != tty || got.Detach || tty != (got.ConsoleSize != nil) {
			t.Errorf("%+v", got)
		}
	}
}
