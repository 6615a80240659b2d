package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
)

// channelKinds are the channels of examples/channels, in the order of the page.
var channelKinds = []string{"tcp", "http", "http-close", "files-inotify", "files-poll", "database", "mqtt-0", "mqtt-1", "mqtt-2"}

// channelResult is the line that the example's gateway prints.
type channelResult struct {
	Channel string  `json:"channel"`
	Sent    int     `json:"sent"`
	Lost    int     `json:"lost"`
	Doubled int     `json:"doubled"`
	Wrong   int     `json:"wrong"`
	Median  float64 `json:"median_ms"`
	P99     float64 `json:"p99_ms"`
	Rate    float64 `json:"messages_s"`
}

// channels has the five services of examples/channels talk through each channel
// and compares what they measure. With -plot the page shows it from then on.
func channels(ctx context.Context, s *stage) error {
	password := filepath.Join(s.dir, "password")
	if err := os.WriteFile(password, []byte(rand.Text()+"\n"), 0o600); err != nil {
		return err
	}
	s.env = []string{"HUB=" + s.hubAddr, "PASSWORD_FILE=" + password}
	s.heading("Images: five of one program each; database and broker from Debian's packages")
	if err := s.debian(ctx); err != nil {
		return err
	}
	// All profiles at once: each image is built once.
	if err := s.channelsCompose(ctx, s.out, "tcp", "--profile", "*", "build", "--quiet"); err != nil {
		return err
	}
	var results []channelResult
	for _, kind := range channelKinds {
		s.heading("Five services by " + kind)
		r, err := s.channelsMeasure(ctx, kind)
		if err != nil {
			return fmt.Errorf("%s: %w", kind, err)
		}
		results = append(results, r)
	}
	s.heading("What they measured")
	table := channelsTable(results)
	fmt.Fprint(s.out, table)
	if !s.plot {
		return nil
	}
	return writePage(results)
}

func (s *stage) channelsCompose(ctx context.Context, out io.Writer, kind string, args ...string) error {
	env := s.env
	defer func() { s.env = env }()
	s.env = append(append([]string{}, env...), "CHANNEL="+kind, "COMPOSE_PROFILES="+kind)
	return s.show(ctx, out, append([]string{"compose", "--progress", "quiet", "--file", "examples/channels/compose.yaml"}, args...)...)
}

func (s *stage) channelsMeasure(ctx context.Context, kind string) (r channelResult, err error) {
	defer func() {
		if e := s.channelsCompose(context.WithoutCancel(ctx), s.out, kind, "down", "--volumes", "--timeout", "1"); err == nil {
			err = e
		}
	}()
	if err := s.channelsCompose(ctx, s.out, kind, "up", "--detach", "--no-build"); err != nil {
		return r, err
	}
	if err := s.channelsCompose(ctx, io.Discard, kind, "wait", "gateway"); err != nil {
		return r, err
	}
	var log bytes.Buffer
	if err := s.channelsCompose(ctx, &log, kind, "logs", "--no-log-prefix", "gateway"); err != nil {
		return r, err
	}
	for line := range bytes.Lines(log.Bytes()) {
		if json.Unmarshal(line, &r) == nil {
			fmt.Fprintf(s.out, "%d messages: %d lost, %d doubled; round trip %.2f ms, %.0f messages/s\n", r.Sent, r.Lost, r.Doubled, r.Median, r.Rate)
			return r, r.check()
		}
	}
	return r, fmt.Errorf("the gateway measured nothing: %s", log.Bytes())
}

// check is an error when the channel did not keep its promise.
func (r channelResult) check() error {
	switch {
	case r.Sent == 0 || r.Wrong > 0:
		return fmt.Errorf("messages came back wrong: %+v", r)
	case r.Lost > 0 && r.Channel != "mqtt-0":
		return fmt.Errorf("%d messages were lost", r.Lost)
	case r.Doubled > 0 && r.Channel != "mqtt-1":
		return fmt.Errorf("%d messages came more than once", r.Doubled)
	}
	return nil
}

func channelsTable(results []channelResult) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "CHANNEL\tROUND TRIP\t99 % WITHIN\tMESSAGES/S\tLOST\tDOUBLED")
	for _, r := range results {
		fmt.Fprintf(w, "%s\t%.2f ms\t%.2f ms\t%.0f\t%d\t%d\n", r.Channel, r.Median, r.P99, r.Rate, r.Lost, r.Doubled)
	}
	_ = w.Flush()
	return b.String()
}
