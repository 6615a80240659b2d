package container

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
)

// logs returns the whole log of a container without a terminal, unframed.
func (e *engine) logs(id string) string {
	e.t.Helper()
	var b bytes.Buffer
	err := e.Logs(e.t.Context(), id, LogsOptions{Stdout: true, Stderr: true, Tail: -1}, func(bool) io.Writer { return &b })
	if err != nil {
		e.t.Fatal(err)
	}
	return unframe(b.Bytes())
}

func unframe(b []byte) string {
	var out strings.Builder
	for len(b) >= 8 {
		n := int(b[4])<<24 | int(b[5])<<16 | int(b[6])<<8 | int(b[7])
		out.Write(b[8 : 8+n])
		b = b[8+n:]
	}
	return out.String()
}

// follow returns when the container has said want.
func (e *engine) follow(id, want string) {
	e.t.Helper()
	ctx, cancel := context.WithCancel(e.t.Context())
	defer cancel()
	w := writerFunc(func(p []byte) (int, error) {
		if strings.Contains(string(p), want) {
			cancel()
		}
		return len(p), nil
	})
	if err := e.Logs(ctx, id, LogsOptions{Stdout: true, Follow: true, Tail: -1, Since: e.record(id).StartedAt}, func(bool) io.Writer { return w }); err != nil {
		e.t.Fatal(err)
	}
	if ctx.Err() == nil {
		e.t.Fatalf("the log ended without %q: %q", want, e.logs(id))
	}
}

func (e *engine) record(id string) *Record { return e.index.get(id).record() }

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func (e *engine) start(id string) {
	e.t.Helper()
	if err := e.Start(e.t.Context(), id); err != nil {
		e.t.Fatal(err)
	}
}

func (e *engine) inspect(id string) container.InspectResponse {
	e.t.Helper()
	in, err := e.Inspect(e.t.Context(), id, true)
	if err != nil {
		e.t.Fatal(err)
	}
	return in
}

func TestRun(t *testing.T) {
	e := newEngine(t)
	id, code, out := e.run(request("echo", "hello", "world"))
	if code != 0 || out != "hello world\n" {
		t.Fatalf("code %d, output %q", code, out)
	}
	in := e.inspect(id)
	if in.State.Status != container.StateExited || in.State.ExitCode != 0 || in.Path != "guest" {
		t.Errorf("state %+v, path %q", in.State, in.Path)
	}
	if err := e.Remove(t.Context(), id, RemoveOptions{}); err != nil {
		t.Fatal(err)
	}
	want := []string{"create", "network connect", "start", "die", "network disconnect", "destroy"}
	if got := e.seen.await(id, "destroy"); !slices.Equal(got, want) {
		t.Errorf("events %q, want %q", got, want)
	}
	e.records.gone.wg.Wait()
	if left, err := filepath.Glob(filepath.Join(e.root, "containers", "????????????????*", "*")); err != nil || len(left) != 0 {
		t.Errorf("left: %q, %v", left, err)
	}
}

func TestSettings(t *testing.T) {
	e := newEngine(t)
	r := request("whoami")
	r.User = "user"
	if _, _, out := e.run(r); !strings.HasPrefix(out, "1000 1000 [1000 2000] /work/dir ") {
		t.Errorf("user: %q", out)
	}
	r = request("env")
	r.Env = []string{"MINE=1", "FROM"}
	_, _, out := e.run(r)
	for _, want := range []string{"PATH=/bin\n", "MINE=1\n", "HOME=/root\n", "HOSTNAME="} {
		if !strings.Contains(out, want) {
			t.Errorf("environment has no %q:\n%s", want, out)
		}
	}
	if strings.Contains(out, "FROM") {
		t.Errorf("FROM was not removed:\n%s", out)
	}
	r = request("read", "/etc/hosts")
	r.HostConfig.ExtraHosts = []string{"other:10.1.2.3", "gate:host-gateway"}
	id, _, out := e.run(r)
	for _, want := range []string{"127.0.0.1\tlocalhost\n", "10.1.2.3\tother\n", "\tgate\n", "\t" + short(id) + "\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("/etc/hosts has no %q:\n%s", want, out)
		}
	}
	r = request("write", "/x", "y")
	r.HostConfig.ReadonlyRootfs = true
	if _, code, out := e.run(r); code != 99 || !strings.Contains(out, "read-only file system") {
		t.Errorf("read-only root: %d, %q", code, out)
	}
	r = request("whoami")
	r.HostConfig.Privileged, r.HostConfig.NetworkMode, r.HostConfig.PidMode, r.HostConfig.IpcMode, r.HostConfig.UTSMode = true, "host", "host", "host", "host"
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	if _, code, out := e.run(r); code != 0 || !strings.HasSuffix(out, " "+host+"\n") {
		t.Errorf("host's namespaces: %d, %q", code, out)
	}
}

