package main

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"time"

	"github.com/moby/moby/api/types/container"

	"github.com/berth-engine/berth/config"
	engine "github.com/berth-engine/berth/container"
	"github.com/berth-engine/berth/container/apparmor"
	"github.com/berth-engine/berth/image"
	"github.com/berth-engine/berth/kernel/quota"
	"github.com/berth-engine/berth/network"
	"github.com/berth-engine/berth/network/nft"
	"github.com/berth-engine/berth/plugin"
	"github.com/berth-engine/berth/sandbox"
	"github.com/berth-engine/berth/server"
	"github.com/berth-engine/berth/server/authz"
	"github.com/berth-engine/berth/volume"
)

// The parts of the engine are made by functions of their own, that run can be
// read; what ends them is in run.

func (d *daemon) openPlugins(ctx context.Context, cfg *config.Config) (*plugin.Registry, error) {
	plugins := plugin.New(plugin.Options{})
	d.plugins.Store(plugins)
	return plugins, checkAuthz(ctx, plugins, cfg.AuthzPlugins)
}

// checkAuthz refuses authorisation plugins that are not there: from then on they
// would refuse everything.
func checkAuthz(ctx context.Context, plugins *plugin.Registry, names []string) error {
	for _, name := range names {
		if _, err := plugins.Get(ctx, name, authz.Capability); err != nil {
			return fmt.Errorf("authorization-plugins: %w", err)
		}
	}
	return nil
}

func (d *daemon) openImages(ctx context.Context, cfg *config.Config) (*image.Store, error) {
	rules, err := image.LoadPolicy(cfg.SignaturePolicy)
	if err != nil {
		return nil, err
	}
	images, err := image.Open(ctx, image.Options{
		Root: filepath.Join(cfg.DataRoot, "image"), Registries: registries(cfg), Events: d.events, Log: d.log, MaxDownloads: cfg.MaxDownloads, MaxUploads: cfg.MaxUploads, Policy: rules,
		CompactAfter: time.Duration(cfg.CompactAfter), Limits: imageLimits(cfg),
	})
	if err != nil {
		return nil, fmt.Errorf("open the image store: %w", err)
	}
	return images, nil
}

func (d *daemon) openNetworks(ctx context.Context, cfg *config.Config, programs programs, plugins *plugin.Registry, remap *engine.Remap) (*network.Manager, error) {
	mark, mask := cfg.Mark()
	networks, err := network.New(ctx, network.Options{
		ExecRoot: cfg.ExecRoot, DataRoot: cfg.DataRoot, Bridge: cfg.Bridge, Home: defaultNetwork(cfg),
		Plugins: plugins, NoForward: !cfg.Forward, Direct: cfg.DirectRouting, Accept: nft.Match{Mark: mark, Mask: mask},
		Netd: network.NetdOptions{Binary: programs.netd, CgroupParent: ownGroup(cfg)}, MTU: cfg.MTU, User: remap.Namespace(), Events: d.events, Log: d.log,
		Policy: network.Policy(cfg.PublishPolicy), Pool: orNone(2 * cfg.Prepared), Pools: addressPools(cfg), NetworkOptions: cfg.NetworkOpts,
	})
	if err != nil {
		return nil, fmt.Errorf("prepare the network: %w", err)
	}
	return networks, nil
}

func (d *daemon) openSandboxes(ctx context.Context, cfg *config.Config, programs programs) (*sandbox.Runtime, error) {
	sandboxes, err := sandbox.New(ctx, sandbox.Options{
		ExecRoot: cfg.ExecRoot, Binary: programs.sandbox, CgroupParent: ownGroup(cfg), Slice: cfg.Slice(), Log: d.log, Warm: orNone(cfg.Prepared),
	})
	if err != nil {
		return nil, fmt.Errorf("prepare the sandboxes: %w", err)
	}
	return sandboxes, nil
}

func (d *daemon) openVolumes(cfg *config.Config, plugins *plugin.Registry) (*volume.Store, *quota.Projects, error) {
	if err := checkRootSize(cfg); err != nil {
		return nil, nil, err
	}
	quotas := quota.New(cfg.DataRoot)
	volumes, err := volume.Open(filepath.Join(cfg.DataRoot, "volumes"), d.events, d.log, plugins, quotas)
	if err != nil {
		return nil, nil, fmt.Errorf("open the volumes: %w", err)
	}
	return volumes, quotas, nil
}

// openContainers loads the containers and goes on with those that run.
func (d *daemon) openContainers(ctx context.Context, o engine.Options) (*engine.Service, error) {
	containers, err := engine.New(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("load the containers: %w", err)
	}
	if err := containers.Restore(ctx); err != nil {
		return nil, fmt.Errorf("restore the containers: %w", err)
	}
	d.containers.Store(containers)
	now := d.cfg.Load() // a reload may have come meanwhile
	containers.SetRuntimes(now.Commands(), now.DefaultRuntime)
	return containers, nil
}

// besides begins what goes on beside the answering of requests.
func (d *daemon) besides(ctx context.Context, fail context.CancelCauseFunc, api *server.Server, metrics net.Listener) (stop func()) {
	rest := d.background(ctx, fail, "rest", d.rest)
	if metrics == nil {
		return rest
	}
	shown := d.background(ctx, fail, "metrics", func(ctx context.Context) error { return api.ServeMetrics(ctx, metrics) })
	return func() {
		rest()
		shown()
	}
}

// shutdown ends the containers' service, not the containers.
func shutdown(ctx context.Context, containers *engine.Service) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTime)
	defer cancel()
	return containers.Shutdown(ctx)
}

// containerDefaults is what containers get that do not say otherwise.
func (d *daemon) containerDefaults(cfg *config.Config) engine.Defaults {
	profile, err := apparmor.Default()
	if err != nil {
		d.log.Warn("no default AppArmor profile", "error", err)
	}
	return engine.Defaults{
		AppArmor: profile, ShmSize: int64(cfg.ShmSize), RootSize: cfg.RootSize(), Init: cfg.Init, CgroupParent: ownGroup(cfg), Slices: cfg.Slice() != "", Ulimits: cfg.Ulimits,
		LogConfig: container.LogConfig{Type: cfg.LogDriver, Config: cfg.LogOpts}, NoNewPrivs: cfg.NoNewPrivileges, Seccomp: cfg.Seccomp,
		Runtimes: cfg.Commands(), Runtime: cfg.DefaultRuntime, CDISpecDirs: cfg.CDISpecDirs,
		DNS: cfg.DNS, DNSSearch: cfg.DNSSearch, DNSOptions: cfg.DNSOptions, HostGatewayIP: cfg.GatewayIP(),
		IPCMode: container.IpcMode(cfg.IPCMode), CgroupnsMode: container.CgroupnsMode(cfg.CgroupnsMode),
	}
}
