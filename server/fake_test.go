package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	imagetypes "github.com/moby/moby/api/types/image"
	"github.com/moby/moby/api/types/jsonstream"
	nettypes "github.com/moby/moby/api/types/network"
	"github.com/moby/moby/api/types/registry"
	"github.com/moby/moby/api/types/system"
	"github.com/moby/moby/client"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/berth-engine/berth/api"
	engine "github.com/berth-engine/berth/container"
	"github.com/berth-engine/berth/event"
	"github.com/berth-engine/berth/image"
	"github.com/berth-engine/berth/volume"
)

// fakeContainers answers with what a test sets; its zero value fails everything.
type fakeContainers struct {
	err       error // of every method that has no function of its own
	create    func(o engine.CreateOptions) (container.CreateResponse, error)
	brief     []api.ContainerBrief
	measured  []engine.Measured
	list      func(o engine.ListOptions) ([]container.Summary, error)
	wait      func(ctx context.Context, cond container.WaitCondition) (<-chan container.WaitResponse, error)
	attach    func(ctx context.Context, ref string, o engine.AttachOptions, hijack engine.Hijack) error
	exec      func(ctx context.Context, id string, o engine.ExecStartOptions, hijack engine.Hijack) error
	logs      func(ctx context.Context, o engine.LogsOptions, open func(bool) io.Writer) error
	inspect   container.InspectResponse
	updated   *container.UpdateConfig
	edited    *api.ContainerUpdateRequest
	stats     func(o engine.StatsOptions, emit func(*container.StatsResponse) error) error
	tar       io.ReadCloser
	committed *engine.CommitOptions
	calls     []string
}

func (f *fakeContainers) did(call string) error {
	f.calls = append(f.calls, call)
	return f.err
}

func (f *fakeContainers) Create(_ context.Context, o engine.CreateOptions) (container.CreateResponse, error) {
	if f.create != nil {
		return f.create(o)
	}
	return container.CreateResponse{}, f.err
}
func (f *fakeContainers) Start(_ context.Context, ref string) error { return f.did("start " + ref) }
func (f *fakeContainers) Stop(_ context.Context, ref, signal string, _ *int) error {
	return f.did("stop " + ref + " " + signal)
}

func (f *fakeContainers) Restart(_ context.Context, ref, _ string, _ *int) error {
	return f.did("restart " + ref)
}

func (f *fakeContainers) Kill(_ context.Context, ref, signal string) error {
	return f.did("kill " + ref + " " + signal)
}

func (f *fakeContainers) Rename(_ context.Context, ref, name string) error {
	return f.did("rename " + ref + " " + name)
}

func (f *fakeContainers) ConnectNetwork(_ context.Context, ref, network string, _ *nettypes.EndpointSettings) error {
	return f.did("connect " + ref + " " + network)
}

func (f *fakeContainers) DisconnectNetwork(_ context.Context, ref, network string, _ bool) error {
	return f.did("disconnect " + ref + " " + network)
}

func (f *fakeContainers) Resize(context.Context, string, uint, uint) error { return f.did("resize") }

func (f *fakeContainers) Remove(_ context.Context, ref string, _ engine.RemoveOptions) error {
	return f.did("remove " + ref)
}

func (f *fakeContainers) WouldRemove(_ context.Context, ref string, o engine.RemoveOptions) (api.Removal, error) {
	return api.Removal{Containers: []api.RemovedContainer{{ID: ref, Kill: o.Force}}}, f.err
}

func (f *fakeContainers) Devices() ([]string, []system.DeviceInfo) {
	return []string{"/etc/cdi", "/var/run/cdi"}, []system.DeviceInfo{{Source: "cdi", ID: "vendor.com/dev=one"}}
}

func (f *fakeContainers) WouldPrune(context.Context, engine.Filters) (api.Removal, error) {
	return api.Removal{Containers: []api.RemovedContainer{{ID: "old"}}}, f.err
}

func (f *fakeContainers) Space(context.Context) ([]Space, error) {
	return []Space{{What: "logs", Bytes: 3}}, f.err
}

