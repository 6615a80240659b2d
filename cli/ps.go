package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/berth-engine/berth/cli/format"
	"github.com/berth-engine/berth/cli/opts"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
	"github.com/spf13/cobra"
)

type psFlags struct {
	all, latest, noTrunc, quiet, size bool
	last                              int
	format                            string
	filter                            opts.Filter
}

// newContainerLs makes "ls" below "container".
func newContainerLs(s *Session) *cobra.Command {
	cmd := newPs(s)
	cmd.Use, cmd.Aliases = "ls [OPTIONS]", []string{"ps", "list"}
	return cmd
}

func newPs(s *Session) *cobra.Command {
	var o psFlags
	cmd := &cobra.Command{
		Use:         "ps [OPTIONS]",
		Short:       "List containers",
		Args:        noArgs,
		Annotations: callable(3, "container ls", "container list", "container ps", "ps"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return s.ps(cmd.Context(), o, cmd.Flags().Changed("size"))
		},
	}
	f := cmd.Flags()
	f.BoolVarP(&o.all, "all", "a", false, "Show all containers (default shows just running)")
	filterFlag(f, &o.filter)
	f.StringVar(&o.format, "format", "", formatHelp)
	f.IntVarP(&o.last, "last", "n", -1, "Show n last created containers (includes all states)")
	f.BoolVarP(&o.latest, "latest", "l", false, "Show the latest created container (includes all states)")
	f.BoolVar(&o.noTrunc, "no-trunc", false, "Don't truncate output")
	f.BoolVarP(&o.quiet, "quiet", "q", false, "Only display container IDs")
	f.BoolVarP(&o.size, "size", "s", false, "Display total file sizes")
	_ = cmd.RegisterFlagCompletionFunc("filter", completeWords(
		"ancestor=", "before=", "exited=", "expose=", "health=", "id=", "is-task=", "label=", "name=", "network=",
		"publish=", "since=", "status=created", "status=running", "status=paused", "status=restarting",
		"status=exited", "status=dead", "volume="))
	return cmd
}

func (s *Session) ps(ctx context.Context, o psFlags, sizeGiven bool) error {
	text := o.format
	switch {
	case text == "":
		text = s.settings().PsFormat
	case o.quiet:
		fmt.Fprintln(s.IO.Err, "WARNING: Ignoring custom format, because both --format and --quiet are set.")
	}
	if text != "" {
		if _, err := format.Parse(text); err != nil {
			return fmt.Errorf("failed to parse template: %w", err)
		}
	}
	// Sizes are costly: they are asked for only when shown.
	size := o.size || !sizeGiven && !o.quiet && text != "" && text != format.JSON && format.Uses(text, "Size")
	switch {
	case o.quiet:
		text = "{{.ID}}"
	case text == format.Raw:
		text = format.ContainerRaw(size)
	case text == "" || text == format.Table:
		text = format.ContainerTable
		if size {
			text += "\t{{.Size}}"
		}
	}
	if o.latest && o.last == -1 {
		o.last = 1
	}
	api, err := s.client(ctx)
	if err != nil {
		return err
	}
	list, err := s.containers(ctx, api, client.ContainerListOptions{All: o.all, Limit: o.last, Size: size, Filters: o.filter.Values}, brief(text))
	if err != nil {
		return err
	}
	rows := format.Containers(list, !o.noTrunc, time.Now())
	if err := format.List(s.IO.Out, text, format.ContainerHeader, rows); err != nil {
		return err
	}
	if strings.HasPrefix(text, format.ContainerTable) && slices.ContainsFunc(list, public) {
		s.warnOfPorts(ctx, api)
	}
	return nil
}

// public tells whether a container has a port on an address of the host that
// others reach.
func public(c container.Summary) bool {
	return slices.ContainsFunc(c.Ports, func(p container.PortSummary) bool {
		return p.PublicPort != 0 && p.IP.IsValid() && !p.IP.IsLoopback()
	})
}

// warnOfPorts says what the daemon knows of published ports and the host's
// firewall: under the table, where who looks at ports looks.
func (s *Session) warnOfPorts(ctx context.Context, api *client.Client) {
	info, err := api.Info(ctx, client.InfoOptions{})
	if err != nil {
		return // the list is what was asked for
	}
	for _, w := range info.Info.Warnings {
		if strings.Contains(w, "published ports") {
			fmt.Fprintln(s.IO.Err, w)
		}
	}
}
