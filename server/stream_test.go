package server

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/api/types/jsonstream"
	"github.com/moby/moby/client"
	"golang.org/x/net/websocket"

	engine "github.com/berth-engine/berth/container"
	"github.com/berth-engine/berth/image"
)

// frame is Docker's framing of one piece of output.
func frame(stream byte, text string) []byte {
	head := [8]byte{stream}
	binary.BigEndian.PutUint32(head[4:], uint32(len(text)))
	return append(head[:], text...)
}

// echo attaches: it sends one frame, then each line it gets, until the input
// ends, then a last frame.
func echo(_ context.Context, _ string, _ engine.AttachOptions, hijack engine.Hijack) error {
	c, err := hijack(true)
	if err != nil {
		return err
	}
	if _, err := c.Write(frame(1, "hello\n")); err != nil {
		return err
	}
	for sc := bufio.NewScanner(c); sc.Scan(); {
		if _, err := c.Write(frame(2, sc.Text()+"\n")); err != nil {
			return err
		}
	}
	_, err = c.Write(frame(1, "bye\n"))
	return err
}

func TestAttachThroughTheClient(t *testing.T) {
	_, hs := serve(t, &fakeContainers{attach: echo}, nil)
	resp, err := mobyClient(t, hs).ContainerAttach(t.Context(), "x", client.ContainerAttachOptions{Stream: true, Stdin: true, Stdout: true, Stderr: true})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Close()
	if kind, ok := resp.MediaType(); !ok || kind != "application/vnd.docker.multiplexed-stream" {
		t.Errorf("content type %q", kind)
	}
	if _, err := io.WriteString(resp.Conn, "one\ntwo\n"); err != nil {
		t.Fatal(err)
	}
	if err := resp.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	if _, err := stdcopy.StdCopy(&out, &errs, resp.Reader); err != nil {
		t.Fatal(err)
	}
	if out.String() != "hello\nbye\n" || errs.String() != "one\ntwo\n" {
		t.Errorf("%q %q", out.String(), errs.String())
	}
}

