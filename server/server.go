package server

import (
	"cmp"
	"context"
	"errors"
	"io"
	"iter"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/moby/moby/api/types/container"
	imagetypes "github.com/moby/moby/api/types/image"
	nettypes "github.com/moby/moby/api/types/network"
	"github.com/moby/moby/api/types/registry"
	"github.com/moby/moby/api/types/system"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/berth-engine/berth/api"
	engine "github.com/berth-engine/berth/container"
	"github.com/berth-engine/berth/event"
	"github.com/berth-engine/berth/image"
	"github.com/berth-engine/berth/plugin"
	"github.com/berth-engine/berth/trace"
	"github.com/berth-engine/berth/volume"
)

// Containers is what the server asks of the containers; *container.Service is
// the engine's.
type Containers interface {
	Create(ctx context.Context, o engine.CreateOptions) (container.CreateResponse, error)
	Start(ctx context.Context, ref string) error
	Stop(ctx context.Context, ref, signal string, timeout *int) error
	Restart(ctx context.Context, ref, signal string, timeout *int) error
	Kill(ctx context.Context, ref, signal string) error
	Rename(ctx context.Context, ref, name string) error
	Resize(ctx context.Context, ref string, height, width uint) error
	Remove(ctx context.Context, ref string, o engine.RemoveOptions) error
	Prune(ctx context.Context, f engine.Filters) (container.PruneReport, error)
	Wait(ctx context.Context, ref string, cond container.WaitCondition) (<-chan container.WaitResponse, error)
	Attach(ctx context.Context, ref string, o engine.AttachOptions, hijack engine.Hijack) error
	Logs(ctx context.Context, ref string, o engine.LogsOptions, open func(multiplexed bool) io.Writer) error
	List(ctx context.Context, o engine.ListOptions) ([]container.Summary, error)
	ListBrief(ctx context.Context, o engine.ListOptions) (iter.Seq[api.ContainerBrief], error)
	Inspect(ctx context.Context, ref string, size bool) (container.InspectResponse, error)
	Top(ctx context.Context, ref, psArgs string) (container.TopResponse, error)
	Pause(ctx context.Context, ref string) error
	Unpause(ctx context.Context, ref string) error
	Turn(ctx context.Context, ref string) (api.ContainerTurn, error)
	Drain(ctx context.Context, ref string, drained bool, wait time.Duration) (api.ContainerTurn, error)
	Update(ctx context.Context, ref string, u *container.UpdateConfig) (container.UpdateResponse, error)
	Edit(ctx context.Context, ref string, q *api.ContainerUpdateRequest, dry bool) (api.ContainerUpdateResponse, error)
	Stats(ctx context.Context, ref string, o engine.StatsOptions, emit func(*container.StatsResponse) error) error
	Devices() (dirs []string, devices []system.DeviceInfo)
	RenameVolume(ctx context.Context, name, newName string) (volume.Volume, error)
	StatPath(ctx context.Context, ref, path string) (container.PathStat, error)
	Archive(ctx context.Context, ref, path string) (io.ReadCloser, container.PathStat, error)
	Extract(ctx context.Context, ref, path string, r io.Reader, o engine.ExtractOptions) error
	Export(ctx context.Context, ref string) (io.ReadCloser, error)
	Changes(ctx context.Context, ref string) ([]container.FilesystemChange, error)
	Commit(ctx context.Context, ref string, o engine.CommitOptions) (string, error)
	WouldRemove(ctx context.Context, ref string, o engine.RemoveOptions) (api.Removal, error)
	WouldPrune(ctx context.Context, f engine.Filters) (api.Removal, error)
	Space(ctx context.Context) ([]Space, error)
	MigrateDocker(ctx context.Context, dir, containerdRoot string) (api.Migration, error)
	Counts() (running, paused, stopped int)
	Measure(ctx context.Context) ([]engine.Measured, error)
	HealthChecks() (made, failed uint64)
	ConnectNetwork(ctx context.Context, ref, network string, e *nettypes.EndpointSettings) error
	DisconnectNetwork(ctx context.Context, ref, network string, force bool) error

	ExecCreate(ctx context.Context, ref string, x *container.ExecCreateRequest) (string, error)
	ExecStart(ctx context.Context, id string, o engine.ExecStartOptions, hijack engine.Hijack) error
	ExecResize(ctx context.Context, id string, height, width uint) error
	ExecInspect(ctx context.Context, id string) (container.ExecInspectResponse, error)
}

// Space is a part of what the engine has on disk.
type Space = image.Space

