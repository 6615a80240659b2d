package e2e

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/berth-engine/berth/test/engine"
)

// killer passes on what a client asks of the engine, and kills the client
// (SIGKILL) when so many of its requests that change something were carried out.
type killer struct {
	socket string
	after  atomic.Int64
	did    atomic.Int64
	client atomic.Pointer[os.Process]
}

func newKiller(t *testing.T, d *engine.Daemon) *killer {
	t.Helper()
	k := &killer{socket: filepath.Join(d.Dir, "killer.sock")}
	to := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: "engine"})
	to.Transport = &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", d.Socket)
	}}
	to.FlushInterval = -1
	to.ErrorHandler = func(http.ResponseWriter, *http.Request, error) {} // the client is gone
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", k.socket)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { //nolint:gosec // of a test
		if r.Method == http.MethodGet || r.Method == http.MethodHead {
			to.ServeHTTP(w, r)
			return
		}
		// Whoever is killed does not take its request along.
		to.ServeHTTP(w, r.WithContext(context.WithoutCancel(r.Context())))
		if p := k.client.Load(); k.did.Add(1) == k.after.Load() && p != nil {
			_ = p.Kill()
		}
	})}
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close() })
	return k
}

// run runs a command of berth that is killed after so many changes, and says
// whether it was, or what became of it otherwise.
func (k *killer) run(t *testing.T, d *engine.Daemon, after int, args ...string) (killed bool, err error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "env", append([]string{"BERTH_HOST=unix://" + k.socket}, args...)...)
	cmd.Env = d.Environ()
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	k.did.Store(0)
	k.after.Store(int64(after))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	k.client.Store(cmd.Process) // env, berth and berth-compose are one process
	err = cmd.Wait()
	k.client.Store(nil)
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && !exit.Exited() {
		return true, nil
	}
	if err != nil {
		err = fmt.Errorf("%q: %w\n%s", args, err, out.String())
	}
	return false, err
}

