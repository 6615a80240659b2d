package cli

import (
	"github.com/berth-engine/berth/cli/format"
	"github.com/berth-engine/berth/cli/opts"
	"github.com/moby/moby/client"
	"github.com/spf13/cobra"
)

func newPlugin(s *Session) *cobra.Command {
	return group("plugin", "See plugins", newPluginLs(s))
}

func newPluginLs(s *Session) *cobra.Command {
	var (
		quiet, noTrunc bool
		text           string
		filter         opts.Filter
	)
	cmd := &cobra.Command{
		Use:     "ls [OPTIONS]",
		Aliases: []string{"list"},
		Short:   "List plugins",
		Long:    "List plugins with sockets and spec files (/run/docker/plugins, /etc/docker/plugins, /usr/lib/docker/plugins).",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			api, err := s.client(cmd.Context())
			if err != nil {
				return err
			}
			r, err := api.PluginList(cmd.Context(), client.PluginListOptions{Filters: filter.Values})
			if err != nil {
				return err
			}
			switch {
			case text == "" && quiet:
				text = format.PluginQuiet
			case text == "" || text == format.Table:
				text = format.PluginTable
			}
			return format.List(s.IO.Out, text, format.PluginHeader, format.Plugins(r.Items, !noTrunc))
		},
	}
	f := cmd.Flags()
	filterFlag(f, &filter)
	f.StringVar(&text, "format", "", "Format output using a custom template (table, json, or a Go template)")
	f.BoolVar(&noTrunc, "no-trunc", false, "Don't truncate output")
	f.BoolVarP(&quiet, "quiet", "q", false, "Only display plugin IDs")
	return cmd
}