// Images is what the server asks of the images; *image.Store is the engine's.
type Images interface {
	Pull(ctx context.Context, ref string, o image.PullOptions) error
	PullAll(ctx context.Context, repository string, o image.PullOptions) error
	Push(ctx context.Context, ref string, o image.PushOptions) error
	Save(ctx context.Context, refs []string, only []ocispec.Platform, start func() io.Writer) error
	Load(ctx context.Context, r io.Reader, o image.LoadOptions) error
	Import(ctx context.Context, r io.Reader, o image.ImportOptions) (digest.Digest, error)
	Search(ctx context.Context, term string, limit int, auth *registry.AuthConfig) ([]registry.SearchResult, error)
	InspectRemote(ctx context.Context, ref string, auth *registry.AuthConfig) (registry.DistributionInspect, error)
	Attestations(ctx context.Context, ref string, o image.AttestationOptions) ([]imagetypes.AttestationStatement, error)
	List(ctx context.Context, o image.ListOptions) ([]imagetypes.Summary, error)
	Inspect(ctx context.Context, ref string, o image.InspectOptions) (imagetypes.InspectResponse, error)
	History(ctx context.Context, ref string, p *ocispec.Platform) ([]imagetypes.HistoryResponseItem, error)
	Tag(ctx context.Context, src, dst string) error
	Remove(ctx context.Context, ref string, force, prune bool) ([]imagetypes.DeleteResponse, error)
	WouldRemove(ctx context.Context, ref string, force bool) ([]imagetypes.DeleteResponse, int64, error)
	Pin(ctx context.Context, ref string, on bool) error
	CollectUnused(ctx context.Context, dry bool) (imagetypes.PruneReport, error)
	RemovePlatforms(ctx context.Context, ref string, only []ocispec.Platform, force, dry bool) ([]imagetypes.DeleteResponse, int64, error)
	Prune(ctx context.Context, filters map[string]map[string]bool, dry bool) (imagetypes.PruneReport, error)
	DiskUsage(ctx context.Context) (total, reclaimable int64, err error)
	Space(ctx context.Context) ([]Space, error)
}

// Options is what a server is made of.
type Options struct {
	Containers Containers
	Images     Images
	Volumes    Volumes
	Builds     Builds
	Networks   Networks
	Events     *event.Bus
	About      About
	// Plugins are the plugins that there are; nil: none.
	Plugins *plugin.Registry
	// Authz names the plugins that have to allow each request, in order. A reload
	// may change them. Nil: none.
	Authz func() []string
	// Measure tells how many bytes a directory takes. Nil: the total of
	// GET /system/space is the sum of its parts.
	Measure func(ctx context.Context, dir string) (int64, error)
	// Warnings are what /info says beside what the server finds: what is wrong
	// now. Nil: nothing.
	Warnings func() []string
	// Firewall tells what the engine's firewall is. Nil: nobody knows.
	Firewall func() (api.Firewall, error)
	// Settings returns those settings that a reload may change. Nil: none.
	Settings func() Settings
	Log      *slog.Logger // nil: discarded
	// Traces gets where the time of requests goes. Nil: only who asks for it with
	// his request is told.
	Traces *trace.Recorder
	// Hostnames are the names, beside IP addresses, localhost and names without
	// a dot, that a request over plain TCP may give as its Host.
	Hostnames []string
}

// Settings are the daemon's settings that may change while it runs.
type Settings struct {
	Debug      bool
	Labels     []string
	Registries image.Registries
	// ShutdownTimeout is how long open requests may take to end; 0: 15 s,
	// negative: no limit. Streams are ended at once.
	ShutdownTimeout time.Duration
	// Runtimes are the OCI runtimes besides Berth's own, by name: program and
	// first arguments. DefaultRuntime is that of containers that name none; "":
	// Berth's own.
	Runtimes       map[string][]string
	DefaultRuntime string
}

// Server answers the Engine API.
type Server struct {
	o        Options
	log      *slog.Logger
	routes   *router
	stopping chan struct{} // closed when streams have to end
	stopOnce sync.Once
	hijacked sync.WaitGroup
	measured measured

	goneEvery time.Duration // goneInterval, but for tests
}

// New makes a server. Nothing runs before Serve.
func New(o Options) *Server {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Settings == nil {
		o.Settings = func() Settings { return Settings{} }
	}
	if o.Authz == nil {
		o.Authz = func() []string { return nil }
	}
	s := &Server{o: o, log: o.Log, stopping: make(chan struct{}), goneEvery: goneInterval}
	s.routes = newRouter(s.operations())
	return s
}

// Serve answers requests on the listeners until ctx ends or one of them fails.
// Then it ends all streams, waits for open requests as long as
// Settings.ShutdownTimeout, and closes the listeners.
func (s *Server) Serve(ctx context.Context, listeners ...net.Listener) error {
	hs := &http.Server{
		Handler:           s,
		ReadHeaderTimeout: 30 * time.Second,
		IdleTimeout:       5 * time.Minute,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
		ConnContext:       withConn,
	}
	failed := make(chan error, len(listeners))
	for _, l := range listeners {
		go func() { failed <- hs.Serve(l) }()
	}
	var err error
	left := len(listeners)
	select {
	case <-ctx.Done():
	case err = <-failed:
		left--
	}
	s.endStreams()
	grace, cancel := context.WithoutCancel(ctx), context.CancelFunc(func() {})
	if limit := cmp.Or(s.o.Settings().ShutdownTimeout, 15*time.Second); limit > 0 {
		grace, cancel = context.WithTimeout(grace, limit)
	}
	defer cancel()
	if stopErr := hs.Shutdown(grace); stopErr != nil {
		s.log.Warn("requests cut off at shutdown", "error", stopErr)
		_ = hs.Close()
	}
	for range left {
		<-failed
	}
	s.hijacked.Wait()
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// endStreams ends what would otherwise never end: attached clients, followed
// logs, events, waits.
func (s *Server) endStreams() { s.stopOnce.Do(func() { close(s.stopping) }) }

// stream derives a context that also ends when the server begins to stop.
func (s *Server) stream(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		select {
		case <-s.stopping:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}
