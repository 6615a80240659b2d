package container

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	mounttypes "github.com/moby/moby/api/types/mount"
	nettypes "github.com/moby/moby/api/types/network"

	"github.com/berth-engine/berth/api"
)

func (e *engine) edit(id string, edit api.ContainerEdit) api.ContainerUpdateResponse {
	e.t.Helper()
	resp, err := e.Edit(e.t.Context(), id, &api.ContainerUpdateRequest{Edit: &edit}, false)
	if err != nil {
		e.t.Fatal(err)
	}
	return resp
}

func (e *engine) effects(id string, edit api.ContainerEdit) []string {
	e.t.Helper()
	resp, err := e.Edit(e.t.Context(), id, &api.ContainerUpdateRequest{Edit: &edit}, true)
	if err != nil {
		e.t.Fatal(err)
	}
	var out []string
	for _, c := range resp.Changes {
		out = append(out, c.Field+" -"+c.Old+" +"+c.New+" "+c.Effect)
	}
	return out
}

// in reads a file as process 1 of a container sees it.
func (e *engine) in(id, path string) (string, error) {
	b, err := os.ReadFile(filepath.Join("/proc", e.pid(id), "root", path))
	return string(b), err
}

func httpPort(hostPort string) nettypes.PortMap {
	p, _ := nettypes.PortFrom(80, nettypes.TCP)
	return nettypes.PortMap{p: {{HostPort: hostPort}}}
}

// TestEditLive changes what a run can be given: it is the same run afterwards.
func TestEditLive(t *testing.T) {
	e := newEngine(t)
	host := t.TempDir()
	if err := os.WriteFile(filepath.Join(host, "f"), []byte("of the host"), 0o644); err != nil {
		t.Fatal(err)
	}
	req := request("sleep")
	req.Labels = map[string]string{"mine": "1"}
	req.HostConfig.Tmpfs = map[string]string{"/scratch": ""}
	id := e.create(req)
	e.start(id)
	e.follow(id, "ready")
	pid := e.pid(id)
	edit := api.ContainerEdit{
		Labels:      map[string]*string{"mine": nil, "of": nil, "new": new("2")},
		Healthcheck: &container.HealthConfig{Test: []string{"CMD", "guest", "true"}, Interval: 10 * time.Millisecond},
		LogOptions:  map[string]*string{"max-size": new("1m")},
		Publish:     httpPort("18080"),
		Binds:       []string{host + ":/host:ro", "vol:/data"},
		Mounts:      []mounttypes.Mount{{Type: mounttypes.TypeTmpfs, Target: "/fast", ReadOnly: true}},
		Unmount:     []string{"/scratch"},
	}
	before := *e.record(id)
	want := []string{
		"label -mine=1 + live", "label -of=image + live", "label - +new=2 live",
		`health check - +{"Test":["CMD","guest","true"],"Interval":10000000} live`,
		"log option - +max-size=1m live", "port - +18080->80/tcp live",
		"mount -tmpfs:/scratch + live", "mount - +vol:/data live", "mount - +tmpfs:/fast:ro live", "mount - +" + host + ":/host:ro live",
	}
	if got := e.effects(id, edit); !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if now := *e.record(id); now.HostConfig != before.HostConfig || now.Config != before.Config {
		t.Error("a dry run has changed something")
	}
	if resp := e.edit(id, edit); resp.Recreated || e.pid(id) != pid {
		t.Errorf("it is another run: %+v", resp)
	}
	check := func() {
		t.Helper()
		if got, err := e.in(id, "/host/f"); got != "of the host" {
			t.Errorf("bind: %q, %v", got, err)
		}
		if got, err := e.in(id, "/data/seed"); got != "from the image" {
			t.Errorf("volume: %q, %v", got, err)
		}
		table, err := os.ReadFile(filepath.Join("/proc", e.pid(id), "mountinfo"))
		if err != nil || strings.Contains(string(table), " /scratch ") || !strings.Contains(string(table), " /fast ro,") {
			t.Errorf("mounts: %v\n%s", err, table)
		}
		i := e.inspect(id)
		if got := i.Config.Labels; len(got) != 1 || got["new"] != "2" {
			t.Errorf("labels %v", got)
		}
		if ports := i.NetworkSettings.Ports; len(ports) != 1 {
			t.Errorf("ports %v", ports)
		}
		if l := e.record(id).RequestLabels; len(l) != 1 || l["new"] != "2" {
			t.Errorf("labels of the request %v", l)
		}
	}
	check()
	for e.inspect(id).State.Health == nil || e.inspect(id).State.Health.Status != container.Healthy {
		time.Sleep(time.Millisecond)
	}
	if err := e.volumes.Remove(t.Context(), "vol"); !errdefs.IsConflict(err) {
		t.Errorf("the volume can be removed: %v", err)
	}
	e.stop()
	e.boot()
	check()
	if err := e.Stop(t.Context(), id, "", nil); err != nil {
		t.Fatal(err)
	}
	e.start(id)
	check()
	// And back.
	port, _ := nettypes.PortFrom(80, nettypes.TCP)
	e.edit(id, api.ContainerEdit{Unmount: []string{"/host", "/data", "/fast"}, Unpublish: []nettypes.Port{port}})
	if r := e.record(id); len(r.Mounts) != 0 || len(r.HostConfig.Binds)+len(r.HostConfig.Mounts) != 0 || len(r.Network.Ports) != 0 {
		t.Errorf("%+v %+v", r.Mounts, r.HostConfig)
	}
	if err := e.volumes.Remove(t.Context(), "vol"); err != nil {
		t.Errorf("the volume is still used: %v", err)
	}
}

