package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/berth-engine/berth/cli/stream"
	"github.com/moby/moby/api/types/container"
)

// fakeDaemon answers the Engine API from a table of "METHOD /path" without
// the version. It stands in for the engine in tests of the client alone.
type fakeDaemon struct {
	t      *testing.T
	socket string
	routes map[string]http.HandlerFunc

	mu    sync.Mutex
	calls []string // "METHOD /path?query" in order of arrival
}

var versioned = regexp.MustCompile(`^/v1\.\d+`)

func newFake(t *testing.T, routes map[string]http.HandlerFunc) *fakeDaemon {
	t.Helper()
	d := &fakeDaemon{t: t, socket: filepath.Join(t.TempDir(), "d.sock"), routes: routes}
	l, err := net.Listen("unix", d.socket)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: d}
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.Serve(l) }()
	t.Cleanup(func() { _ = srv.Close(); <-done })
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	for _, name := range []string{"BERTH_HOST", "DOCKER_HOST", "BERTH_CONTEXT", "DOCKER_CONTEXT", "BERTH_AUTOSTART", "DOCKER_TLS_VERIFY", "DOCKER_API_VERSION"} {
		t.Setenv(name, "")
	}
	return d
}

func (d *fakeDaemon) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Api-Version", "1.51")
	if r.URL.Path == "/_ping" {
		return
	}
	path := versioned.ReplaceAllString(r.URL.Path, "")
	d.mu.Lock()
	d.calls = append(d.calls, r.Method+" "+strings.TrimSuffix(path+"?"+r.URL.RawQuery, "?"))
	d.mu.Unlock()
	if h := d.routes[r.Method+" "+path]; h != nil {
		h(w, r)
		return
	}
	fail(404, "page not found: "+r.Method+" "+path)(w, r)
}

// called tells whether a request was made, and asked the first time.
func (d *fakeDaemon) called(call string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Contains(d.calls, call)
}

// run runs one command line against the daemon.
func (d *fakeDaemon) run(in string, args ...string) (code int, stdout, stderr string) {
	d.t.Helper()
	d.t.Setenv("BERTH_HOST", "unix://"+d.socket)
	return runCLI(d.t, in, args...)
}

func runCLI(t *testing.T, in string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = Main(t.Context(), args, &stream.IO{In: strings.NewReader(in), Out: &out, Err: &errs}, Build{Version: "1.2", Commit: "abc", Time: "2026-01-02T03:04:05Z"})
	return code, out.String(), errs.String()
}

func fail(status int, message string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(map[string]string{"message": message})
	}
}

func answer(v any) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(v)
	}
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

// box is one container of the fake: it prints, echoes its input, and exits.
type box struct {
	out, err string
	code     int
	waitErr  string
	startErr http.HandlerFunc
	request  container.CreateRequest // what create was asked
	input    string                  // what it read, complete once it has exited

	started chan struct{}
	exited  chan struct{}
}

// routes serve the box as container "c1".
func (b *box) routes() map[string]http.HandlerFunc {
	b.started, b.exited = make(chan struct{}), make(chan struct{})
	return map[string]http.HandlerFunc{
		"POST /containers/create": func(w http.ResponseWriter, r *http.Request) {
			if err := json.NewDecoder(r.Body).Decode(&b.request); err != nil {
				fail(400, err.Error())(w, r)
				return
			}
			w.WriteHeader(201)
			fmt.Fprint(w, `{"Id":"c1","Warnings":["be careful"]}`)
		},
		"POST /containers/c1/attach": b.attach,
		"POST /containers/c1/wait": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(200)
			w.(http.Flusher).Flush()
			<-b.exited
			if b.waitErr != "" {
				fmt.Fprintf(w, `{"StatusCode":0,"Error":{"Message":%q}}`, b.waitErr)
				return
			}
			fmt.Fprintf(w, `{"StatusCode":%d}`, b.code)
		},
		"POST /containers/c1/start": func(w http.ResponseWriter, r *http.Request) {
			if b.startErr != nil {
				b.startErr(w, r)
				close(b.exited)
				return
			}
			w.WriteHeader(204)
			close(b.started)
			if !b.request.AttachStdout && !b.request.AttachStdin {
				close(b.exited)
			}
		},
	}
}

func (b *box) attach(w http.ResponseWriter, _ *http.Request) {
	conn, rw, err := w.(http.Hijacker).Hijack()
	if err != nil {
		panic(err)
	}
	defer conn.Close()
	fmt.Fprint(rw, "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.multiplexed-stream\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n")
	_ = rw.Flush()
	select {
	case <-b.started:
	case <-b.exited:
		return
	}
	write(rw.Writer, 1, b.out)
	write(rw.Writer, 2, b.err)
	if b.request.OpenStdin {
		in, _ := io.ReadAll(rw)
		b.input = string(in)
		write(rw.Writer, 1, "got "+b.input)
	}
	close(b.exited)
}

func write(w *bufio.Writer, stream byte, s string) {
	if s == "" {
		return
	}
	head := make([]byte, 8)
	head[0] = stream
	binary.BigEndian.PutUint32(head[4:], uint32(len(s)))
	_, _ = w.Write(append(head, s...))
	_ = w.Flush()
}

func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func listenUnix(path string) (net.Listener, error) { return net.Listen("unix", path) }

func dialUnix(path string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}
}