func (f *fakeContainers) MigrateDocker(_ context.Context, dir, containerdRoot string) (api.Migration, error) {
	return api.Migration{}, f.did("migrate " + dir + " " + containerdRoot)
}

func (f *fakeContainers) Commit(_ context.Context, ref string, o engine.CommitOptions) (string, error) {
	f.committed = &o
	return "sha256:made", f.did("commit " + ref)
}

func (f *fakeContainers) Prune(context.Context, engine.Filters) (container.PruneReport, error) {
	return container.PruneReport{}, f.err
}

func (f *fakeContainers) Wait(ctx context.Context, _ string, cond container.WaitCondition) (<-chan container.WaitResponse, error) {
	if f.wait != nil {
		return f.wait(ctx, cond)
	}
	return nil, f.err
}

func (f *fakeContainers) Attach(ctx context.Context, ref string, o engine.AttachOptions, hijack engine.Hijack) error {
	if f.attach != nil {
		return f.attach(ctx, ref, o, hijack)
	}
	return f.err
}

func (f *fakeContainers) Logs(ctx context.Context, _ string, o engine.LogsOptions, open func(bool) io.Writer) error {
	if f.logs != nil {
		return f.logs(ctx, o, open)
	}
	return f.err
}

func (f *fakeContainers) ListBrief(context.Context, engine.ListOptions) (iter.Seq[api.ContainerBrief], error) {
	return slices.Values(f.brief), f.err
}

func (f *fakeContainers) List(_ context.Context, o engine.ListOptions) ([]container.Summary, error) {
	if f.list != nil {
		return f.list(o)
	}
	return nil, f.err
}

func (f *fakeContainers) Inspect(context.Context, string, bool) (container.InspectResponse, error) {
	return f.inspect, f.err
}

func (f *fakeContainers) Top(context.Context, string, string) (container.TopResponse, error) {
	return container.TopResponse{}, f.err
}

func (f *fakeContainers) Pause(_ context.Context, ref string) error { return f.did("pause " + ref) }

func (f *fakeContainers) Turn(_ context.Context, ref string) (api.ContainerTurn, error) {
	return api.ContainerTurn{Turn: "ready"}, f.did("turn " + ref)
}

func (f *fakeContainers) Drain(_ context.Context, ref string, drained bool, wait time.Duration) (api.ContainerTurn, error) {
	return api.ContainerTurn{Turn: "drained"}, f.did(fmt.Sprintf("drain %s %v %s", ref, drained, wait))
}

func (f *fakeContainers) Unpause(_ context.Context, ref string) error { return f.did("unpause " + ref) }

func (f *fakeContainers) Update(_ context.Context, ref string, u *container.UpdateConfig) (container.UpdateResponse, error) {
	f.updated = u
	return container.UpdateResponse{Warnings: []string{}}, f.did("update " + ref)
}

func (f *fakeContainers) Edit(_ context.Context, ref string, q *api.ContainerUpdateRequest, dry bool) (api.ContainerUpdateResponse, error) {
	f.edited = q
	changes := []api.ContainerChange{{Field: "env", New: "A=1", Effect: api.EffectRecreate}}
	return api.ContainerUpdateResponse{Warnings: []string{}, Changes: changes}, f.did(fmt.Sprint("edit ", ref, " ", dry))
}

func (f *fakeContainers) Stats(_ context.Context, ref string, o engine.StatsOptions, emit func(*container.StatsResponse) error) error {
	if f.stats != nil {
		return f.stats(o, emit)
	}
	return f.did("stats " + ref)
}

func (f *fakeContainers) Measure(context.Context) ([]engine.Measured, error) {
	return f.measured, f.err
}

func (f *fakeContainers) HealthChecks() (made, failed uint64) { return 7, 2 }

func (f *fakeContainers) Counts() (running, paused, stopped int) { return 3, 0, 2 }

func (f *fakeContainers) RenameVolume(context.Context, string, string) (volume.Volume, error) {
	return volume.Volume{}, f.err
}

func (f *fakeContainers) StatPath(_ context.Context, _, path string) (container.PathStat, error) {
	return container.PathStat{Name: path}, f.err
}

