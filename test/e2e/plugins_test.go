package e2e

import (
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// servePlugin serves a plugin on a socket where Docker's plugins have theirs.
func servePlugin(t *testing.T, name string, h http.Handler) {
	t.Helper()
	dir := "/run/docker/plugins"
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, name+".sock")
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(h)
	s.Listener = l
	s.Start()
	t.Cleanup(func() {
		s.Close()
		_ = os.Remove(path) // closed sockets are gone already
	})
}

// volumeDriver is a volume driver whose volumes are directories.
type volumeDriver struct {
	dir string

	mu     sync.Mutex
	exists map[string]map[string]string // options by name
	mounts map[string][]string          // IDs by name
	log    []string
	broken string // a verb that fails
}

func (d *volumeDriver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var in struct {
		Name, ID string
		Opts     map[string]string
	}
	_ = json.NewDecoder(r.Body).Decode(&in)
	verb := strings.TrimPrefix(r.URL.Path, "/VolumeDriver.")
	answer := func(v any) { _ = json.NewEncoder(w).Encode(v) }
	failed := func(text string) { answer(map[string]string{"Err": text}) }
	volume := func(name string) map[string]any {
		v := map[string]any{"Name": name, "Status": map[string]string{"seen": "yes"}}
		if len(d.mounts[name]) > 0 {
			v["Mountpoint"] = filepath.Join(d.dir, name)
		}
		return v
	}
	if verb != "Get" && verb != "List" && verb != "Capabilities" && r.URL.Path != "/Plugin.Activate" {
		d.log = append(d.log, strings.TrimSpace(verb+" "+in.Name))
	}
	_, known := d.exists[in.Name]
	switch {
	case r.URL.Path == "/Plugin.Activate":
		answer(map[string][]string{"Implements": {"VolumeDriver"}})
	case verb == d.broken:
		failed("it is broken")
	case verb == "Capabilities":
		answer(map[string]any{"Capabilities": map[string]string{"Scope": "global"}})
	case verb == "Create":
		d.exists[in.Name] = in.Opts
		_ = os.MkdirAll(filepath.Join(d.dir, in.Name), 0o755)
		answer(struct{}{})
	case verb == "List":
		all := []any{}
		for name := range d.exists {
			all = append(all, volume(name))
		}
		answer(map[string]any{"Volumes": all})
	case !known:
		failed("no such volume here")
	case verb == "Get":
		answer(map[string]any{"Volume": volume(in.Name)})
	case verb == "Remove":
		delete(d.exists, in.Name)
		answer(struct{}{})
	case verb == "Mount":
		d.mounts[in.Name] = append(d.mounts[in.Name], in.ID)
		answer(map[string]string{"Mountpoint": filepath.Join(d.dir, in.Name)})
	case verb == "Unmount":
		if i := slices.Index(d.mounts[in.Name], in.ID); i >= 0 {
			d.mounts[in.Name] = slices.Delete(d.mounts[in.Name], i, i+1)
		} else {
			failed("not mounted for " + in.ID)
			return
		}
		answer(struct{}{})
	default:
		http.NotFound(w, r)
	}
}

// did returns what was asked for since the last call.
func (d *volumeDriver) did() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	log := d.log
	d.log = nil
	return log
}

// add is what makes a volume behind the engine's back.
func (d *volumeDriver) add(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.exists[name] = nil
}

func (d *volumeDriver) fail(verb string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.broken = verb
}

