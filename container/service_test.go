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
	mounttypes "github.com/moby/moby/api/types/mount"
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
	if left, err := filepath.Glob(filepath.Join(e.root, "containers", "*", "*")); err != nil || len(left) != 0 {
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

func TestVolumes(t *testing.T) {
	e := newEngine(t)
	dir := t.TempDir()
	r := request("ls", "/data")
	r.Volumes = map[string]struct{}{"/data": {}}
	r.HostConfig.Binds = []string{dir + "/made:/host:ro", "named:/named"}
	r.HostConfig.Tmpfs = map[string]string{"/scratch": "size=1m"}
	id, _, out := e.run(r)
	if out != "/data/seed\n" {
		t.Errorf("the anonymous volume was not filled: %q", out)
	}
	if _, err := os.Stat(dir + "/made"); err != nil {
		t.Errorf("source of -v: %v", err)
	}
	in := e.inspect(id)
	if len(in.Mounts) != 3 {
		t.Errorf("mounts %+v", in.Mounts)
	}
	if err := e.volumes.Remove(t.Context(), "named"); !errdefs.IsConflict(err) {
		t.Errorf("volume in use: %v", err)
	}
	if err := e.Remove(t.Context(), id, RemoveOptions{Volumes: true}); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(filepath.Join(e.root, "volumes"))
	if err != nil || len(left) != 1 || left[0].Name() != "named" {
		t.Errorf("volumes left: %v, %v", left, err)
	}
	r = request("write", "/host/x", "y")
	r.HostConfig.Mounts = []mounttypes.Mount{{Type: mounttypes.TypeBind, Source: dir, Target: "/host", ReadOnly: true}}
	if _, code, _ := e.run(r); code != 99 {
		t.Errorf("read-only bind: %d", code)
	}
	r.HostConfig.Mounts[0].Source = dir + "/absent"
	if _, err := e.Create(t.Context(), CreateOptions{Request: r}); !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), "bind source path does not exist") {
		t.Errorf("absent source: %v", err)
	}
}

func TestSharedNetwork(t *testing.T) {
	e := newEngine(t)
	first := e.create(request("sleep"))
	r := request("whoami")
	r.HostConfig.NetworkMode, r.HostConfig.PidMode = container.NetworkMode("container:"+first), container.PidMode("container:"+first)
	second := e.create(r)
	if err := e.Start(t.Context(), second); !errdefs.IsConflict(err) {
		t.Errorf("joining what does not run: %v", err)
	}
	e.start(first)
	e.start(second)
	ch, err := e.Wait(t.Context(), second, "")
	if err != nil {
		t.Fatal(err)
	}
	if got := e.await(ch); got.StatusCode != 0 {
		t.Errorf("code %d: %s", got.StatusCode, e.logs(second))
	}
	top, err := e.Top(t.Context(), first, "-o pid,args")
	if err != nil || len(top.Processes) != 1 || top.Processes[0][1] != "guest sleep" {
		t.Errorf("top: %+v, %v", top, err)
	}
	if _, err := e.Top(t.Context(), first, "--sort=pid"); !errdefs.IsInvalidArgument(err) {
		t.Errorf("top with strange options: %v", err)
	}
}

func TestNames(t *testing.T) {
	e := newEngine(t)
	var wg sync.WaitGroup
	errs := make([]error, 32)
	for i := range errs {
		wg.Go(func() {
			_, errs[i] = e.Create(t.Context(), CreateOptions{Name: "one", Request: request("true")})
		})
	}
	wg.Wait()
	won := 0
	for _, err := range errs {
		switch {
		case err == nil:
			won++
		case !errdefs.IsConflict(err) || !strings.Contains(err.Error(), `The container name "/one" is already in use by container`):
			t.Error(err)
		}
	}
	if list, err := e.List(t.Context(), ListOptions{All: true}); won != 1 || err != nil || len(list) != 1 {
		t.Fatalf("%d creates won, list %v, %v", won, list, err)
	}
	other := e.create(request("true"))
	if err := e.Rename(t.Context(), other, "one"); !errdefs.IsConflict(err) {
		t.Errorf("rename to a taken name: %v", err)
	}
	if err := e.Rename(t.Context(), "one", "two"); err != nil {
		t.Fatal(err)
	}
	if err := e.Rename(t.Context(), other, "one"); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Inspect(t.Context(), other[:20], false); err != nil {
		t.Error(err)
	}
	for _, f := range []Filters{{"name": {"two": true}}, {"before": {"one": true}}, {"status": {"created": true}, "name": {"^/tw": true}}} {
		list, err := e.List(t.Context(), ListOptions{All: true, Filters: f})
		if err != nil || len(list) != 1 || list[0].Names[0] != "/two" {
			t.Errorf("list with %v: %v, %v", f, list, err)
		}
	}
	rep, err := e.Prune(t.Context(), Filters{})
	if err != nil || len(rep.ContainersDeleted) != 2 {
		t.Errorf("prune: %+v, %v", rep, err)
	}
}

func TestReboot(t *testing.T) {
	e := newEngine(t)
	lives, ends := e.create(request("sleep")), request("sleep")
	e.start(lives)
	e.follow(lives, "ready")
	always := request("sleep")
	always.HostConfig.RestartPolicy.Name = container.RestartPolicyAlways
	a := e.create(always)
	e.start(a)
	e.follow(a, "ready")
	if err := e.Stop(t.Context(), a, "", nil); err != nil {
		t.Fatal(err)
	}
	unless := request("sleep")
	unless.HostConfig.RestartPolicy.Name = container.RestartPolicyUnlessStopped
	u := e.create(unless)
	e.start(u)
	e.follow(u, "ready")
	if err := e.Stop(t.Context(), u, "", nil); err != nil {
		t.Fatal(err)
	}
	ends.HostConfig.AutoRemove = true
	gone := e.create(ends)
	e.start(gone)
	e.follow(gone, "ready")
	pid, pidGone := e.inspect(lives).State.Pid, e.inspect(gone).State.Pid

	e.stop()
	if p, err := os.FindProcess(pidGone); err != nil || p.Kill() != nil {
		t.Fatal("cannot kill the container's process", err)
	}
	e.boot()

	if st := e.inspect(lives).State; !st.Running || st.Pid != pid {
		t.Errorf("the container did not live on: %+v", st)
	}
	if _, err := e.Inspect(t.Context(), gone, false); !errdefs.IsNotFound(err) {
		t.Errorf("--rm after a restart of the daemon: %v", err)
	}
	if st := e.inspect(u).State; st.Running {
		t.Errorf("unless-stopped came back: %+v", st)
	}
	e.seen.await(a, "start")
	if err := e.Stop(t.Context(), lives, "", nil); err != nil {
		t.Fatal(err)
	}
	if st := e.inspect(lives).State; st.ExitCode != 7 || e.logs(lives) != "ready\ngot terminated\n" {
		t.Errorf("state %+v, log %q", st, e.logs(lives))
	}
}