func (f *fakeContainers) Archive(_ context.Context, _, path string) (io.ReadCloser, container.PathStat, error) {
	return f.tar, container.PathStat{Name: path}, f.err
}

func (f *fakeContainers) Extract(_ context.Context, ref, path string, r io.Reader, o engine.ExtractOptions) error {
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	return f.did(fmt.Sprint("extract ", ref, path, string(b), o.NoOverwriteDirNonDir, o.CopyUIDGID))
}

func (f *fakeContainers) Export(context.Context, string) (io.ReadCloser, error) { return f.tar, f.err }

func (f *fakeContainers) Changes(context.Context, string) ([]container.FilesystemChange, error) {
	return nil, f.err
}

func (f *fakeContainers) ExecCreate(_ context.Context, ref string, x *container.ExecCreateRequest) (string, error) {
	return "e1", f.did(fmt.Sprint("exec ", ref, x.Cmd, x.ConsoleSize))
}

func (f *fakeContainers) ExecStart(ctx context.Context, id string, o engine.ExecStartOptions, hijack engine.Hijack) error {
	if f.exec != nil {
		return f.exec(ctx, id, o, hijack)
	}
	return f.did("exec start " + id)
}

func (f *fakeContainers) ExecResize(_ context.Context, id string, height, width uint) error {
	return f.did(fmt.Sprint("exec resize ", id, height, " ", width))
}

func (f *fakeContainers) ExecInspect(_ context.Context, id string) (container.ExecInspectResponse, error) {
	return container.ExecInspectResponse{ID: id}, f.err
}

// fakeImages is the like for images.
type fakeImages struct {
	err     error
	started bool // fails after the first message
	pull    func(ctx context.Context, ref string, o image.PullOptions) error
	last    string
}

func (f *fakeImages) Pull(ctx context.Context, ref string, o image.PullOptions) error {
	f.last = ref
	if f.pull != nil {
		return f.pull(ctx, ref, o)
	}
	return f.err
}

func (f *fakeImages) PullAll(_ context.Context, repository string, _ image.PullOptions) error {
	f.last = "all " + repository
	return f.err
}

func (f *fakeImages) Push(_ context.Context, ref string, o image.PushOptions) error {
	f.last = "push " + ref
	if f.err == nil || f.started {
		o.Progress(jsonstream.Message{Status: "The push refers to repository"})
	}
	return f.err
}

func (f *fakeImages) Save(_ context.Context, refs []string, only []ocispec.Platform, start func() io.Writer) error {
	f.last = fmt.Sprint("save ", refs)
	for _, p := range only {
		f.last += " " + p.Architecture
	}
	if f.err != nil {
		return f.err
	}
	_, err := io.WriteString(start(), "tar")
	return err
}

func (f *fakeImages) Load(_ context.Context, r io.Reader, o image.LoadOptions) error {
	data, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	f.last = fmt.Sprintln("load", string(data), o.Quiet, len(o.Platforms))
	if f.err == nil {
		o.Progress(jsonstream.Message{Stream: "Loaded image: x\n"})
	}
	return f.err
}

func (f *fakeImages) Import(_ context.Context, r io.Reader, o image.ImportOptions) (digest.Digest, error) {
	data, err := io.ReadAll(r)
	f.last = fmt.Sprintln("import", string(data), o.Name, o.Comment, o.Config.Cmd)
	return "sha256:x", errors.Join(f.err, err)
}

func (f *fakeImages) Search(_ context.Context, term string, limit int, _ *registry.AuthConfig) ([]registry.SearchResult, error) {
	f.last = fmt.Sprintln("search", term, limit)
	return []registry.SearchResult{{Name: "few", StarCount: 1}, {Name: "many", StarCount: 100, IsOfficial: true}}, f.err
}

func (f *fakeImages) InspectRemote(_ context.Context, ref string, _ *registry.AuthConfig) (registry.DistributionInspect, error) {
	f.last = "remote " + ref
	return registry.DistributionInspect{}, f.err
}

