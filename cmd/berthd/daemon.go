package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/moby/moby/api/types/system"

	"github.com/berth-engine/berth/build"
	"github.com/berth-engine/berth/config"
	engine "github.com/berth-engine/berth/container"
	"github.com/berth-engine/berth/event"
	"github.com/berth-engine/berth/image"
	"github.com/berth-engine/berth/kernel/cgroup"
	"github.com/berth-engine/berth/network/ipam"
	"github.com/berth-engine/berth/plugin"
	"github.com/berth-engine/berth/server"
	"github.com/berth-engine/berth/trace"
)

// undoTime bounds each step of shutting down that could wait for others.
const undoTime = 30 * time.Second

// daemon is the wiring: every part is made, used and ended in run.
type daemon struct {
	args  []string
	log   *slog.Logger
	level *slog.LevelVar
	cfg   atomic.Pointer[config.Config] // replaced as a whole by a reload

	id, name string
	events   *event.Bus
	images   atomic.Pointer[image.Store] // nil until it is open
	plugins  atomic.Pointer[plugin.Registry]

	containers atomic.Pointer[engine.Service] // nil until they are restored
}

// run starts everything in order, serves until ctx ends or a part fails, and
// ends everything in the opposite order. Running containers live on.
func (d *daemon) run(parent context.Context) (err error) {
	cfg := d.cfg.Load()
	_, begun := trace.New(parent, "daemon start") // not in ctx: what goes on later is none of its phases
	// Most of what is read now stays, and users wait: garbage can.
	defer debug.SetGCPercent(debug.SetGCPercent(400))
	ctx, fail := context.WithCancelCause(parent)
	defer fail(nil)
	programs, err := findPrograms(cfg)
	if err != nil {
		return err
	}
	inherited, err := server.InheritedListeners()
	if err != nil {
		return err
	}
	cfg, remap, err := remapped(cfg)
	if err != nil {
		return err
	}
	release, err := d.claim(cfg)
	if err != nil {
		return err
	}
	defer release()
	containerRoot := filepath.Join(cfg.DataRoot, "containers")
	records := engine.ReadRecords(ctx, containerRoot)
	defer records.Wait()
	if remap != nil {
		if err := remap.Open(records); err != nil {
			return err
		}
		defer remap.User.Close()
	}

	doors, err := d.listen(ctx, cfg, inherited)
	if err != nil {
		return err
	}
	defer doors.close()
	plugins, err := d.openPlugins(ctx, cfg)
	if err != nil {
		return err
	}
	traces, endTraces, err := openTraces(ctx)
	if err != nil {
		return err
	}
	defer d.closing("traces", endTraces)
	d.events = event.New(0, d.log)
	defer d.events.Close()
	images, err := d.openImages(ctx, cfg)
	if err != nil {
		return err
	}
	defer d.closing("image store", images.Close)
	d.images.Store(images)
	defer d.images.Store(nil)
	begun.Mark("directories, doors, images")
	networks, err := d.openNetworks(ctx, cfg, programs, plugins, remap)
	if err != nil {
		return err
	}
	defer d.background(ctx, fail, "network", networks.Run)()
	begun.Mark("networks")
	sandboxes, err := d.openSandboxes(ctx, cfg, programs)
	if err != nil {
		return err
	}
	defer d.background(ctx, fail, "sandboxes", sandboxes.Run)()
	volumes, quotas, err := d.openVolumes(cfg, plugins)
	if err != nil {
		return err
	}
	defaults := d.containerDefaults(cfg)
	containers, err := d.openContainers(ctx, engine.Options{
		Root: containerRoot, Records: records, ExecRoot: cfg.ExecRoot, Images: images, Networks: networks,
		Sandboxes: sandboxes, Volumes: volumes, Quotas: quotas, Remap: remap, Events: d.events, Log: d.log, Defaults: defaults, Traces: traces,
	})
	if err != nil {
		return err
	}
	// Restore has left work for the background. Users wait for the engine, not
	// for that.
	defer d.background(ctx, fail, "containers", containers.Run)()
	begun.Mark("sandboxes, volumes, containers")
	debug.SetGCPercent(100)
	defer d.closing("containers", func() error { return shutdown(ctx, containers) })

	builds := build.New(build.Options{
		Images: images, Sandboxes: sandboxes, Networks: networks, HostGateway: hostGateway(cfg, networks),
		Capabilities: containers.Capabilities(), AppArmor: defaults.AppArmor, Remap: stepsRemap(remap), Log: d.log,
		Root: filepath.Join(cfg.DataRoot, "build"), CDISpecDirs: cfg.CDISpecDirs, CgroupParent: cfg.CgroupParent,
		GC: cacheGC(cfg.Builder.GC), Entitlements: cfg.Builder.Entitlements.Granted(),
		MaxDownload: build.Space(cfg.Builder.MaxDownload), Traces: traces,
	})
	defer d.closing("builder", builds.Close)
	defer d.background(ctx, fail, "builder", d.once("builder", builds.Recover))()
	api := d.newServer(cfg, programs, networks, defaults.AppArmor != nil, server.Options{Builds: builds, Containers: containers, Images: images, Volumes: volumes, Traces: traces})
	defer d.besides(ctx, fail, api, doors.metrics)()
	if err := d.serve(ctx, api, doors.api, begun); err != nil {
		return err
	}
	if parent.Err() == nil {
		return context.Cause(ctx)
	}
	d.log.Info("daemon shutdown complete; containers keep running")
	return nil
}

