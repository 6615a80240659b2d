package cli

import (
	"fmt"
	"strings"

	"github.com/berth-engine/berth/cli/opts"
	"github.com/moby/moby/client"
	"github.com/spf13/cobra"
)

func newNetworkConnect(s *Session) *cobra.Command {
	var (
		a          opts.Attachment
		driverOpts []string
		links      opts.List
	)
	links.Check = opts.CheckLink
	cmd := &cobra.Command{
		Use:   "connect [OPTIONS] NETWORK CONTAINER",
		Short: "Connect a container to a network",
		Args:  exactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			a.Target, a.Links = args[0], links.Values
			for _, o := range driverOpts {
				key, value, ok := strings.Cut(o, "=")
				if !ok || key == "" {
					return fmt.Errorf("invalid key/value pair format in driver options")
				}
				if a.DriverOpts == nil {
					a.DriverOpts = map[string]string{}
				}
				a.DriverOpts[key] = value
			}
			ep, err := endpoint(a)
			if err != nil {
				return err
			}
			api, err := s.client(cmd.Context())
			if err != nil {
				return err
			}
			_, err = api.NetworkConnect(cmd.Context(), args[0], client.NetworkConnectOptions{Container: args[1], EndpointConfig: ep})
			return err
		},
		ValidArgsFunction: s.completePair(),
	}
	f := cmd.Flags()
	f.StringVar(&a.IPv4, "ip", "", `IPv4 address (e.g., "172.30.100.104")`)
	f.StringVar(&a.IPv6, "ip6", "", `IPv6 address (e.g., "2001:db8::33")`)
	f.Var(&links, "link", "Add link to another container")
	f.StringSliceVar(&a.Aliases, "alias", nil, "Add network-scoped alias for the container")
	f.StringSliceVar(&a.LinkLocalIPs, "link-local-ip", nil, "Add a link-local address for the container")
	f.StringSliceVar(&driverOpts, "driver-opt", nil, "driver options for the network")
	f.IntVar(&a.GwPriority, "gw-priority", 0, "Highest gw-priority provides the default gateway. Accepts positive and negative values.")
	return cmd
}

func newNetworkDisconnect(s *Session) *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:   "disconnect [OPTIONS] NETWORK CONTAINER",
		Short: "Disconnect a container from a network",
		Args:  exactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := s.client(cmd.Context())
			if err != nil {
				return err
			}
			_, err = api.NetworkDisconnect(cmd.Context(), args[0], client.NetworkDisconnectOptions{Container: args[1], Force: force})
			return err
		},
		ValidArgsFunction: s.completePair(),
	}
	cmd.Flags().BoolVarP(&force, "force", "f", false, "Force the container to disconnect from a network")
	return cmd
}

// completePair offers networks, then containers.
func (s *Session) completePair() completion {
	networks, containers := s.completeNetworks(1), s.completeContainers(-1, true, nil)
	return func(cmd *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective) {
		switch len(args) {
		case 0:
			return networks(cmd, args, toComplete)
		case 1:
			return containers(cmd, nil, toComplete)
		}
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
}
