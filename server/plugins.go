package server

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/moby/moby/api/types/plugin"

	"github.com/berth-engine/berth/server/compat"
)

// capabilities are the types of plugins, as managed ones are described.
var capabilities = map[string]string{
	"VolumeDriver": "volumedriver", "NetworkDriver": "networkdriver", "IpamDriver": "ipamdriver", "authz": "authz", "LogDriver": "logdriver",
	"GraphDriver": "graphdriver", "MetricsCollector": "metricscollector",
}

// listTime is how long plugins may take to say what they are.
const listTime = 3 * time.Second

// pluginList lists plugins with sockets and spec files, in the form of managed
// ones, of which there are none.
func (s *Server) pluginList(w http.ResponseWriter, r *request) error {
	filters, err := compat.Filters(r.query.Get("filters"))
	if err != nil {
		return err
	}
	for name := range filters {
		if name != "enabled" && name != "capability" {
			return invalid("invalid filter '" + name + "'")
		}
	}
	list := plugin.ListResponse{}
	if s.o.Plugins == nil || filters["enabled"]["false"] || filters["enabled"]["0"] {
		writeJSON(w, http.StatusOK, list)
		return nil
	}
	ctx, cancel := context.WithTimeout(r.Context(), listTime)
	defer cancel()
	for _, p := range s.o.Plugins.All(ctx, "") {
		entry := plugin.Plugin{ID: p.Name(), Name: p.Name(), Enabled: true}
		entry.Config.Description = "plugin at " + p.From()
		entry.Config.Interface.Socket = strings.TrimPrefix(p.Addr(), "unix://")
		entry.Config.Args.Value, entry.Config.Args.Settable = []string{}, []string{}
		entry.Config.Interface.Types = []plugin.CapabilityID{}
		entry.Config.Entrypoint, entry.Config.Env, entry.Config.Mounts = []string{}, []plugin.Env{}, []plugin.Mount{}
		entry.Config.Linux.Capabilities, entry.Config.Linux.Devices = []string{}, []plugin.Device{}
		entry.Settings = plugin.Settings{Args: []string{}, Devices: []plugin.Device{}, Env: []string{}, Mounts: []plugin.Mount{}}
		wanted := len(filters["capability"]) == 0
		for _, c := range p.Implements() {
			short := capabilities[c]
			if short == "" {
				short = strings.ToLower(c)
			}
			wanted = wanted || filters["capability"][short]
			entry.Config.Interface.Types = append(entry.Config.Interface.Types, plugin.CapabilityID{Prefix: "docker", Capability: short, Version: "1.0"})
		}
		if wanted {
			list = append(list, entry)
		}
	}
	writeJSON(w, http.StatusOK, list)
	return nil
}

// networkDrivers are the engine's own, and plugins that were used or looked at.
func (s *Server) networkDrivers() []string {
	drivers := []string{"bridge", "cni", "host", "ipvlan", "macvlan", "null"}
	if s.o.Plugins == nil {
		return drivers
	}
	drivers = append(drivers, s.o.Plugins.Active("NetworkDriver")...)
	slices.Sort(drivers)
	return drivers
}
