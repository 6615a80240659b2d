package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/berth-engine/berth/cli/format"
	"github.com/moby/moby/client"
	"github.com/spf13/cobra"
)

type statsFlags struct {
	all, noStream, noTrunc bool
	format                 string
}

func newStats(s *Session) *cobra.Command {
	var o statsFlags
	cmd := &cobra.Command{
		Use:         "stats [OPTIONS] [CONTAINER...]",
		Short:       "Display a live stream of container(s) resource usage statistics",
		Annotations: callable(0, "container stats", "stats"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.stats(cmd.Context(), o, args)
		},
		ValidArgsFunction: s.completeContainers(-1, false, nil),
	}
	f := cmd.Flags()
	f.BoolVarP(&o.all, "all", "a", false, "Show all containers (default shows just running)")
	f.StringVar(&o.format, "format", "", formatHelp)
	f.BoolVar(&o.noStream, "no-stream", false, "Disable streaming stats and only pull the first result")
	f.BoolVar(&o.noTrunc, "no-trunc", false, "Do not truncate output")
	return cmd
}

// redrawn is how often the screen shows what has come.
const redrawn = 500 * time.Millisecond

func (s *Session) stats(ctx context.Context, o statsFlags, names []string) error {
	text := o.format
	if text == "" {
		text = s.settings().StatsFormat
	}
	if text == "" || text == format.Table {
		text = format.StatsTable
	}
	if _, err := format.Parse(text); err != nil {
		return fmt.Errorf("failed to parse template: %w", err)
	}
	api, err := s.client(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	w := &statsWatch{api: api, stream: !o.noStream, trunc: !o.noTrunc, rows: map[string]*statsSource{}}
	defer w.work.Wait()
	defer cancel()
	if len(names) == 0 {
		if err := w.follow(ctx, o.all); err != nil {
			return err
		}
	} else {
		for _, name := range names {
			w.add(ctx, name)
		}
	}
	if o.noStream {
		w.work.Wait()
		rows, err := w.table(), w.failures()
		if err != nil && len(rows) == 0 {
			return err
		}
		return errors.Join(format.List(s.IO.Out, text, format.StatsHeader, rows), err)
	}
	return s.showStats(ctx, w, text, len(names) > 0)
}

// showStats draws the table again and again, over the one before. named: the
// user named the containers, so it ends when none of them is left.
func (s *Session) showStats(ctx context.Context, w *statsWatch, text string, named bool) error {
	w.first(ctx) // or the first table would be empty
	tick := time.NewTicker(redrawn)
	defer tick.Stop()
	for {
		if named {
			if err := w.failures(); err != nil || w.over() {
				return err
			}
		}
		var b bytes.Buffer
		if err := format.List(&b, text, format.StatsHeader, w.table()); err != nil {
			return err
		}
		if err := redraw(s.IO.Out, b.String()); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-w.broken:
			return err
		case <-tick.C:
		}
	}
}

// redraw writes over what was written before: it clears what is left of each
// line, and of the screen, instead of the whole screen, which would flicker.
func redraw(w io.Writer, text string) error {
	var b strings.Builder
	b.WriteString("\033[H")
	for line := range strings.SplitSeq(strings.TrimSuffix(text, "\n"), "\n") {
		b.WriteString(line + " \033[K\n")
	}
	b.WriteString("\033[J")
	_, err := io.WriteString(w, b.String())
	return err
}

// listed names the containers that there are.
func listed(ctx context.Context, api *client.Client, all bool) ([]string, error) {
	list, err := api.ContainerList(ctx, client.ContainerListOptions{All: all})
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, c := range list.Items {
		ids = append(ids, c.ID)
	}
	return ids, nil
}
