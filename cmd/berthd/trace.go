package main

import (
	"context"
	"os"
	"strings"
	"time"

	"github.com/berth-engine/berth/trace"
	"github.com/berth-engine/berth/trace/otlp"
)

// lastTraces bounds how long a collector may take for what is left at the end.
const lastTraces = 3 * time.Second

// openTraces keeps traces if BERTH_TRACE is set, or if the environment names a
// collector of OpenTelemetry's, which gets them, too. Otherwise it returns nil,
// and nothing is traced.
func openTraces(ctx context.Context) (*trace.Recorder, func() error, error) {
	out, err := otlp.Open(ctx, strings.TrimPrefix(version, "v"))
	if err != nil {
		return nil, nil, err
	}
	switch on := os.Getenv("BERTH_TRACE"); {
	case out != nil:
		return trace.NewRecorder(out.Send), func() error {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastTraces)
			defer cancel()
			return out.Close(ctx)
		}, nil
	case on != "" && on != "0":
		return trace.NewRecorder(), func() error { return nil }, nil
	}
	return nil, func() error { return nil }, nil
}
