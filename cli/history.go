package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/berth-engine/berth/cli/format"
	"github.com/berth-engine/berth/cli/opts"
	"github.com/moby/moby/client"
	"github.com/spf13/cobra"
)

type historyFlags struct {
	human, noTrunc, quiet bool
	format, platform      string
}

func newHistory(s *Session) *cobra.Command {
	var o historyFlags
	cmd := &cobra.Command{
		Use:               "history [OPTIONS] IMAGE",
		Short:             "Show the history of an image",
		Args:              exactArgs(1),
		Annotations:       callable(0, "image history", "history"),
		RunE:              func(cmd *cobra.Command, args []string) error { return s.history(cmd.Context(), args[0], o) },
		ValidArgsFunction: s.completeImages(1),
	}
	f := cmd.Flags()
	f.StringVar(&o.format, "format", "", formatHelp)
	f.BoolVarP(&o.human, "human", "H", true, "Print sizes and dates in human readable format")
	f.BoolVar(&o.noTrunc, "no-trunc", false, "Don't truncate output")
	f.StringVar(&o.platform, "platform", "", `Show history for the given platform. Formatted as "os[/arch[/variant]]" (e.g., "linux/amd64")`)
	f.BoolVarP(&o.quiet, "quiet", "q", false, "Only show image IDs")
	_ = cmd.RegisterFlagCompletionFunc("platform", completePlatforms)
	return cmd
}

func (s *Session) history(ctx context.Context, name string, o historyFlags) error {
	var call []client.ImageHistoryOption
	if o.platform != "" {
		p, err := opts.ParsePlatform(o.platform)
		if err != nil {
			return fmt.Errorf("invalid platform: %w", err)
		}
		call = append(call, client.ImageHistoryWithPlatform(*p))
	}
	api, err := s.client(ctx)
	if err != nil {
		return err
	}
	h, err := api.ImageHistory(ctx, name, call...)
	if err != nil {
		return err
	}
	text := o.format
	switch isTable := text == "" || text == format.Table; {
	case isTable && o.quiet:
		text = "{{.ID}}"
	case isTable && !o.human:
		text = format.HistoryPlainTable
	case isTable:
		text = format.HistoryTable
	}
	return format.List(s.IO.Out, text, format.HistoryHeader, format.History(h.Items, !o.noTrunc, o.human, time.Now()))
}
