package build

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/pkg/gc"
	"github.com/containerd/containerd/v2/plugins/diff/walking"
	"github.com/containerd/platforms"
	bkmeta "github.com/moby/buildkit/cache/metadata"
	"github.com/moby/buildkit/cache/remotecache"
	inlinecache "github.com/moby/buildkit/cache/remotecache/inline"
	localcache "github.com/moby/buildkit/cache/remotecache/local"
	registrycache "github.com/moby/buildkit/cache/remotecache/registry"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/control"
	"github.com/moby/buildkit/frontend"
	"github.com/moby/buildkit/frontend/dockerfile/builder"
	"github.com/moby/buildkit/frontend/gateway"
	"github.com/moby/buildkit/frontend/gateway/forwarder"
	"github.com/moby/buildkit/session"
	ctdsnapshot "github.com/moby/buildkit/snapshot/containerd"
	"github.com/moby/buildkit/solver"
	"github.com/moby/buildkit/solver/bboltcachestorage"
	"github.com/moby/buildkit/solver/llbsolver/cdidevices"
	"github.com/moby/buildkit/source/git"
	bkhttp "github.com/moby/buildkit/source/http"
	"github.com/moby/buildkit/source/local"
	"github.com/moby/buildkit/util/leaseutil"
	"github.com/moby/buildkit/worker"
	"github.com/moby/buildkit/worker/base"
	otel "go.opentelemetry.io/otel/sdk/trace"
	"google.golang.org/grpc"
	"tags.cncf.io/container-device-interface/pkg/cdi"

	"github.com/berth-engine/berth/build/executor"
	"github.com/berth-engine/berth/container/apparmor"
	"github.com/berth-engine/berth/image"
	"github.com/berth-engine/berth/image/store"
	"github.com/berth-engine/berth/sandbox"
	"github.com/berth-engine/berth/trace"
)

// Options are what an Engine is made of.
type Options struct {
	Root         string // directory for the cache's databases and for work
	Images       *image.Store
	Sandboxes    *sandbox.Runtime
	Networks     executor.Networks
	CgroupParent string
	Capabilities []string          // that the kernel knows
	AppArmor     *apparmor.Profile // of steps that are not insecure; nil: none
	CDISpecDirs  []string          // of the devices that steps may ask for; nil: CDI's own
	HostGateway  string            // the address that host-gateway means in --add-host; "": none
	GC           GC                // of the cache
	MaxDownload  Space             // of one file or repository from an address; zero: a fifth of the disk of Root
	// Entitlements that builds get if their client allows it: network.host,
	// security.insecure, device.
	Entitlements []string
	Remap        *executor.Remap // nil: steps have the host's ids
	Traces       *trace.Recorder // of steps; nil: nobody asks
	Log          *slog.Logger    // nil: discarded
}

// Engine builds images. Its methods may be used at any time by anybody.
type Engine struct {
	o Options

	mu      sync.Mutex
	closed  bool
	parts   *parts
	running map[string]context.CancelCauseFunc // builds that can be cancelled
}

// parts is what there is once something is built.
type parts struct {
	sessions   *session.Manager
	controller *control.Controller
	worker     *moby
	server     *grpc.Server
	history    *history
	stop       context.CancelFunc
}

var errClosed = errors.New("the builder is closed")

// New makes an Engine. Nothing is opened before the first use.
func New(o Options) *Engine {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Engine{o: o, running: map[string]context.CancelCauseFunc{}}
}

// Close ends the builds that run and closes the cache.
func (e *Engine) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed = true
	if e.parts == nil {
		return nil
	}
	e.parts.stop()
	e.parts.server.Stop()
	if err := errors.Join(e.parts.controller.Close(), e.parts.history.Close()); err != nil {
		return err
	}
	return settle(e.o.Root)
}

// open makes the parts at their first use.
func (e *Engine) open() (*parts, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.closed:
		return nil, errClosed
	case e.parts != nil:
		return e.parts, nil
	}
	p, err := e.make()
	if err != nil {
		return nil, fmt.Errorf("start the builder: %w", err)
	}
	e.parts = p
	return p, nil
}