// TestEditRefused: what cannot be done as a whole is not done at all.
func TestEditRefused(t *testing.T) {
	e := newEngine(t)
	other := request("sleep")
	other.HostConfig.PortBindings = httpPort("18081")
	taken := e.create(other)
	e.start(taken)
	id := e.create(request("sleep"))
	e.start(id)
	e.follow(id, "ready")
	mounts := func() string {
		b, err := os.ReadFile(filepath.Join("/proc", e.pid(id), "mountinfo"))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	before, record := mounts(), *e.record(id)
	for name, edit := range map[string]api.ContainerEdit{
		"port of another":  {Publish: httpPort("18081"), Binds: []string{"v1:/v1"}},
		"no such source":   {Mounts: []mounttypes.Mount{{Type: mounttypes.TypeTmpfs, Target: "/t"}, {Type: mounttypes.TypeBind, Source: "/nowhere", Target: "/n"}}},
		"over procfs":      {Binds: []string{"/tmp:/fine", "/tmp:/proc/sys"}, Publish: httpPort("18082")},
		"a file as a dir":  {Binds: []string{"/etc/passwd:/etc"}},
		"nothing there":    {Unmount: []string{"/v9"}},
		"not published":    {Unpublish: []nettypes.Port{nettypes.MustParsePort("9/tcp")}},
		"log option":       {LogOptions: map[string]*string{"max-size": new("lots")}},
		"bad variable":     {Env: map[string]*string{"A=B": new("c")}},
		"bad health check": {Healthcheck: &container.HealthConfig{Test: []string{"what"}}},
	} {
		if _, err := e.Edit(t.Context(), id, &api.ContainerUpdateRequest{Edit: &edit}, false); err == nil {
			t.Errorf("%s: no error", name)
		}
		if now := mounts(); now != before {
			t.Errorf("%s: mounts\n%s", name, now)
		}
		now := *e.record(id)
		if now.Edit != nil || len(now.Mounts) != 0 || len(now.Network.Ports) != 0 || !slices.Equal(now.Config.Env, record.Config.Env) {
			t.Errorf("%s: record %+v", name, now)
		}
	}
	if _, err := e.volumes.Resolve("", "v1"); !errdefs.IsNotFound(err) {
		t.Errorf("a volume of what was refused is left: %v", err)
	}
}

// TestRecreate changes what only a new run can have.
func TestRecreate(t *testing.T) {
	e := newEngine(t)
	req := request("sleep")
	req.Env = []string{"A=1", "B=2"}
	req.HostConfig.AutoRemove = true
	id := e.create(req)
	e.start(id)
	e.follow(id, "ready")
	if err := os.WriteFile(filepath.Join("/proc", e.pid(id), "root/tmp/kept"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	joined := request("sleep")
	joined.HostConfig.NetworkMode = container.NetworkMode("container:" + id)
	second := e.create(joined)
	e.start(second)
	netns := func(id string) string {
		link, err := os.Readlink(filepath.Join("/proc", e.pid(id), "ns/net"))
		if err != nil {
			t.Fatal(err)
		}
		return link
	}
	before, pid, ours := e.inspect(id), e.pid(id), netns(id)

	resp := e.edit(id, api.ContainerEdit{Env: map[string]*string{"A": new("3"), "B": nil, "C": new("")}, Publish: httpPort("18083")})
	if !resp.Recreated || e.pid(id) == pid {
		t.Errorf("it is the same run: %+v", resp)
	}
	now := e.inspect(id)
	if env := now.Config.Env; !slices.Contains(env, "A=3") || slices.Contains(env, "B=2") || !slices.Contains(env, "C=") {
		t.Errorf("environment %v", env)
	}
	environ, err := os.ReadFile(filepath.Join("/proc", e.pid(id), "environ"))
	if err != nil || !strings.Contains(string(environ), "A=3\x00") {
		t.Errorf("environment of the process: %q, %v", environ, err)
	}
	was, is := before.NetworkSettings.Networks["bridge"], now.NetworkSettings.Networks["bridge"]
	if was.IPAddress != is.IPAddress || was.EndpointID != is.EndpointID || now.Name != before.Name || len(now.NetworkSettings.Ports) != 1 {
		t.Errorf("%+v, %v", is, now.NetworkSettings.Ports)
	}
	if netns(id) != ours || netns(second) != ours {
		t.Errorf("those who share the network lost it: %s, %s, %s", netns(id), netns(second), ours)
	}
	if _, err := e.in(id, "/tmp/kept"); err != nil {
		t.Errorf("files: %v", err)
	}
	if got := e.seen.await(id, "update"); !slices.Equal(got, []string{"create", "network connect", "start", "kill", "die", "start", "update"}) {
		t.Errorf("events %v", got)
	}
	for strings.Count(e.logs(id), "ready") != 2 { // both runs are in the log
		time.Sleep(time.Millisecond)
	}
	// What cannot be run with its changes runs as before.
	bad := &api.ContainerEdit{Env: map[string]*string{"A": new("4")}, Binds: []string{"/etc/passwd:/etc"}, Publish: httpPort("18084")}
	_, err = e.Edit(t.Context(), id, &api.ContainerUpdateRequest{Edit: bad}, false)
	if !errdefs.IsConflict(err) {
		t.Errorf("%v", err)
	}
	if i := e.inspect(id); !i.State.Running || !slices.Contains(i.Config.Env, "A=3") || i.NetworkSettings.Networks["bridge"].IPAddress != was.IPAddress || len(i.NetworkSettings.Ports[nettypes.MustParsePort("80/tcp")]) != 2 {
		t.Errorf("%+v %v %v", i.State, i.Config.Env, i.NetworkSettings.Ports)
	}
	if err := e.Stop(t.Context(), id, "", nil); err != nil {
		t.Fatal(err)
	}
}

// TestRecreateInternal: what is published nowhere, because nothing leads out of
// its network, is no reason not to run anew.
func TestRecreateInternal(t *testing.T) {
	e := newEngine(t)
	if _, err := e.networks.Create(t.Context(), &nettypes.CreateRequest{Name: "inside", Internal: true}); err != nil {
		t.Fatal(err)
	}
	req := request("sleep")
	req.HostConfig.NetworkMode, req.HostConfig.PortBindings = "inside", httpPort("18089")
	id := e.create(req)
	e.start(id)
	e.follow(id, "ready")
	before := e.inspect(id)
	resp := e.edit(id, api.ContainerEdit{Env: map[string]*string{"A": new("3")}})
	now := e.inspect(id)
	if !resp.Recreated || !now.State.Running || now.NetworkSettings.Networks["inside"].IPAddress != before.NetworkSettings.Networks["inside"].IPAddress || len(e.record(id).Network.Ports) != 0 {
		t.Errorf("%+v, %+v", resp, now.NetworkSettings)
	}
}