// background runs a part of the engine until the returned function is called,
// which waits for it. A part that ends by itself ends the daemon.
func (d *daemon) background(ctx context.Context, fail context.CancelCauseFunc, name string, run func(context.Context) error) (stop func()) {
	// Its life ends in the order of undoing, not with everything at once.
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		err := run(ctx)
		if ctx.Err() == nil {
			fail(fmt.Errorf("%s ended: %w", name, err))
		} else if err != nil {
			d.log.Error("part ended with an error", "part", name, "error", err)
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

// once is a part of the engine that only has something to do at the start. The
// engine goes on if that fails.
func (d *daemon) once(name string, work func() error) func(context.Context) error {
	return func(ctx context.Context) error {
		if err := work(); err != nil {
			d.log.Error("a part of the engine cannot clean up", "part", name, "error", err)
		}
		<-ctx.Done()
		return nil
	}
}

func (d *daemon) closing(name string, closePart func() error) {
	if err := closePart(); err != nil {
		d.log.Error("part ended with an error", "part", name, "error", err)
	}
}

func (d *daemon) about(cfg *config.Config, sandboxProgram string, confined bool) server.About {
	a := server.About{
		Version: strings.TrimPrefix(version, "v"), GitCommit: builtFrom(), BuildTime: buildTime,
		ID: d.id, Name: d.name, DataRoot: cfg.DataRoot, LogDriver: cfg.LogDriver, LogOpts: cfg.LogOpts, Sandbox: sandboxProgram,
		Seccomp:       cfg.SeccompProfile,
		AppArmor:      confined,
		CgroupVersion: "1", CgroupDriver: cfg.CgroupDriver(), UserNS: cfg.UsernsRemap != "",
	}
	if cgroup.Detect() == cgroup.V2 {
		a.CgroupVersion = "2"
	}
	for _, p := range cfg.AddressPools {
		a.AddressPools = append(a.AddressPools, system.NetworkAddressPool{Base: p.Prefix(), Size: p.Size})
	}
	for _, h := range cfg.Hosts {
		if addr, ok := strings.CutPrefix(h, "tcp://"); ok && !cfg.VerifyClients() {
			a.Warnings = append(a.Warnings, fmt.Sprintf("WARNING: API is accessible on tcp://%s without client certificates: access to it is root access to this host", addr))
			d.log.Warn("API without client certificates: access to it is root access to this host", "address", addr)
		}
	}
	return a
}

// addressPools are the configured ones; nil: none are.
func addressPools(cfg *config.Config) ipam.Areas {
	var out ipam.Areas
	four := false
	for _, p := range cfg.AddressPools {
		a := ipam.Area{Base: p.Prefix(), Bits: p.Size}
		four = four || a.Base.Addr().Is4()
		out = append(out, a)
	}
	if len(out) > 0 && !four {
		out = append(out, ipam.DefaultPools...) // nothing was said about IPv4
	}
	return out
}

// settings are those that a reload may change.
func (d *daemon) settings() server.Settings {
	cfg := d.cfg.Load()
	return server.Settings{
		Debug: cfg.Debug, Labels: cfg.Labels, Registries: registries(cfg),
		ShutdownTimeout: time.Duration(cfg.ShutdownTimeout) * time.Second,
		Runtimes:        cfg.Commands(), DefaultRuntime: cfg.DefaultRuntime,
	}
}

func registries(cfg *config.Config) image.Registries {
	return image.Registries{
		Mirrors: cfg.Mirrors(), Insecure: cfg.Insecure(), ConfigDirs: cfg.RegistryDirs, Attempts: cfg.DownloadAttempts,
	}
}

// orNone is how options say how much is kept ready: what is negative is none.
func orNone(n int) int {
	if n == 0 {
		return -1
	}
	return n
}

// ownGroup is where the engine's own helpers are: never in a slice of systemd's,
// which ends when nothing is in it.
func ownGroup(cfg *config.Config) string {
	if cfg.Slice() != "" {
		return ""
	}
	return cfg.CgroupParent
}

// hostnames are the names that clients may call this machine by.
func hostnames(cfg *config.Config, name string) []string {
	names := []string{name}
	for _, text := range cfg.Hosts {
		if addr, ok := strings.CutPrefix(text, "tcp://"); ok {
			if host, _, err := net.SplitHostPort(addr); err == nil {
				names = append(names, host)
			}
		}
	}
	return slices.Compact(names)
}

// helper finds a program of Berth's beside this one, or where `make install`
// puts it; never along a search path that others may write to.
func helper(name string) (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	dir := filepath.Dir(self)
	for _, p := range []string{filepath.Join(dir, name), filepath.Join(filepath.Dir(dir), "libexec", "berth", name)} {
		if info, err := os.Stat(p); err == nil && info.Mode().IsRegular() {
			return p, nil
		}
	}
	return "", fmt.Errorf("%s is missing beside %s", name, self)
}
