package container

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	mounttypes "github.com/moby/moby/api/types/mount"
	nettypes "github.com/moby/moby/api/types/network"

	"github.com/berth-engine/berth/kernel/ns"
)

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
	if a, b := e.inspect(first).Config.Hostname, e.inspect(second).Config.Hostname; a != b {
		t.Errorf("host name %q in the network of %q", b, a)
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

// A "not found" from create makes clients pull the image, so the start says it.
func TestNothingToJoin(t *testing.T) {
	e := newEngine(t)
	for mode, want := range map[string]string{
		"nosuch": "network nosuch not found", "container:nosuch": "No such container: nosuch", "container:../../x": "No such container: ../../x",
	} {
		r := request("true")
		r.HostConfig.NetworkMode = container.NetworkMode(mode)
		r.NetworkingConfig = &nettypes.NetworkingConfig{EndpointsConfig: map[string]*nettypes.EndpointSettings{mode: {}}}
		if strings.Contains(mode, ":") {
			r.NetworkingConfig = nil
		}
		if err := e.Start(t.Context(), e.create(r)); !errdefs.IsNotFound(err) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", mode, err)
		}
	}
	r := request("true")
	r.HostConfig.PidMode = "container:nosuch"
	if err := e.Start(t.Context(), e.create(r)); !errdefs.IsNotFound(err) {
		t.Errorf("PID mode: %v", err)
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

// Containers run as their records say when the next daemon looks; what happens
// before it has adopted them is noticed then.
func TestAdoptLater(t *testing.T) {
	e := newEngine(t)
	var ids []string
	for range 3 {
		id := e.create(request("sleep"))
		e.start(id)
		e.follow(id, "ready")
		ids = append(ids, id)
	}
	stays, ends, lost := ids[0], ids[1], ids[2]
	x, err := e.ExecCreate(t.Context(), stays, &container.ExecCreateRequest{Cmd: []string{"/bin/guest", "sleep"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.ExecStart(t.Context(), x, ExecStartOptions{Detach: true}, nil); err != nil {
		t.Fatal(err)
	}
	pid := e.inspect(ends).State.Pid
	lostMonitor, _, err := ns.ProcessParent(e.inspect(lost).State.Pid)
	if err != nil {
		t.Fatal(err)
	}
	e.stop()
	e.restored = func() {
		e.restored = nil
		for _, id := range ids {
			entry, err := e.Service.lookup(id)
			if err != nil || entry.coming.Load() == nil {
				t.Errorf("%s is not left for later (%v)", id, err)
			}
		}
		for _, pid := range []int{pid, lostMonitor} {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Error(err)
			}
		}
		if i, err := e.ExecInspect(t.Context(), x); err != nil || !i.Running {
			t.Errorf("exec: %+v, %v", i, err)
		}
	}
	e.boot()
	if st := e.inspect(stays).State; !st.Running {
		t.Errorf("stays: %+v", st)
	}
	for _, id := range []string{ends, lost} {
		w, err := e.Wait(t.Context(), id, container.WaitConditionNotRunning)
		if err != nil {
			t.Fatal(err)
		}
		<-w
		if st := e.inspect(id).State; st.Running || st.ExitCode != 137 {
			t.Errorf("%s: %+v", id, st)
		}
		e.start(id) // nothing is in the way
	}
}
