package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"time"

	"github.com/berth-engine/berth/sandbox/lifecycle"
)

func eventsVerb() *verb {
	var interval time.Duration
	var once bool
	return &verb{
		name: "events", args: "container-id", min: 1, max: 1,
		about: "tell of kills for want of memory, and of counters at intervals",
		flags: func(f *flag.FlagSet) {
			f.DurationVar(&interval, "interval", 5*time.Second, "the `time` between counters")
			f.BoolVar(&once, "stats", false, "print the counters once")
		},
		do: func(ctx context.Context, p *program, args []string) (int, error) {
			if interval <= 0 {
				return 1, errors.New("duration interval must be greater than 0")
			}
			out := json.NewEncoder(os.Stdout)
			if !once {
				return 0, p.root.Events(ctx, args[0], interval, func(e *lifecycle.Event) error { return out.Encode(e) })
			}
			e, err := p.root.Stats(args[0])
			if err != nil {
				return 1, err
			}
			return 0, out.Encode(e)
		},
	}
}
