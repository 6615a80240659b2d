package cli

import (
	"context"
	"net/http"
	"time"

	"github.com/berth-engine/berth/api"
	"github.com/berth-engine/berth/cli/format"
	"github.com/moby/moby/client"
	"github.com/spf13/cobra"
)

func newDf(s *Session) *cobra.Command {
	var (
		verbose bool
		text    string
	)
	cmd := &cobra.Command{
		Use:   "df [OPTIONS]",
		Short: "Show disk usage",
		Args:  noArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return s.df(cmd.Context(), text, verbose) },
	}
	f := cmd.Flags()
	f.StringVar(&text, "format", "", "Format output using a custom template:\n"+
		"'table':            Print output in table format with column headers (default)\n"+
		"'table TEMPLATE':   Print output in table format using the given Go template\n"+
		"'json':             Print in JSON format\n"+
		"'TEMPLATE':         Print output using the given Go template")
	f.BoolVarP(&verbose, "verbose", "v", false, "Show detailed information on space usage, and what it is on disk")
	return cmd
}

func (s *Session) df(ctx context.Context, text string, verbose bool) error {
	c, err := s.client(ctx)
	if err != nil {
		return err
	}
	u, err := c.DiskUsage(ctx, client.DiskUsageOptions{Verbose: verbose})
	if err != nil {
		return err
	}
	if !verbose {
		if text == "" || text == format.Table {
			text = format.UsageTable
		}
		return format.List(s.IO.Out, text, format.UsageHeader, format.Usage(u))
	}
	space := &api.SpaceReport{}
	if err := s.call(ctx, http.MethodGet, "/system/space", nil, nil, space); err != nil {
		space = nil // a daemon that is not Berth's
	}
	return format.UsageDetails(s.IO.Out, text, u, space, time.Now())
}
