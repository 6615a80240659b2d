package main

import (
	"context"
	"fmt"
	"net"

	"github.com/berth-engine/berth/api"
	"github.com/berth-engine/berth/config"
	"github.com/berth-engine/berth/kernel/file"
	"github.com/berth-engine/berth/network"
	"github.com/berth-engine/berth/server"
	"github.com/berth-engine/berth/trace"
)

// newServer completes the options with what the daemon itself knows.
func (d *daemon) newServer(cfg *config.Config, p programs, networks *network.Manager, appArmor bool, o server.Options) *server.Server {
	o.Networks, o.Events, o.Log = networks, d.events, d.log
	o.About, o.Settings, o.Hostnames = d.about(cfg, p.sandbox, appArmor), d.settings, hostnames(cfg, d.name)
	o.Measure, o.Warnings = file.Allocated, networks.Warnings
	o.Plugins, o.Authz = d.plugins.Load(), func() []string { return d.cfg.Load().AuthzPlugins }
	o.Firewall = func() (api.Firewall, error) {
		table, err := networks.Rules()
		return api.Firewall{Table: table, PublishPolicy: cfg.PublishPolicy, Warnings: networks.Warnings()}, err
	}
	return server.New(o)
}

// serve answers until ctx ends.
func (d *daemon) serve(ctx context.Context, api *server.Server, listeners []net.Listener, begun *trace.Trace) error {
	begun.Mark("rest")
	d.log.Debug("daemon ready", "after", begun.Took(), "phases", begun.Phases())
	for _, l := range listeners {
		d.log.Info("API listen on " + l.Addr().String())
	}
	d.notify("READY=1")
	defer context.AfterFunc(ctx, func() { d.notify("STOPPING=1") })()
	if err := api.Serve(ctx, listeners...); err != nil {
		return fmt.Errorf("serve the API: %w", err)
	}
	return nil
}
