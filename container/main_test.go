package container

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/berth-engine/berth/event"
	"github.com/berth-engine/berth/image"
	"github.com/berth-engine/berth/kernel/ns"
	"github.com/berth-engine/berth/network"
	"github.com/berth-engine/berth/oci"
	"github.com/berth-engine/berth/sandbox"
)

// programs holds berth-sandbox, berth-netd and the guest.
var programs string

// inside marks the test process that runs in a network namespace of its own.
const inside = "BERTH_CONTAINER_TEST"

func TestMain(m *testing.M) {
	code, err := main1(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func main1(m *testing.M) (int, error) {
	if os.Getenv(inside) == "" {
		return again()
	}
	if err := ns.LoopbackUp(); err != nil {
		return 0, err
	}
	programs = os.Getenv(inside)
	return m.Run(), nil
}

// again builds the programs and runs this test binary apart from the host's
// network.
func again() (int, error) {
	dir, err := os.MkdirTemp("", "container-test-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	for out, pkg := range map[string]string{
		"berth-sandbox": "github.com/berth-engine/berth/cmd/berth-sandbox",
		"berth-netd":    "github.com/berth-engine/berth/cmd/berth-netd",
		"guest":         "./testdata/guest",
	} {
		build := exec.Command("go", "build", "-o", filepath.Join(dir, out), pkg)
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if b, err := build.CombinedOutput(); err != nil {
			return 0, fmt.Errorf("build %s: %w\n%s", pkg, err, b)
		}
	}
	self := exec.Command(os.Args[0], os.Args[1:]...)
	self.Env = append(os.Environ(), inside+"="+dir)
	self.Stdin, self.Stdout, self.Stderr = os.Stdin, os.Stdout, os.Stderr
	self.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	err = self.Run()
	removeGroups()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode(), nil
	}
	return 0, err
}

// testGroup is the parent of all cgroups of the tests.
const testGroup = "/berth-container-test"

// removeGroups takes away the parent groups, which engines share and keep.
func removeGroups() {
	for _, pattern := range []string{"/sys/fs/cgroup/*" + testGroup, "/sys/fs/cgroup" + testGroup} {
		groups, _ := filepath.Glob(pattern) // the pattern is right
		for _, g := range groups {
			children, _ := filepath.Glob(g + "/*/")
			for _, c := range append(children, g) {
				_ = os.Remove(c) // refused while somebody is in it
			}
		}
	}
}

// engine is a Service with everything below it, in directories of its own.
type engine struct {
	*Service
	t      *testing.T
	root   string
	events *event.Bus
	images *image.Store
	stop   func() // as a daemon that ends; may be repeated
	seen   *eventLog

	restored func() // called between Restore and Run; nil: nothing is
}

const testImage = "registry.test/guest:latest"

// newEngine starts an engine with the test image in it.
func newEngine(t *testing.T) *engine {
	t.Helper()
	e := &engine{t: t, root: t.TempDir()}
	e.boot()
	e.pull()
	return e
}

// boot starts the daemon's parts on the engine's directories.
func (e *engine) boot() {
	t := e.t
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	e.events = event.New(0, log)
	e.seen = watchEvents(ctx, e.events)
	var err error
	e.images, err = image.Open(ctx, image.Options{Root: filepath.Join(e.root, "image"), Events: e.events, Log: log, Registries: image.Registries{}})
	if err != nil {
		t.Fatal(err)
	}
	exec := filepath.Join(e.root, "exec")
	if err := os.MkdirAll(exec, 0o700); err != nil {
		t.Fatal(err)
	}
	nets, err := network.New(ctx, network.Options{
		ExecRoot: exec, DataRoot: e.root, Events: e.events, Log: log,
		Netd: network.NetdOptions{Binary: filepath.Join(programs, "berth-netd"), CgroupParent: testGroup},
	})
	if err != nil {
		t.Fatal(err)
	}
	boxes, err := sandbox.New(ctx, sandbox.Options{ExecRoot: exec, Binary: filepath.Join(programs, "berth-sandbox"), CgroupParent: testGroup, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	e.Service, err = New(ctx, Options{
		Root: filepath.Join(e.root, "containers"), ExecRoot: exec, Images: e.images, Networks: nets, Sandboxes: boxes,
		Events: e.events, Log: log,
	})
	if err != nil {
		t.Fatal(err)
	}
	var stops []func()
	for _, run := range []func(context.Context) error{nets.Run, boxes.Run} {
		stops = append(stops, background(t, run))
	}
	if err := e.Service.Restore(ctx); err != nil {
		t.Fatal(err)
	}
	if e.restored != nil {
		e.restored()
	}
	stops = append(stops, background(t, e.Service.Run))
	e.stop = sync.OnceFunc(func() {
		_ = e.Service.Shutdown(ctx)
		for _, stop := range slices.Backward(stops) {
			stop()
		}
		if err := e.images.Close(); err != nil {
			t.Error(err)
		}
		e.events.Close()
		cancel()
	})
	stop, svc := e.stop, e.Service
	t.Cleanup(func() {
		for _, c := range svc.index.all() {
			if e.Service == svc {
				if err := svc.Remove(context.Background(), c.id, RemoveOptions{Force: true, Volumes: true}); err != nil && !errdefs.IsNotFound(err) {
					t.Error(err)
				}
			}
		}
		stop()
	})
}

func background(t *testing.T, run func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
}

// pull gets the test image from a registry of this process.
func (e *engine) pull() {
	t := e.t
	t.Helper()
	guest, err := os.ReadFile(filepath.Join(programs, "guest"))
	if err != nil {
		t.Fatal(err)
	}
	entry := func(name string, mode int64, data string) oci.Entry {
		h := tar.Header{Name: name, Mode: mode, Typeflag: tar.TypeReg}
		if strings.HasSuffix(name, "/") {
			h.Typeflag = tar.TypeDir
		}
		return oci.Entry{Header: h, Data: []byte(data)}
	}
	layer, err := oci.NewLayer([]oci.Entry{
		entry("bin/", 0o755, ""), entry("etc/", 0o755, ""), entry("data/", 0o755, ""), entry("tmp/", 0o1777, ""),
		{Header: tar.Header{Name: "bin/guest", Mode: 0o755, Typeflag: tar.TypeReg}, Data: guest},
		entry("etc/passwd", 0o644, "root:x:0:0::/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n"),
		entry("etc/group", 0o644, "root:x:0:\nuser:x:1000:\nextra:x:2000:user\n"),
		entry("etc/notexec", 0o644, "text"),
		entry("data/seed", 0o640, "from the image"),
	}, oci.Gzip)
	if err != nil {
		t.Fatal(err)
	}
	img, err := oci.NewImage(ocispec.Platform{OS: "linux", Architecture: "amd64"}, ocispec.ImageConfig{
		Entrypoint: []string{"guest"}, Cmd: []string{"true"}, Env: []string{"PATH=/bin", "FROM=image"},
		Labels: map[string]string{"of": "image"}, Volumes: map[string]struct{}{}, WorkingDir: "/work/dir",
	}, "test", layer)
	if err != nil {
		t.Fatal(err)
	}
	reg := httptest.NewServer(serveImage(img))
	defer reg.Close()
	ref := strings.TrimPrefix(reg.URL, "http://") + "/guest:latest"
	if err := e.images.Pull(t.Context(), ref, image.PullOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := e.images.Tag(t.Context(), ref, testImage); err != nil {
		t.Fatal(err)
	}
}

// serveImage is a registry that has one image and gives it for every name.
func serveImage(img oci.Image) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, object, _ := strings.Cut(r.URL.Path, "/manifests/")
		if object == "" {
			_, object, _ = strings.Cut(r.URL.Path, "/blobs/")
		}
		for _, b := range append(img.Blobs, img.Manifests...) {
			if b.Descriptor.Digest.String() == object || object == "latest" && b.Descriptor.Digest == img.Root().Descriptor.Digest {
				w.Header().Set("Content-Type", b.Descriptor.MediaType)
				w.Header().Set("Docker-Content-Digest", b.Descriptor.Digest.String())
				_, _ = w.Write(b.Data)
				return
			}
		}
		http.NotFound(w, r)
	})
}

// eventLog collects what was published.
type eventLog struct {
	mu   sync.Mutex
	more *sync.Cond
	list []events.Message
}

func watchEvents(ctx context.Context, b *event.Bus) *eventLog {
	l := &eventLog{}
	l.more = sync.NewCond(&l.mu)
	go func() {
		for m, err := range b.Subscribe(ctx, time.Unix(1, 0), time.Time{}, func(events.Message) bool { return true }) {
			if err != nil {
				return
			}
			l.mu.Lock()
			l.list = append(l.list, m)
			l.mu.Unlock()
			l.more.Broadcast()
		}
	}()
	return l
}

// await returns the actions on a container, networks' included, in order, once
// the last one is among them.
func (l *eventLog) await(id, last string) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		got := l.of(id)
		if slices.Contains(got, last) {
			return got
		}
		l.more.Wait()
	}
}

