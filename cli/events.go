package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/template"
	"time"

	"github.com/berth-engine/berth/cli/format"
	"github.com/berth-engine/berth/cli/opts"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/client"
	"github.com/spf13/cobra"
)

func newEvents(s *Session) *cobra.Command {
	var (
		o      client.EventsListOptions
		text   string
		filter opts.Filter
	)
	cmd := &cobra.Command{
		Use:         "events [OPTIONS]",
		Short:       "Get real time events from the server",
		Args:        noArgs,
		Annotations: callable(0, "system events", "events"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.Filters = filter.Values
			return s.events(cmd.Context(), o, text)
		},
	}
	f := cmd.Flags()
	filterFlag(f, &filter)
	f.StringVar(&text, "format", "", inspectFormatHelp)
	f.StringVar(&o.Since, "since", "", "Show all events created since timestamp")
	f.StringVar(&o.Until, "until", "", "Stream events until this timestamp")
	_ = cmd.RegisterFlagCompletionFunc("filter", completeWords("container=", "event=", "image=", "label=", "network=", "type=container", "type=image", "type=network", "volume="))
	return cmd
}

func (s *Session) events(ctx context.Context, o client.EventsListOptions, text string) error {
	var t *template.Template
	if text != "" {
		if text == format.JSON {
			text = "{{json .}}"
		}
		var err error
		if t, err = format.Parse(text); err == nil {
			// A field that no event has should fail now, not at the first.
			err = t.Execute(io.Discard, &events.Message{})
		}
		if err != nil {
			return &statusError{64, fmt.Errorf("Error parsing format: %w", err)}
		}
	}
	api, err := s.client(ctx)
	if err != nil {
		return err
	}
	stream := api.Events(ctx, o)
	for {
		select {
		case m := <-stream.Messages:
			if err := writeEvent(s.IO.Out, m, t); err != nil {
				return err
			}
		case err := <-stream.Err:
			if errors.Is(err, io.EOF) {
				return nil
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return err
		}
	}
}

func writeEvent(w io.Writer, m events.Message, t *template.Template) error {
	if t != nil {
		if err := t.Execute(w, m); err != nil {
			return err
		}
		_, err := io.WriteString(w, "\n")
		return err
	}
	const stamp = "2006-01-02T15:04:05.000000000Z07:00 "
	var b strings.Builder
	switch {
	case m.TimeNano != 0:
		b.WriteString(time.Unix(0, m.TimeNano).Format(stamp))
	case m.Time != 0:
		b.WriteString(time.Unix(m.Time, 0).Format(stamp))
	}
	fmt.Fprintf(&b, "%s %s %s", m.Type, m.Action, m.Actor.ID)
	var attrs []string
	for _, k := range slices.Sorted(maps.Keys(m.Actor.Attributes)) {
		attrs = append(attrs, k+"="+m.Actor.Attributes[k])
	}
	if len(attrs) > 0 {
		b.WriteString(" (" + strings.Join(attrs, ", ") + ")")
	}
	b.WriteByte('\n')
	_, err := io.WriteString(w, b.String())
	return err
}
