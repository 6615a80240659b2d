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

	"github.com/berth-engine/berth/test/measured"
)

// channelKinds are the channels of examples/channels, in the order of the page.
var channelKinds = []string{"tcp", "http", "http-close", "files-inotify", "files-poll", "database", "mqtt-0", "mqtt-1", "mqtt-2"}

// channelResult is the line that the example's gateway prints.
type channelResult struct {
	Channel string    `json:"channel"`
	Sent    int       `json:"sent"`
	Lost    int       `json:"lost"`
	Doubled int       `json:"doubled"`
	Wrong   int       `json:"wrong"`
	Trips   []float64 `json:"round_trips_ms"` // one message at a time
	Many    int       `json:"many"`           // messages, some of them under way at the same time
	Took    float64   `json:"many_ms"`        // and how long they took
}

// median is of the round trips, in milliseconds.
func (r channelResult) median() float64 { return measured.Within(r.Trips, 0.5) }

// rate is how many messages went around in a second.
func (r channelResult) rate() float64 {
	if r.Took == 0 {
		return 0
	}
	return float64(r.Many) * 1000 / r.Took
}

// channelsFile is what was measured, for the page.
type channelsFile struct {
	measured.About
	Results []channelResult `json:"results"`
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
	kept := channelsFile{About: measured.Here("make demo-channels DEMOARGS=-plot")}
	for _, kind := range channelKinds {
		s.heading("Five services by " + kind)
		r, err := s.channelsMeasure(ctx, kind)
		if err != nil {
			return fmt.Errorf("%s: %w", kind, err)
		}
		kept.Results = append(kept.Results, r)
	}
	s.heading("What they measured")
	fmt.Fprint(s.out, channelsTable(kept.Results))
	return s.keep("channels", kept)
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
			fmt.Fprintf(s.out, "%d messages: %d lost, %d doubled; round trip %.2f ms, %.0f messages/s\n", r.Sent, r.Lost, r.Doubled, r.median(), r.rate())
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
		fmt.Fprintf(w, "%s\t%.2f ms\t%.2f ms\t%.0f\t%d\t%d\n", r.Channel, r.median(), measured.Within(r.Trips, 0.99), r.rate(), r.Lost, r.Doubled)
	}
	_ = w.Flush()
	return b.String()
}