// last returns the newest message of an action on a container.
func (l *eventLog) last(id, action string) (found events.Message) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range l.list {
		if m.Actor.ID == id && string(m.Action) == action {
			found = m
		}
	}
	return found
}

func (l *eventLog) of(id string) []string {
	var out []string
	for _, m := range l.list {
		if m.Actor.ID == id || m.Actor.Attributes["container"] == id {
			name := string(m.Action)
			if m.Type != events.ContainerEventType {
				name = string(m.Type) + " " + name
			}
			out = append(out, name)
		}
	}
	return out
}

// request is a create request for the test image.
func request(cmd ...string) *container.CreateRequest {
	return &container.CreateRequest{Config: &container.Config{Image: testImage, Cmd: cmd}, HostConfig: &container.HostConfig{}}
}

func (e *engine) create(req *container.CreateRequest) string {
	e.t.Helper()
	resp, err := e.Create(e.t.Context(), CreateOptions{Request: req})
	if err != nil {
		e.t.Fatal(err)
	}
	return resp.ID
}

// wait returns the answer to a wait that was registered before.
func (e *engine) await(ch <-chan container.WaitResponse) container.WaitResponse {
	e.t.Helper()
	select {
	case r := <-ch:
		return r
	case <-time.After(20 * time.Second):
		e.t.Fatal("the wait was not answered")
		return container.WaitResponse{}
	}
}

// run creates, starts and waits, and returns exit code and output.
func (e *engine) run(req *container.CreateRequest) (id string, code int64, out string) {
	e.t.Helper()
	id = e.create(req)
	ch, err := e.Wait(e.t.Context(), id, container.WaitConditionNextExit)
	if err != nil {
		e.t.Fatal(err)
	}
	if err := e.Start(e.t.Context(), id); err != nil {
		e.t.Fatal(err)
	}
	code = e.await(ch).StatusCode
	return id, code, e.logs(id)
}