func TestStartFails(t *testing.T) {
	e := newEngine(t)
	for _, c := range []struct {
		name, entrypoint, user, text string
		code                         int
	}{
		{"not found", "nosuch", "", `exec: "nosuch": executable file not found in $PATH`, 127},
		{"no such file", "/nosuch", "", `no such file or directory`, 127},
		{"not executable", "/etc/notexec", "", `permission denied`, 126},
		{"user", "guest", "nobody-here", "unable to find user nobody-here: no matching entries in passwd file", startFailed},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := request("true")
			r.Entrypoint, r.User = []string{c.entrypoint}, c.user
			id := e.create(r)
			err := e.Start(t.Context(), id)
			if !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), c.text) {
				t.Fatalf("error %v", err)
			}
			st := e.inspect(id).State
			if st.Status != container.StateCreated || st.ExitCode != c.code || !strings.Contains(st.Error, c.text) {
				t.Errorf("state %+v", st)
			}
			r.HostConfig.AutoRemove = true
			gone := e.create(r)
			if err := e.Start(t.Context(), gone); err == nil {
				t.Error("no error")
			}
			if _, err := e.Inspect(t.Context(), gone, false); !errdefs.IsNotFound(err) {
				t.Errorf("--rm: %v", err)
			}
		})
	}
}

// pipe is a client's connection.
func pipe(t *testing.T) (client *net.UnixConn, hijack Hijack) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(t.TempDir(), "s"), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err = net.DialUnix("unix", nil, l.Addr().(*net.UnixAddr))
	if err != nil {
		t.Fatal(err)
	}
	server, err := l.AcceptUnix()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(); server.Close() })
	return client, func(bool) (Conn, error) { return server, nil }
}

func TestAttachBeforeStart(t *testing.T) {
	e := newEngine(t)
	r := request("cat")
	r.OpenStdin, r.StdinOnce = true, true
	id := e.create(r)
	client, hijack := pipe(t)
	var wg sync.WaitGroup
	attachedTo := make(chan struct{})
	wg.Go(func() {
		o := AttachOptions{Stream: true, Stdin: true, Stdout: true, Stderr: true}
		err := e.Attach(t.Context(), id, o, func(m bool) (Conn, error) { close(attachedTo); return hijack(m) })
		if err != nil {
			t.Error(err)
		}
	})
	<-attachedTo
	if _, err := client.Write([]byte("typed early")); err != nil {
		t.Fatal(err)
	}
	if err := client.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	e.start(id)
	b, err := io.ReadAll(client)
	if err != nil || unframe(b) != "typed early" {
		t.Errorf("read %q, %v", b, err)
	}
	wg.Wait()
}

func TestDetachFromTerminal(t *testing.T) {
	e := newEngine(t)
	r := request("sleep")
	r.OpenStdin, r.Tty = true, true
	id := e.create(r)
	e.start(id)
	client, hijack := pipe(t)
	done := make(chan error, 1)
	go func() {
		done <- e.Attach(t.Context(), id, AttachOptions{Stream: true, Logs: true, Stdin: true, Stdout: true, DetachKeys: "ctrl-x,x"}, hijack)
	}()
	if _, err := client.Write([]byte("\x18x")); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if err := e.Resize(t.Context(), id, 33, 77); err != nil {
		t.Error(err)
	}
	if got := e.seen.await(id, "resize"); !slices.Contains(got, "detach") || !e.inspect(id).State.Running {
		t.Errorf("events %q", got)
	}
}