// TestVolumePlugin: a volume of a driver is made, mounted when a container
// starts, unmounted when it stops, also by the daemon that comes after.
func TestVolumePlugin(t *testing.T) {
	drv := &volumeDriver{dir: t.TempDir(), exists: map[string]map[string]string{}, mounts: map[string][]string{}}
	servePlugin(t, "testdriver", drv)
	d := newDaemon(t)
	if err := d.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	run := func(want string, args ...string) string {
		t.Helper()
		out, err := client(t, d, args...)
		if err != nil || !strings.Contains(out, want) {
			t.Fatalf("%q: %v\n%s\nwant %q", args, err, out, want)
		}
		return out
	}
	refused := func(want string, args ...string) {
		t.Helper()
		if out, err := client(t, d, args...); err == nil || !strings.Contains(out, want) {
			t.Errorf("%q: %v\n%s\nwant %q", args, err, out, want)
		}
	}
	did := func(want ...string) {
		t.Helper()
		if got := drv.did(); !slices.Equal(got, want) {
			t.Errorf("the driver was asked %q, want %q", got, want)
		}
	}
	run("busybox", "docker", "pull", "-q", "busybox")
	refused(`plugin "nosuch" not found`, "docker", "volume", "create", "-d", "nosuch", "vx")
	run("v1", "docker", "volume", "create", "-d", "testdriver", "-o", "size=7", "--label", "a=b", "v1")
	did("Create v1")
	if drv.exists["v1"]["size"] != "7" {
		t.Errorf("options: %v", drv.exists["v1"])
	}
	run("testdriver global b map[seen:yes]", "docker", "volume", "inspect", "-f", "{{.Driver}} {{.Scope}} {{.Labels.a}} {{.Status}}", "v1")
	run("v1", "docker", "volume", "ls", "-q", "--filter", "driver=testdriver")
	run("testdriver", "docker", "info", "-f", "{{.Plugins.Volume}}")
	refused("unique", "docker", "volume", "create", "-d", "local", "v1")

	run("hello", "docker", "run", "--rm", "-v", "v1:/d", "busybox", "sh", "-c", "echo hello | tee /d/f")
	did("Mount v1", "Unmount v1")
	if data, err := os.ReadFile(filepath.Join(drv.dir, "v1/f")); err != nil || string(data) != "hello\n" {
		t.Errorf("%q %v", data, err)
	}
	run("", "docker", "run", "-d", "--name", "c1", "--volume-driver", "testdriver", "-v", "v2:/d", "-v", "v1:/e", "busybox", "sleep", "1000")
	did("Create v2", "Mount v2", "Mount v1")
	run(drv.dir+"/v2", "docker", "inspect", "-f", "{{range .Mounts}}{{.Name}} {{.Driver}} {{.Source}} {{end}}", "c1")
	refused("volume is in use", "docker", "volume", "rm", "v2")

	// The daemon is killed, and the next one neither mounts again nor forgets.
	if err := d.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := d.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	did()
	run("f", "docker", "exec", "c1", "ls", "/e")
	run("c1", "docker", "rm", "-f", "c1")
	got := drv.did()
	slices.Sort(got)
	if !slices.Equal(got, []string{"Unmount v1", "Unmount v2"}) {
		t.Errorf("%q", got)
	}

	// What fails there fails here, and leaves nothing.
	drv.fail("Mount")
	refused("it is broken", "docker", "run", "--rm", "-v", "v1:/d", "busybox", "true")
	drv.fail("Remove")
	refused("it is broken", "docker", "volume", "rm", "v1")
	drv.fail("")
	run("v1", "docker", "volume", "ls", "-q")
	run("v1", "docker", "volume", "rm", "v1")
	run("", "docker", "volume", "rm", "v2")
	drv.fail("Create")
	refused("it is broken", "docker", "volume", "create", "-d", "testdriver", "v3")
	if out := run("", "docker", "volume", "ls", "-q"); strings.TrimSpace(out) != "" {
		t.Errorf("left: %s", out)
	}
	drv.did()
	drv.fail("")

	// What the driver has of its own is a volume as well.
	if err := os.Mkdir(filepath.Join(drv.dir, "own"), 0o755); err != nil {
		t.Fatal(err)
	}
	drv.add("own")
	drv.add("other")
	run("testdriver own", "docker", "volume", "ls", "--format", "{{.Driver}} {{.Name}}", "--filter", "name=own", "--filter", "dangling=true")
	run("testdriver global map[seen:yes]", "docker", "volume", "inspect", "-f", "{{.Driver}} {{.Scope}} {{.Status}}", "own")
	run("", "docker", "run", "--rm", "-v", "own:/d", "busybox", "touch", "/d/there")
	did("Mount own", "Unmount own")
	if _, err := os.Stat(filepath.Join(drv.dir, "own/there")); err != nil {
		t.Error(err)
	}
	run("other", "docker", "volume", "rm", "other")
	run("own", "docker", "volume", "rm", "own")
	did("Remove other", "Remove own")
	drv.add("kept")
	run("", "docker", "volume", "prune", "-af")
	did()
	drv.fail("List")
	run("", "docker", "volume", "ls")
	out, _ := client(t, d, "sh", "-c", "docker ps -aq | xargs -r docker rm -f")
	t.Log(out)
}

// TestAuthzPlugin: a plugin decides who may do what, from the first request on
// and after a reload.
func TestAuthzPlugin(t *testing.T) {
	servePlugin(t, "testauthz", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/Plugin.Activate" {
			_ = json.NewEncoder(w).Encode(map[string][]string{"Implements": {"authz"}})
			return
		}
		var m struct {
			RequestURI  string
			RequestBody []byte
		}
		_ = json.NewDecoder(r.Body).Decode(&m)
		allow := !strings.Contains(m.RequestURI, "/volumes") && !strings.Contains(string(m.RequestBody), `"Privileged":true`)
		_ = json.NewEncoder(w).Encode(map[string]any{"Allow": allow, "Msg": "not on this host"})
	}))
	d := newDaemon(t)
	if err := d.Start(t.Context(), "--authorization-plugin", "nosuch"); err == nil {
		t.Error("started without its authorisation plugin")
	}
	if err := d.Start(t.Context(), "--authorization-plugin", "testauthz"); err != nil {
		t.Fatal(err)
	}
	must(t, d, "docker", "pull", "-q", "busybox")
	if out := must(t, d, "docker", "run", "--rm", "busybox", "echo", "hello"); !strings.Contains(out, "hello") {
		t.Error(out)
	}
	if out := must(t, d, "sh", "-c", "echo in | berth run --rm -i busybox cat"); out != "in\n" {
		t.Errorf("%q", out)
	}
	if out := must(t, d, "berth", "plugin", "ls"); !strings.Contains(out, "testauthz") {
		t.Error(out)
	}
	if out := must(t, d, "docker", "info", "-f", "{{.Plugins.Authorization}}"); !strings.Contains(out, "[testauthz]") {
		t.Error(out)
	}
	for _, args := range [][]string{{"docker", "volume", "ls"}, {"berth", "run", "--rm", "--privileged", "busybox", "true"}} {
		if out, err := client(t, d, args...); err == nil || !strings.Contains(out, "authorization denied by plugin testauthz: not on this host") {
			t.Errorf("%q: %v %s", args, err, out)
		}
	}
}