// Input that came together with the request is not lost, and clients that do not
// ask for an upgrade get 200.
func TestAttachRaw(t *testing.T) {
	_, hs := serve(t, &fakeContainers{attach: echo}, nil)
	for _, tc := range []struct{ path, upgrade, head string }{
		{"/v1.41", "", "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n"},
		{"/v1.41", "Connection: Upgrade\r\nUpgrade: tcp\r\n", "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"},
		{"/v1.42", "Connection: Upgrade\r\nUpgrade: tcp\r\n", "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.multiplexed-stream\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"},
	} {
		c, err := net.Dial("tcp", hs.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(c, "POST %s/containers/x/attach?stream=1&stdin=1 HTTP/1.1\r\nHost: localhost\r\n%s\r\nearly\n", tc.path, tc.upgrade)
		if err := c.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(c)
		c.Close()
		want := tc.head + string(frame(1, "hello\n")) + string(frame(2, "early\n")) + string(frame(1, "bye\n"))
		if err != nil || string(got) != want {
			t.Errorf("%v\n%q, want\n%q", err, got, want)
		}
	}
}

func TestAttachErrorsAreAnswers(t *testing.T) {
	_, hs := serve(t, nil, nil)
	code, body, _ := do(t, hs, http.MethodPost, "/containers/x/attach?stream=1", "", "Connection", "Upgrade", "Upgrade", "tcp")
	if code != 404 || !strings.Contains(body, "No such container: x") {
		t.Errorf("%d %s", code, body)
	}
}

// A client that is gone ends its attach, also when it only ever listened and the
// container is silent. Half closing is not being gone.
func TestAttachNoticesTheClientLeaving(t *testing.T) {
	for _, network := range []string{"unix", "tcp"} {
		ended, half := make(chan struct{}), make(chan struct{})
		c := &fakeContainers{attach: func(ctx context.Context, _ string, _ engine.AttachOptions, hijack engine.Hijack) error {
			conn, err := hijack(true)
			if err != nil {
				return err
			}
			_, _ = io.Copy(io.Discard, conn) // until the client half closes
			close(half)
			<-ctx.Done()
			close(ended)
			return nil
		}}
		s, _ := serve(t, c, nil)
		s.goneEvery = 10 * time.Millisecond
		addr := "127.0.0.1:0"
		if network == "unix" {
			addr = t.TempDir() + "/s"
		}
		l, err := net.Listen(network, addr)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Serve(ctx, l) }()
		conn, err := net.Dial(network, l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(conn, "POST /containers/x/attach?stream=1&stdout=1 HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n")
		if _, err := bufio.NewReader(conn).ReadString('\n'); err != nil {
			t.Fatal(err)
		}
		if err := conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		<-half
		select {
		case <-ended:
			t.Error("half closing ended the attach")
		case <-time.After(10 * s.goneEvery):
		}
		if network == "tcp" {
			_ = conn.(*net.TCPConn).SetLinger(0) // as when it is killed with data unread
		}
		conn.Close()
		<-ended
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func TestAttachWebSocket(t *testing.T) {
	_, hs := serve(t, &fakeContainers{attach: echo}, nil)
	ws, err := websocket.Dial(strings.Replace(hs.URL, "http", "ws", 1)+"/v1.44/containers/x/attach/ws?stream=1&stdin=1&stdout=1", "", hs.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer ws.Close()
	if _, err := ws.Write([]byte("line\n")); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 12)
	if _, err := io.ReadFull(ws, buf[:11]); err != nil || string(buf[:11]) != "hello\nline\n" {
		t.Errorf("%q %v", buf, err)
	}
}

func TestUnframe(t *testing.T) {
	all := append(frame(1, "one"), append(frame(2, ""), frame(2, "two")...)...)
	for size := 1; size <= len(all); size++ {
		var out bytes.Buffer
		u := &unframe{w: &out}
		for rest := all; len(rest) > 0; {
			n := min(size, len(rest))
			if _, err := u.Write(rest[:n]); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		if out.String() != "onetwo" {
			t.Errorf("in pieces of %d: %q", size, out.String())
		}
	}
}

// The answer to a wait begins before the result is there: clients start the
// container on it.
func TestWaitAnswersAtOnce(t *testing.T) {
	result := make(chan container.WaitResponse, 1)
	var cond container.WaitCondition
	c := &fakeContainers{wait: func(_ context.Context, got container.WaitCondition) (<-chan container.WaitResponse, error) {
		cond = got
		return result, nil
	}}
	_, hs := serve(t, c, nil)
	resp, err := http.Post(hs.URL+"/containers/x/wait?condition=next-exit", "", nil) // returns once the headers are there
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	result <- container.WaitResponse{StatusCode: 7}
	body, err := io.ReadAll(resp.Body)
	if err != nil || strings.TrimSpace(string(body)) != `{"StatusCode":7}` || cond != container.WaitConditionNextExit {
		t.Errorf("%s %v %s", body, err, cond)
	}
	result <- container.WaitResponse{StatusCode: 8}
	if code, body, _ := do(t, hs, http.MethodPost, "/v1.24/containers/x/wait?condition=removed", ""); code != 200 || !strings.Contains(body, "8") || cond != container.WaitConditionNotRunning {
		t.Errorf("%d %s %s", code, body, cond)
	}
	_, hs = serve(t, nil, nil)
	if code, _, _ := do(t, hs, http.MethodPost, "/containers/x/wait", ""); code != 404 {
		t.Errorf("%d", code)
	}
}

func TestLogs(t *testing.T) {
	var got engine.LogsOptions
	var fail error
	c := &fakeContainers{logs: func(_ context.Context, o engine.LogsOptions, open func(bool) io.Writer) error {
		got = o
		_, err := open(true).Write(frame(1, "line\n"))
		return errors.Join(err, fail)
	}}
	_, hs := serve(t, c, nil)
	code, body, h := do(t, hs, http.MethodGet, "/containers/x/logs?stdout=1&tail=5&since=1700000000.5&timestamps=1", "")
	if code != 200 || body != string(frame(1, "line\n")) || h.Get("Content-Type") != "application/vnd.docker.multiplexed-stream" ||
		got.Tail != 5 || got.Since.UnixMilli() != 1700000000500 || !got.Timestamps || got.Stderr {
		t.Errorf("%d %q %v %+v", code, body, h, got)
	}
	_, _, h = do(t, hs, http.MethodGet, "/v1.41/containers/x/logs?stderr=1&tail=all", "")
	if h.Get("Content-Type") != "application/vnd.docker.raw-stream" || got.Tail != -1 {
		t.Errorf("%v %+v", h, got)
	}
	fail = errors.New("disk gone")
	_, body, _ = do(t, hs, http.MethodGet, "/containers/x/logs?stdout=1", "")
	if _, err := stdcopy.StdCopy(io.Discard, io.Discard, strings.NewReader(body)); err == nil || !strings.Contains(err.Error(), "Error grabbing logs: disk gone") {
		t.Errorf("%v in %q", err, body)
	}
	for path, want := range map[string]string{
		"/containers/x/logs":                         "you must choose at least one stream",
		"/containers/x/logs?stdout=1&since=tomorrow": "invalid value for",
		"/containers/x/logs?stdout=1&until=1.x":      "invalid value for",
	} {
		if code, body, _ := do(t, hs, http.MethodGet, path, ""); code != 400 || !strings.Contains(body, want) {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
	_, hs = serve(t, nil, nil)
	if code, _, _ := do(t, hs, http.MethodGet, "/containers/x/logs?stdout=1", ""); code != 404 {
		t.Errorf("%d", code)
	}
}

func TestPull(t *testing.T) {
	var auth string
	i := &fakeImages{}
	i.pull = func(_ context.Context, _ string, o image.PullOptions) error {
		auth = o.Auth.Username
		o.Progress(jsonstream.Message{Status: "Pulling from library/x", ID: "latest"})
		return i.err
	}
	_, hs := serve(t, nil, i)
	code, body, h := do(t, hs, http.MethodPost, "/v1.44/images/create?fromImage=x&tag=latest", "", "X-Registry-Auth", "eyJ1c2VybmFtZSI6InUifQ==")
	if code != 200 || body != "{\"status\":\"Pulling from library/x\",\"id\":\"latest\"}\r\n" || h.Get("Content-Type") != "application/json" || i.last != "docker.io/library/x:latest" || auth != "u" {
		t.Errorf("%d %q %v %s %s", code, body, h, i.last, auth)
	}
	i.err = errdefs.ErrUnauthenticated.WithMessage("no")
	if _, body, _ := do(t, hs, http.MethodPost, "/images/create?fromImage=h:5000/x&tag=sha256:"+strings.Repeat("a", 64), ""); !strings.HasSuffix(body, `{"errorDetail":{"code":401,"message":"no"},"error":"no"}`+"\r\n") || i.last != "h:5000/x@sha256:"+strings.Repeat("a", 64) {
		t.Errorf("%q %s", body, i.last)
	}
	i.pull = nil
	for path, want := range map[string]string{
		"fromImage=x:1":           `401 {"message":"no"}`,
		"fromImage=x":             `401 {"message":"no"}`, // all tags
		"fromImage=X&tag=1":       "400 ",
		"fromImage=x&tag=a/b":     "400 ",
		"fromSrc=-&repo=A":        "400 ",
		"fromSrc=ftp://x/y":       "400 ",
		"fromSrc=-&changes=RUN+x": "400 ",
		"":                        "400 ",
		"fromImage=x:1&tag=2":     `401 {"message":"no"}`,
		"fromImage=x:1&tag=+2":    "400 ",
	} {
		if code, body, _ := do(t, hs, http.MethodPost, "/images/create?"+path, "", "X-Registry-Auth", "%%%"); !strings.HasPrefix(fmt.Sprint(code, " ", body), want) {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
}

func TestImages(t *testing.T) {
	i := &fakeImages{}
	_, hs := serve(t, nil, i)
	for _, tc := range []struct {
		method, path, last string
		code               int
	}{
		{http.MethodGet, "/images/a/b:c/json", "a/b:c", 200},
		{http.MethodDelete, "/images/a/b@sha256:x", "a/b@sha256:x", 200},
		{http.MethodPost, "/images/a/b/tag?repo=h:1/x&tag=v", "a/b h:1/x:v", 201},
		{http.MethodPost, "/images/a/tag?repo=x", "a docker.io/library/x:latest", 201},
		{http.MethodPost, "/images/a/tag?repo=X", "", 400},
		{http.MethodPost, "/images/a/tag", "", 400},
		{http.MethodGet, "/images/a/history", "", 200},
		{http.MethodGet, "/images/a/json?platform=x", "", 400},
		{http.MethodGet, `/images/a/json?platform={"os":"linux"}`, "", 400},
		{http.MethodGet, `/images/a/json?platform={"os":"linux","architecture":"arm64"}&manifests=1`, "", 400},
		{http.MethodDelete, "/images/a?platforms=x", "", 400},
		{http.MethodGet, "/images/json?filters={}", "", 200},
	} {
		i.last = ""
		if code, body, _ := do(t, hs, tc.method, tc.path, ""); code != tc.code || i.last != tc.last {
			t.Errorf("%s %s: %d %s, %q", tc.method, tc.path, code, body, i.last)
		}
	}
}

func TestEvents(t *testing.T) {
	s, hs := serve(t, nil, nil)
	msg := func(action events.Action, id, name string) {
		s.o.Events.Publish(events.Message{Type: events.ContainerEventType, Action: action, Actor: events.Actor{ID: id, Attributes: map[string]string{"name": name, "image": "busybox:1", "k": "v"}}})
	}
	msg("create", "abc", "one")
	msg("start", "abc", "one")
	msg("health_status: healthy", "def", "two")
	until := fmt.Sprintf("&until=%d.999999999", time.Now().Unix())
	for filter, want := range map[string]int{
		`{}`:                               3,
		`{"event":["start"]}`:              1,
		`{"event":{"health_status":true}}`: 1,
		`{"event":["health"]}`:             0,
		`{"container":["one"]}`:            2,
		`{"container":["de"]}`:             1,
		`{"image":["busybox"]}`:            3,
		`{"image":["busybox:2"]}`:          0,
		`{"label":["k=v","k"]}`:            3,
		`{"label":["k=w"]}`:                0,
		`{"type":["image"]}`:               0,
	} {
		code, body, h := do(t, hs, http.MethodGet, "/v1.44/events?since=1&filters="+strings.ReplaceAll(filter, " ", "")+until, "")
		if code != 200 || strings.Count(body, "\n") != want || h.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %d %v\n%s", filter, code, h, body)
		}
		if want > 0 && !strings.Contains(body, `"status":`) {
			t.Errorf("legacy fields missing: %s", body)
		}
	}
	if code, body, _ := do(t, hs, http.MethodGet, "/events?since=5&until=4", ""); code != 400 || !strings.Contains(body, "cannot be after") {
		t.Errorf("%d %s", code, body)
	}
	_, body, h := do(t, hs, http.MethodGet, "/events?since=0"+until, "", "Accept", "application/json-seq")
	if h.Get("Content-Type") != "application/json-seq" || strings.Count(body, "\x1e") != 3 || strings.Contains(body, `"status"`) {
		t.Errorf("%v %q", h, body)
	}
	// A live subscriber of the stock client.
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	live := mobyClient(t, hs).Events(ctx, client.EventsListOptions{})
	msg("die", "abc", "one")
	if m := <-live.Messages; m.Action != "die" || m.Actor.ID != "abc" || m.TimeNano == 0 {
		t.Errorf("%+v", m)
	}
	s.endStreams()
	if err := <-live.Err; !errors.Is(err, io.EOF) {
		t.Errorf("at shutdown: %v", err)
	}
}

// Serve ends streams at once and lets requests finish.
func TestShutdown(t *testing.T) {
	inside, goOn := make(chan struct{}), make(chan struct{})
	c := &fakeContainers{
		list: func(engine.ListOptions) ([]container.Summary, error) {
			close(inside)
			<-goOn
			return nil, nil
		},
		attach: func(ctx context.Context, _ string, _ engine.AttachOptions, hijack engine.Hijack) error {
			if _, err := hijack(true); err != nil {
				return err
			}
			<-ctx.Done()
			return nil
		},
	}
	s, _ := serve(t, c, nil)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	cli, err := client.New(client.WithHost("tcp://" + l.Addr().String()))
	if err != nil {
		t.Fatal(err)
	}
	at, err := cli.ContainerAttach(t.Context(), "x", client.ContainerAttachOptions{Stream: true})
	if err != nil {
		t.Fatal(err)
	}
	defer at.Close()
	listed := make(chan error, 1)
	go func() {
		_, err := cli.ContainerList(context.Background(), client.ContainerListOptions{})
		listed <- err
	}()
	<-inside
	cancel()
	if _, err := io.ReadAll(at.Reader); err != nil {
		t.Errorf("attached client: %v", err)
	}
	close(goOn)
	if err := <-listed; err != nil {
		t.Errorf("request under way: %v", err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}