func (f *fakeImages) Attestations(_ context.Context, ref string, o image.AttestationOptions) ([]imagetypes.AttestationStatement, error) {
	f.last = fmt.Sprint("attestations ", ref, o.Types, o.Statement, o.Platform != nil)
	return []imagetypes.AttestationStatement{}, f.err
}

func (f *fakeImages) List(context.Context, image.ListOptions) ([]imagetypes.Summary, error) {
	return nil, f.err
}

func (f *fakeImages) Inspect(_ context.Context, ref string, _ image.InspectOptions) (imagetypes.InspectResponse, error) {
	f.last = ref
	return imagetypes.InspectResponse{ID: "sha256:x"}, f.err
}

func (f *fakeImages) History(context.Context, string, *ocispec.Platform) ([]imagetypes.HistoryResponseItem, error) {
	return nil, f.err
}

func (f *fakeImages) Tag(_ context.Context, src, dst string) error {
	f.last = src + " " + dst
	return f.err
}

func (f *fakeImages) WouldRemove(context.Context, string, bool) ([]imagetypes.DeleteResponse, int64, error) {
	return []imagetypes.DeleteResponse{{Deleted: "sha256:i"}}, 7, nil
}

func (f *fakeImages) RemovePlatforms(_ context.Context, ref string, only []ocispec.Platform, force, dry bool) ([]imagetypes.DeleteResponse, int64, error) {
	f.last = fmt.Sprint("remove ", ref, len(only), force, dry)
	return []imagetypes.DeleteResponse{{Deleted: "sha256:m"}}, 8, f.err
}

func (f *fakeImages) Pin(_ context.Context, ref string, on bool) error {
	f.last = fmt.Sprintf("pin %s %v", ref, on)
	return nil
}

func (f *fakeImages) CollectUnused(_ context.Context, dry bool) (imagetypes.PruneReport, error) {
	f.last = fmt.Sprintf("collect %v", dry)
	return imagetypes.PruneReport{}, nil
}

func (f *fakeImages) Prune(_ context.Context, _ map[string]map[string]bool, dry bool) (imagetypes.PruneReport, error) {
	return imagetypes.PruneReport{ImagesDeleted: []imagetypes.DeleteResponse{{Untagged: fmt.Sprint(dry)}}, SpaceReclaimed: 9}, nil
}
func (f *fakeImages) DiskUsage(context.Context) (int64, int64, error) { return 1000, 10, nil }
func (f *fakeImages) Space(context.Context) ([]Space, error)          { return nil, nil }

func (f *fakeImages) Remove(_ context.Context, ref string, _, _ bool) ([]imagetypes.DeleteResponse, error) {
	f.last = ref
	return nil, f.err
}

// serve starts a server over fakes. Without containers given, everything is "no
// such container".
func serve(t *testing.T, c *fakeContainers, i *fakeImages) (*Server, *httptest.Server) {
	t.Helper()
	if c == nil {
		c = &fakeContainers{err: errdefs.ErrNotFound.WithMessage("No such container: x")}
	}
	if i == nil {
		i = &fakeImages{}
	}
	volumes, err := volume.Open(t.TempDir(), nil, nil, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	s := New(Options{Containers: c, Images: i, Volumes: volumes, Events: event.New(0, nil), About: About{Version: "9.9.9", CgroupVersion: "1", CgroupDriver: "cgroupfs", ID: "id", Name: "host"}})
	hs := httptest.NewUnstartedServer(s)
	hs.Config.ConnContext = withConn
	hs.Start()
	t.Cleanup(func() {
		s.endStreams()
		hs.Close()
		s.hijacked.Wait()
	})
	return s, hs
}

// mobyClient is the stock client on a test server.
func mobyClient(t *testing.T, hs *httptest.Server) *client.Client {
	t.Helper()
	cli, err := client.New(client.WithHost(strings.Replace(hs.URL, "http", "tcp", 1)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cli.Close() })
	return cli
}

// do sends a request and returns status and body.
func do(t *testing.T, hs *httptest.Server, method, path, body string, header ...string) (int, string, http.Header) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, hs.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			req.Host = header[i+1]
		}
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := hs.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(data), resp.Header
}