// make opens the databases and puts BuildKit together.
func (e *Engine) make() (_ *parts, err error) {
	if err := os.MkdirAll(e.o.Root, 0o700); err != nil {
		return nil, err
	}
	if err := clearWork(e.o.Root); err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	defer func() {
		if err != nil {
			stop()
		}
	}()
	images := e.o.Images.Parts()
	boot, err := thisBoot()
	if err != nil {
		return nil, err
	}
	dropped, err := dropUnsure(ctx, e.o.Root, boot, images.Leases, images.Namespace)
	if err != nil {
		return nil, err
	}
	if dropped {
		e.o.Log.Warn("the build cache begins anew: the machine went down while it was open")
	}
	w, err := e.worker(ctx, images)
	if err != nil {
		return nil, err
	}
	workers := &worker.Controller{}
	if err := workers.Add(w); err != nil {
		return nil, err
	}
	sessions, err := session.NewManager()
	if err != nil {
		return nil, err
	}
	gw, err := gateway.NewGatewayFrontend(workers.Infos(), nil)
	if err != nil {
		return nil, err
	}
	cache, err := bboltcachestorage.NewStore(filepath.Join(e.o.Root, "cache.db"))
	if err != nil {
		return nil, err
	}
	if err := dropOldHistory(ctx, e.o.Root, images.Leases, images.Namespace); err != nil {
		return nil, err
	}
	past, err := openHistory(ctx, filepath.Join(e.o.Root, "history"))
	if err != nil {
		return nil, err
	}
	hosts := docker.RegistryHosts(e.o.Images.RegistryHosts)
	controller, err := control.NewController(control.Opt{
		SessionManager: sessions, WorkerController: workers,
		Frontends: map[string]frontend.Frontend{
			"dockerfile.v0": forwarder.NewGatewayForwarder(workers.Infos(), builder.Build),
			"gateway.v0":    gw,
		},
		CacheManager: solver.NewCacheManager(ctx, "local", cache, worker.NewCacheResultStorage(workers)),
		ResolveCacheExporterFuncs: map[string]remotecache.ResolveCacheExporterFunc{
			"registry": registrycache.ResolveCacheExporterFunc(sessions, hosts),
			"local":    localcache.ResolveCacheExporterFunc(sessions),
			"inline":   inlinecache.ResolveCacheExporterFunc(),
		},
		ResolveCacheImporterFuncs: map[string]remotecache.ResolveCacheImporterFunc{
			"registry": registrycache.ResolveCacheImporterFunc(sessions, w.ContentStore(), hosts),
			"local":    localcache.ResolveCacheImporterFunc(sessions),
		},
		Entitlements: e.o.Entitlements,
		HistoryDB:    past.records, CacheStore: cache, TraceCollector: noTraces{},
		LeaseManager:   leaseutil.WithNamespace(leasesBeside{images.Leases, past.leases, images.Namespace}, images.Namespace),
		ContentStore:   ctdsnapshot.NewContentStore(beside{images.Content, past.content, images.Namespace}, images.Namespace),
		GarbageCollect: past.Collect, GracefulStop: ctx.Done(),
	})
	if err != nil {
		return nil, errors.Join(err, past.records.Close(), past.Close())
	}
	server := grpc.NewServer(serverOptions()...)
	controller.Register(server)
	if err := unsync(e.o.Root, boot, w.MetadataStore); err != nil {
		e.o.Log.Warn("the build cache is synced at each write", "error", err)
	}
	return &parts{sessions: sessions, controller: controller, worker: w, server: server, history: past, stop: stop}, nil
}

// gatewayLabel is where clients of Docker's builder look up what host-gateway means.
const gatewayLabel = "org.mobyproject.buildkit.worker.moby.host-gateway-ip"

