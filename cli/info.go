package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/berth-engine/berth/cli/format"
	"github.com/berth-engine/berth/cli/settings"
	"github.com/docker/go-units"
	"github.com/moby/moby/api/types/registry"
	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/api/types/system"
	"github.com/moby/moby/client"
	"github.com/spf13/cobra"
)

// infoAll is what --format sees: the daemon's fields, and the client's in
// ClientInfo.
type infoAll struct {
	*system.Info
	ServerErrors []string    `json:",omitempty"`
	ClientInfo   *clientInfo `json:",omitempty"`
}

type clientInfo struct {
	Debug bool
	clientVersion
	Plugins  []string
	Warnings []string
}

func newInfo(s *Session) *cobra.Command {
	var text string
	cmd := &cobra.Command{
		Use:         "info [OPTIONS]",
		Short:       "Display system-wide information",
		Args:        noArgs,
		Annotations: callable(12, "system info", "info"),
		RunE:        func(cmd *cobra.Command, _ []string) error { return s.info(cmd.Context(), text) },
	}
	cmd.Flags().StringVarP(&text, "format", "f", "", inspectFormatHelp)
	return cmd
}

func (s *Session) info(ctx context.Context, text string) error {
	if text != "" && text != format.JSON {
		if _, err := format.Parse(text); err != nil {
			return &statusError{64, fmt.Errorf("template parsing error: %w", err)}
		}
	}
	all := infoAll{ClientInfo: &clientInfo{Debug: s.flags.debug, clientVersion: s.clientVersion(), Plugins: []string{}}}
	api, err := s.client(ctx)
	if err == nil {
		var r client.SystemInfoResult
		if r, err = api.Info(ctx, client.InfoOptions{}); err == nil {
			all.Info = &r.Info
		}
	}
	failed := err != nil && !client.IsErrConnectionFailed(err)
	if failed {
		all.ServerErrors = append(all.ServerErrors, err.Error())
	}
	if text != "" {
		if all.Info == nil {
			all.Info = &system.Info{}
		}
		return errors.Join(err, format.Object(s.IO.Out, text, all))
	}
	out := s.IO.Out
	fmt.Fprintf(out, "Client: Berth\n Version:    %s\n Context:    %s\n Debug Mode: %v\n\nServer:\n", s.Build.Version, s.currentContext(), s.flags.debug)
	if all.Info != nil {
		user, _ := s.settings().Credentials(settings.Hub)
		writeInfo(out, all.Info, user.Username, s.flags.debug)
		fmt.Fprintln(out)
		for _, w := range all.Warnings {
			fmt.Fprintln(s.IO.Err, w)
		}
	}
	if failed {
		fmt.Fprintln(s.IO.Err, "ERROR:", err)
		return errors.New("errors pretty printing info")
	}
	return err
}