func TestStop(t *testing.T) {
	e := newEngine(t)
	id := e.create(request("sleep"))
	e.start(id)
	e.follow(id, "ready")
	if err := e.Start(t.Context(), id); !errors.Is(err, ErrAlreadyStarted) || !errdefs.IsNotModified(err) {
		t.Errorf("second start: %v", err)
	}
	if err := e.Remove(t.Context(), id, RemoveOptions{}); !errdefs.IsConflict(err) {
		t.Errorf("removing what runs: %v", err)
	}
	if err := e.Kill(t.Context(), id, "USR1"); err != nil {
		t.Fatal(err)
	}
	e.follow(id, "got user defined signal 1")
	if err := e.Restart(t.Context(), id, "", nil); err != nil {
		t.Fatal(err)
	}
	e.follow(id, "ready")
	if err := e.Stop(t.Context(), id, "", nil); err != nil {
		t.Fatal(err)
	}
	if st := e.inspect(id).State; st.ExitCode != 7 || st.Status != container.StateExited {
		t.Errorf("state %+v", st)
	}
	if err := e.Stop(t.Context(), id, "", nil); !errors.Is(err, ErrAlreadyStopped) {
		t.Errorf("second stop: %v", err)
	}
	if err := e.Kill(t.Context(), id, ""); !errdefs.IsConflict(err) || !strings.Contains(err.Error(), "is not running") {
		t.Errorf("kill: %v", err)
	}
	now := 0
	deaf := e.create(request("deaf"))
	e.start(deaf)
	e.follow(deaf, "ready")
	if err := e.Stop(t.Context(), deaf, "", &now); err != nil {
		t.Fatal(err)
	}
	if st := e.inspect(deaf).State; st.ExitCode != 137 {
		t.Errorf("state %+v", st)
	}
	want := []string{"create", "network connect", "start", "kill", "kill", "die", "network disconnect", "stop"}
	if got := e.seen.await(deaf, "stop"); !slices.Equal(got, want) {
		t.Errorf("events %q", got)
	}
}

func TestAutoRemove(t *testing.T) {
	e := newEngine(t)
	r := request("exit", "3")
	r.HostConfig.AutoRemove = true
	id := e.create(r)
	ch, err := e.Wait(t.Context(), id, container.WaitConditionRemoved)
	if err != nil {
		t.Fatal(err)
	}
	e.start(id)
	if got := e.await(ch); got.StatusCode != 3 || got.Error != nil {
		t.Errorf("wait: %+v", got)
	}
	if _, err := e.Inspect(t.Context(), id, false); !errdefs.IsNotFound(err) {
		t.Errorf("inspect: %v", err)
	}
	if _, err := e.Wait(t.Context(), id, ""); !errdefs.IsNotFound(err) {
		t.Errorf("wait: %v", err)
	}
}

func TestRestartPolicy(t *testing.T) {
	e := newEngine(t)
	r := request("count", "/state/n")
	r.HostConfig.Binds = []string{"counter:/state"}
	r.HostConfig.RestartPolicy = container.RestartPolicy{Name: container.RestartPolicyOnFailure, MaximumRetryCount: 2}
	id := e.create(r)
	e.start(id)
	for {
		ch, err := e.Wait(t.Context(), id, container.WaitConditionNextExit)
		if err != nil {
			t.Fatal(err)
		}
		if in := e.inspect(id); in.State.Status == container.StateExited && in.RestartCount == 2 {
			break
		}
		e.await(ch)
	}
	b, err := os.ReadFile(filepath.Join(e.root, "volumes", "counter", "_data", "n"))
	if err != nil || string(b) != "3" {
		t.Errorf("runs: %q, %v", b, err)
	}
}