// worker is BuildKit's view of the image store and the sandbox.
func (e *Engine) worker(ctx context.Context, images image.Parts) (*moby, error) {
	devices, err := deviceManager(e.o.CDISpecDirs)
	if err != nil {
		return nil, err
	}
	run, err := executor.New(executor.Options{
		Root: filepath.Join(e.o.Root, "steps"), Sandboxes: e.o.Sandboxes, Networks: e.o.Networks,
		CgroupParent: e.o.CgroupParent, Capabilities: e.o.Capabilities, AppArmor: e.o.AppArmor, Devices: devices, Remap: e.o.Remap, Traces: e.o.Traces, Log: e.o.Log,
	})
	if err != nil {
		return nil, err
	}
	id, err := base.ID(e.o.Root)
	if err != nil {
		return nil, err
	}
	if err := os.Setenv(forceOverlay, "false"); err != nil {
		return nil, err
	}
	policy, err := e.o.GC.policy(e.o.Root)
	if err != nil {
		return nil, err
	}
	metadata, err := bkmeta.NewStore(filepath.Join(e.o.Root, "metadata.db"))
	if err != nil {
		return nil, err
	}
	stray, err := dropStray(ctx, metadata, images.Leases, images.Namespace)
	if err != nil {
		return nil, err
	}
	if stray {
		if err := images.Collect(ctx); err != nil {
			return nil, err
		}
	}
	content := ctdsnapshot.NewContentStore(images.Content, images.Namespace)
	labels := map[string]string{"org.mobyproject.buildkit.worker.executor": "berth", "org.mobyproject.buildkit.worker.snapshotter": image.Driver}
	if e.o.HostGateway != "" {
		labels[gatewayLabel] = e.o.HostGateway
	}
	snapshots := ctdsnapshot.NewSnapshotter(image.Driver, images.Snapshots, images.Namespace, nil)
	if e.o.Remap != nil {
		snapshots = executor.Snapshots{Snapshotter: snapshots}
	}
	snapshots = executor.Expecting{Snapshotter: snapshots, Sandboxes: e.o.Sandboxes}
	w, err := base.NewWorker(ctx, base.WorkerOpt{
		ID: id, Root: e.o.Root,
		Labels:          labels,
		Platforms:       []platforms.Platform{platforms.Normalize(platforms.DefaultSpec())},
		BuildkitVersion: client.BuildkitVersion{Package: "github.com/moby/buildkit", Version: buildkitVersion()},
		Executor:        run,
		Snapshotter:     snapshots,
		ContentStore:    content,
		Applier:         store.NewApplier(content),
		Differ:          &differ{content: content, other: walking.NewWalkingDiff(content)},
		ImageStore:      images.Images,
		RegistryHosts:   e.o.Images.RegistryHosts,
		LeaseManager:    leaseutil.WithNamespace(images.Leases, images.Namespace),
		GarbageCollect: func(ctx context.Context) (gc.Stats, error) {
			return nil, images.Collect(ctx)
		},
		GCPolicy:      policy,
		MetadataStore: metadata, CDIManager: devices,
		MountPoolRoot: filepath.Join(e.o.Root, "mounts"),
	})
	if err != nil {
		return nil, err
	}
	return e.sources(w, images)
}

// sources puts the engine's own in the place of the worker's: with the signature
// policy, and with bounds on what a build takes from addresses.
func (e *Engine) sources(w *base.Worker, images image.Parts) (*moby, error) {
	w.SourceManager.Register(admitting{w.ImageSource, e.o.Images.Admit})
	ofSessions, err := local.NewSource(local.Opt{CacheAccessor: w.CacheManager()})
	if err != nil {
		return nil, err
	}
	w.SourceManager.Register(directories{ofSessions})
	most, err := e.o.MaxDownload.onDisk(e.o.Root)
	if err != nil {
		return nil, err
	}
	b := bound{most, silence}
	files, err := bkhttp.NewSource(bkhttp.Opt{CacheAccessor: w.CacheManager(), Transport: downloads(b)})
	if err != nil {
		return nil, err
	}
	w.SourceManager.Register(files)
	w.HTTPSource = files
	made := &moby{Worker: w, complete: images.Complete}
	if w.GitSource == nil {
		return made, nil // there is no git here
	}
	if w.GitSource, err = git.NewSource(git.Opt{CacheAccessor: growing{w.CacheManager()}, RegistryHosts: e.o.Images.RegistryHosts}); err != nil {
		return nil, err
	}
	made.clones = clones(w.GitSource, b)
	w.SourceManager.Register(made.clones)
	return made, nil
}

// deviceManager knows the devices that CDI specifications describe. It reads them
// anew when a file of them changes.
func deviceManager(dirs []string) (*cdidevices.Manager, error) {
	if dirs == nil {
		dirs = cdi.DefaultSpecDirs
	}
	cache, err := cdi.NewCache(cdi.WithSpecDirs(dirs...))
	if err != nil {
		return nil, fmt.Errorf("CDI devices: %w", err)
	}
	return cdidevices.NewManager(cache, nil), nil
}

// noTraces takes the spans that clients send, which else would complain.
type noTraces struct{}

func (noTraces) ExportSpans(context.Context, []otel.ReadOnlySpan) error { return nil }
func (noTraces) Shutdown(context.Context) error                         { return nil }