func writeInfo(w io.Writer, i *system.Info, user string, debug bool) {
	line := func(label string, v any) {
		if s := fmt.Sprint(v); s != "" {
			fmt.Fprintf(w, "%s %s\n", label, s)
		}
	}
	fmt.Fprintf(w, " Containers: %d\n  Running: %d\n  Paused: %d\n  Stopped: %d\n Images: %d\n",
		i.Containers, i.ContainersRunning, i.ContainersPaused, i.ContainersStopped, i.Images)
	line(" Server Version:", i.ServerVersion)
	line(" Storage Driver:", i.Driver)
	for _, p := range i.DriverStatus {
		fmt.Fprintf(w, "  %s: %s\n", p[0], p[1])
	}
	line(" Logging Driver:", i.LoggingDriver)
	line(" Cgroup Driver:", i.CgroupDriver)
	line(" Cgroup Version:", i.CgroupVersion)
	fmt.Fprintf(w, " Plugins:\n  Volume: %s\n  Network: %s\n", strings.Join(i.Plugins.Volume, " "), strings.Join(i.Plugins.Network, " "))
	line("  Authorization:", strings.Join(i.Plugins.Authorization, " "))
	fmt.Fprintf(w, "  Log: %s\n", strings.Join(i.Plugins.Log, " "))
	if len(i.CDISpecDirs) > 0 {
		fmt.Fprintf(w, " CDI spec directories:\n  %s\n", strings.Join(i.CDISpecDirs, "\n  "))
	}
	swarmState := i.Swarm.LocalNodeState
	if swarmState == "" {
		swarmState = swarm.LocalNodeStateInactive
	}
	line(" Swarm:", swarmState)
	if len(i.Runtimes) > 0 {
		line(" Runtimes:", strings.Join(slices.Sorted(maps.Keys(i.Runtimes)), " "))
		line(" Default Runtime:", i.DefaultRuntime)
	}
	line(" Init Binary:", i.InitBinary)
	line(" containerd version:", i.ContainerdCommit.ID)
	line(" runc version:", i.RuncCommit.ID)
	line(" init version:", i.InitCommit.ID)
	writeSecurity(w, i.SecurityOptions)
	line(" Kernel Version:", i.KernelVersion)
	line(" Operating System:", i.OperatingSystem)
	line(" OSType:", i.OSType)
	line(" Architecture:", i.Architecture)
	line(" CPUs:", i.NCPU)
	line(" Total Memory:", units.BytesSize(float64(i.MemTotal)))
	line(" Name:", i.Name)
	line(" ID:", i.ID)
	line(" Docker Root Dir:", i.DockerRootDir)
	line(" Debug Mode:", i.Debug)
	if i.Debug || debug {
		fmt.Fprintf(w, "  File Descriptors: %d\n  Goroutines: %d\n  System Time: %s\n  EventsListeners: %d\n", i.NFd, i.NGoroutines, i.SystemTime, i.NEventsListener)
	}
	line(" HTTP Proxy:", i.HTTPProxy)
	line(" HTTPS Proxy:", i.HTTPSProxy)
	line(" No Proxy:", i.NoProxy)
	line(" Username:", user)
	if len(i.Labels) > 0 {
		fmt.Fprintf(w, " Labels:\n  %s\n", strings.Join(i.Labels, "\n  "))
	}
	line(" Experimental:", i.ExperimentalBuild)
	writeRegistries(w, i.RegistryConfig)
	line(" Live Restore Enabled:", i.LiveRestoreEnabled)
	line(" Product License:", i.ProductLicense)
	if f := i.FirewallBackend; f != nil {
		line(" Firewall Backend:", f.Driver)
	}
	if len(i.DefaultAddressPools) > 0 {
		fmt.Fprintln(w, " Default Address Pools:")
		for _, p := range i.DefaultAddressPools {
			fmt.Fprintf(w, "   Base: %s, Size: %d\n", p.Base, p.Size)
		}
	}
}

// writeSecurity shows options such as name=seccomp,profile=builtin.
func writeSecurity(w io.Writer, list []string) {
	if len(list) == 0 {
		return
	}
	fmt.Fprintln(w, " Security Options:")
	for _, s := range list {
		var name, profile string
		for kv := range strings.SplitSeq(s, ",") {
			switch k, v, _ := strings.Cut(kv, "="); k {
			case "name":
				name = v
			case "profile":
				profile = v
			}
		}
		fmt.Fprintln(w, "  "+name)
		if profile != "" {
			fmt.Fprintln(w, "   Profile:", profile)
		}
	}
}

func writeRegistries(w io.Writer, r *registry.ServiceConfig) {
	if r == nil {
		return
	}
	if len(r.InsecureRegistryCIDRs) > 0 || len(r.IndexConfigs) > 0 {
		fmt.Fprintln(w, " Insecure Registries:")
		for _, name := range slices.Sorted(maps.Keys(r.IndexConfigs)) {
			if c := r.IndexConfigs[name]; c != nil && !c.Secure {
				fmt.Fprintln(w, "  "+c.Name)
			}
		}
		for _, p := range r.InsecureRegistryCIDRs {
			fmt.Fprintln(w, "  "+p.String())
		}
	}
	if len(r.Mirrors) > 0 {
		fmt.Fprintf(w, " Registry Mirrors:\n  %s\n", strings.Join(r.Mirrors, "\n  "))
	}
}
