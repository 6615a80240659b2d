package cli

import (
	"context"

	"github.com/berth-engine/berth/cli/format"
	"github.com/berth-engine/berth/cli/opts"
	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/client"
	"github.com/spf13/cobra"
)

func newNetwork(s *Session) *cobra.Command {
	return group("network", "Manage networks",
		newNetworkConnect(s), newNetworkCreate(s), newNetworkDisconnect(s), newNetworkInspect(s), newNetworkLs(s),
		newNetworkPrune(s), newNetworkRm(s), newNetworkRules(s))
}

func newNetworkLs(s *Session) *cobra.Command {
	var (
		quiet, noTrunc bool
		text           string
		filter         opts.Filter
	)
	cmd := &cobra.Command{
		Use:     "ls [OPTIONS]",
		Aliases: []string{"list"},
		Short:   "List networks",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			api, err := s.client(cmd.Context())
			if err != nil {
				return err
			}
			list, err := api.NetworkList(cmd.Context(), client.NetworkListOptions{Filters: filter.Values})
			if err != nil {
				return err
			}
			switch {
			case quiet && (text == "" || text == format.Table):
				text = "{{.ID}}"
			case text == "" && s.settings().NetworksFormat != "":
				text = s.settings().NetworksFormat
			case text == format.Raw:
				text = format.NetworkRaw(quiet)
			case text == "" || text == format.Table:
				text = format.NetworkTable
			}
			return format.List(s.IO.Out, text, format.NetworkHeader, format.Networks(list.Items, !noTrunc))
		},
	}
	f := cmd.Flags()
	f.BoolVarP(&quiet, "quiet", "q", false, "Only display network IDs")
	f.BoolVar(&noTrunc, "no-trunc", false, "Do not truncate the output")
	f.StringVar(&text, "format", "", formatHelp)
	f.VarP(&filter, "filter", "f", `Provide filter values (e.g. "driver=bridge")`)
	_ = cmd.RegisterFlagCompletionFunc("filter", completeWords("dangling=true", "dangling=false", "driver=", "id=", "label=", "name=", "scope=", "type=builtin", "type=custom"))
	return cmd
}

func newNetworkInspect(s *Session) *cobra.Command {
	var (
		text    string
		verbose bool
	)
	cmd := &cobra.Command{
		Use:   "inspect [OPTIONS] NETWORK [NETWORK...]",
		Short: "Display detailed information on one or more networks",
		Args:  someArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.inspect(cmd.Context(), args, text, func(ctx context.Context, api *client.Client, name string) (format.Found, error) {
				return inspectNetwork(ctx, api, name, verbose)
			})
		},
		ValidArgsFunction: s.completeNetworks(-1),
	}
	f := cmd.Flags()
	f.StringVarP(&text, "format", "f", "", inspectFormatHelp)
	f.BoolVarP(&verbose, "verbose", "v", false, "Verbose output for diagnostics")
	return cmd
}

func inspectNetwork(ctx context.Context, api *client.Client, name string, verbose bool) (format.Found, error) {
	r, err := api.NetworkInspect(ctx, name, client.NetworkInspectOptions{Verbose: verbose})
	return format.Found{Value: r.Network, Raw: r.Raw}, err
}

func newNetworkRm(s *Session) *cobra.Command {
	var force, dry bool
	cmd := &cobra.Command{
		Use:     "rm NETWORK [NETWORK...]",
		Aliases: []string{"remove"},
		Short:   "Remove one or more networks",
		Args:    someArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if dry {
				return s.dryRun(cmd.Context(), "networks", args, onFlags(map[string]bool{"force": force}))
			}
			api, err := s.client(cmd.Context())
			if err != nil {
				return err
			}
			return s.each(cmd.Context(), args, func(ctx context.Context, name string) error {
				_, err := api.NetworkRemove(ctx, name, client.NetworkRemoveOptions{})
				if force && cerrdefs.IsNotFound(err) {
					return errSkip
				}
				return err
			})
		},
		ValidArgsFunction: s.completeNetworks(-1),
	}
	cmd.Flags().BoolVarP(&force, "force", "f", false, "Do not error if the network does not exist")
	dryRunFlag(cmd.Flags(), &dry)
	return cmd
}

func newNetworkPrune(s *Session) *cobra.Command {
	p := prune{kind: "network", short: "Remove all unused networks", unsized: true}
	p.what = func(client.Filters) string {
		return "all custom networks not used by at least one container."
	}
	p.do = func(ctx context.Context, api *client.Client, filters client.Filters) error {
		r, err := api.NetworkPrune(ctx, client.NetworkPruneOptions{Filters: filters})
		if err == nil {
			deleted(s, "Networks", r.Report.NetworksDeleted)
		}
		return err
	}
	return p.command(s)
}

// completeNetworks offers names for the first limit arguments; -1: for any
// number.
func (s *Session) completeNetworks(limit int) completion {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if limit >= 0 && len(args) >= limit {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		api, err := s.client(cmd.Context())
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		list, err := api.NetworkList(cmd.Context(), client.NetworkListOptions{})
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var names []string
		for i := range list.Items {
			names = append(names, list.Items[i].Name)
		}
		return without(names, args), cobra.ShellCompDirectiveNoFileComp
	}
}