// rollingOne is rollingApp of one container: its port, and the command line for a
// version of it.
func rollingOne(t *testing.T, d *engine.Daemon) (port string, compose func(version int, args ...string) []string) {
	t.Helper()
	must(t, d, "berth", "pull", "-q", "busybox")
	file := filepath.Join(t.TempDir(), "compose.yaml")
	if err := os.WriteFile(file, []byte(strings.Replace(rollingApp, "scale: 2", "scale: 1", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	port, err := engine.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	return port, func(version int, args ...string) []string {
		return append([]string{"PORT=" + port, "VERSION=" + strconv.Itoa(version), "berth", "compose", "-f", file}, args...)
	}
}

// TestRollingKilled kills an update after each of its steps: users get their
// pages all the while, and the next update brings what was begun to its end, with
// nothing left of the first.
func TestRollingKilled(t *testing.T) {
	d := started(t)
	port, compose := rollingOne(t, d)
	must(t, d, append([]string{"env"}, compose(0, "up", "-d", "--wait")...)...)
	k := newKiller(t, d)
	u := startUsers(t, "http://127.0.0.1:"+port+"/", 2)
	for after := 1; ; after++ {
		killed, err := k.run(t, d, after, compose(2*after-1, "up", "--rolling")...)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("killed after step %d: %v; there are\n%s", after, killed, must(t, d, "berth", "ps", "-a", "--format", "{{.Names}} {{.State}}"))
		must(t, d, append([]string{"env"}, compose(2*after, "up", "--rolling")...)...)
		if got := must(t, d, "berth", "ps", "-a", "--format", "{{.Names}} {{.State}}"); got != "app-web-1 running\n" {
			t.Errorf("killed after step %d, and mended:\n%s", after, got)
		}
		want := "version " + strconv.Itoa(2*after)
		eventually(t, want+" alone", func() []string {
			pages, failed := u.took()
			if len(failed) > 0 {
				t.Errorf("killed after step %d: %d requests failed, the first: %v", after, len(failed), failed[0])
			}
			if len(pages) != 1 || pages[want] == 0 {
				return []string{fmt.Sprint(pages)}
			}
			return nil
		})
		if !killed {
			if after < 5 {
				t.Errorf("an update has %d steps", after-1)
			}
			break
		}
	}
	u.stop()
	u.wait.Wait()
	must(t, d, append([]string{"env"}, compose(0, "down", "-t", "0")...)...)
}

// TestUpKilled kills an update after each of its steps, one that makes everything
// and one that replaces the container, with a gap or without: the next plain `up`
// is what it would have been, with nothing left of the first.
func TestUpKilled(t *testing.T) {
	d := started(t)
	_, compose := rollingOne(t, d)
	k := newKiller(t, d)
	for _, c := range []struct {
		name, how string
		from      []string // what is done before
		steps     int      // at least
	}{
		{"first", "-d", []string{"down", "-t", "0"}, 3},
		{"replace", "-d", []string{"up", "-d"}, 5},
		{"rolling", "--rolling", []string{"up", "-d"}, 5},
	} {
		t.Run(c.name, func(t *testing.T) {
			for after := 1; ; after++ {
				must(t, d, append([]string{"env"}, compose(0, c.from...)...)...)
				killed, err := k.run(t, d, after, compose(1, "up", c.how)...)
				if err != nil {
					t.Fatal(err)
				}
				t.Logf("killed after step %d: %v; there are\n%s", after, killed, must(t, d, "berth", "ps", "-a", "--format", "{{.Names}} {{.State}}"))
				must(t, d, append([]string{"env"}, compose(2, "up", "-d", "--wait")...)...)
				if got := must(t, d, "berth", "ps", "-a", "--format", "{{.Names}} {{.State}}"); got != "app-web-1 running\n" {
					t.Errorf("killed after step %d, and mended:\n%s", after, got)
				}
				if got := must(t, d, "berth", "exec", "app-web-1", "cat", "/www/index.html"); got != "version 2\n" {
					t.Errorf("killed after step %d: %s", after, got)
				}
				if !killed {
					if after < c.steps { // with the last it may have ended by itself
						t.Errorf("it has %d steps", after-1)
					}
					break
				}
			}
		})
	}
	must(t, d, append([]string{"env"}, compose(0, "down", "-t", "0")...)...)
}

// rollbackApp is one of two containers, of whose version half only one gets ready.
const rollbackApp = `
name: app
services:
  web:
    image: busybox
    command: ["sh", "-c", "case $$B in half*) mkdir /claims/$$B || exec sleep 1000;; esac; mkdir /www; echo $$B >/www/index.html; exec httpd -f -p 80 -h /www"]
    stop_signal: KILL
    environment: {B: "${B}"}
    volumes: ["./claims:/claims"]
    ports: ["127.0.0.1:${PORT}:80"]
    healthcheck: {test: wget -qO /dev/null http://127.0.0.1/, interval: 200ms, retries: 3}
    deploy: {replicas: 2, update_config: {order: start-first, failure_action: rollback}}
`

// TestRollbackKilled kills an update that fails, and is rolled back, after each of
// its steps from where it differs from one that does not: users get their pages all the while, and the next `up` of the
// version before leaves its two containers and nothing else.
func TestRollbackKilled(t *testing.T) {
	d := started(t)
	must(t, d, "berth", "pull", "-q", "busybox")
	dir := t.TempDir()
	file := filepath.Join(dir, "compose.yaml")
	if err := errors.Join(os.WriteFile(file, []byte(rollbackApp), 0o600), os.Mkdir(filepath.Join(dir, "claims"), 0o700)); err != nil {
		t.Fatal(err)
	}
	port, err := engine.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	compose := func(version string, args ...string) []string {
		return append([]string{"PORT=" + port, "B=" + version, "berth", "compose", "-f", file}, args...)
	}
	list := func() string {
		return strings.Join(slices.Sorted(strings.Lines(must(t, d, "berth", "ps", "-a", "--format", "{{.Names}} {{.State}}"))), "")
	}
	const want = "app-web-1 running\napp-web-2 running\n"
	must(t, d, append([]string{"env"}, compose("good", "up", "-d", "--wait")...)...)
	k := newKiller(t, d)
	u := startUsers(t, "http://127.0.0.1:"+port+"/", 2)
	for after := 8; ; after++ { // the first container's successor has been started
		killed, err := k.run(t, d, after, compose("half"+strconv.Itoa(after), "up", "--rolling")...)
		t.Logf("killed after step %d: %v; there are\n%s", after, killed, list())
		if !killed && err == nil {
			t.Error("the update succeeded")
		}
		must(t, d, append([]string{"env"}, compose("good", "up", "--rolling")...)...)
		if got := list(); got != want {
			t.Errorf("killed after step %d, and mended:\n%s", after, got)
		}
		if _, failed := u.took(); len(failed) > 0 {
			t.Errorf("killed after step %d: %d requests failed, the first: %v", after, len(failed), failed[0])
		}
		if !killed {
			if after < 12 {
				t.Errorf("an update has %d steps", after-1)
			}
			break
		}
	}
	u.stop()
	u.wait.Wait()
	must(t, d, append([]string{"env"}, compose("good", "down", "-t", "0")...)...)
}
