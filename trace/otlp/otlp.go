// Package otlp sends traces to a collector by OpenTelemetry's protocol, as the
// environment says (OTEL_EXPORTER_OTLP_ENDPOINT and its kind:
// https://opentelemetry.io/docs/specs/otel/protocol/exporter/). Each trace is a
// span, its phases are spans below that.
package otlp

import (
	"context"
	"fmt"
	"os"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	spans "go.opentelemetry.io/otel/trace"

	"github.com/berth-engine/berth/trace"
)

// Exporter sends what it is given in the background, in groups. What a collector
// does not take in time is dropped.
type Exporter struct {
	provider *sdk.TracerProvider
	tracer   spans.Tracer
}

// Open makes an exporter, if the environment names a collector; nil: it does not.
// It does not wait for the collector.
func Open(ctx context.Context, version string) (*Exporter, error) {
	client, err := client(os.Getenv)
	if client == nil || err != nil {
		return nil, err
	}
	out, err := otlptrace.New(ctx, client)
	if err != nil {
		return nil, fmt.Errorf("OpenTelemetry: %w", err)
	}
	about, err := resource.New(ctx,
		resource.WithAttributes(attribute.String("service.name", "berthd"), attribute.String("service.version", version)),
		resource.WithHost(), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("OpenTelemetry: %w", err)
	}
	p := sdk.NewTracerProvider(sdk.WithBatcher(out), sdk.WithResource(about))
	return &Exporter{p, p.Tracer("github.com/berth-engine/berth")}, nil
}

// client is what the environment names; nil: nothing.
func client(getenv func(string) string) (otlptrace.Client, error) {
	first := func(names ...string) string {
		for _, n := range names {
			if v := getenv(n); v != "" {
				return v
			}
		}
		return ""
	}
	endpoint := first("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
	exporter := getenv("OTEL_TRACES_EXPORTER")
	if strings.EqualFold(getenv("OTEL_SDK_DISABLED"), "true") || exporter == "none" || endpoint == "" && exporter != "otlp" {
		return nil, nil
	}
	if exporter != "" && exporter != "otlp" {
		return nil, fmt.Errorf("OTEL_TRACES_EXPORTER=%s: it is otlp or none", exporter)
	}
	switch protocol := first("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"); protocol {
	case "", "http/protobuf":
		return otlptracehttp.NewClient(), nil
	case "grpc":
		return otlptracegrpc.NewClient(), nil
	default:
		return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_PROTOCOL=%s: it is http/protobuf or grpc", protocol)
	}
}

// Send takes a trace that has ended.
func (e *Exporter) Send(t *trace.Trace) {
	ctx := propagation.TraceContext{}.Extract(context.Background(), propagation.MapCarrier{"traceparent": t.Parent})
	kind := spans.SpanKindInternal
	if t.Parent != "" || strings.Contains(t.Name, " /") {
		kind = spans.SpanKindServer
	}
	ctx, all := e.tracer.Start(ctx, t.Name, spans.WithTimestamp(t.Began), spans.WithSpanKind(kind))
	for _, p := range t.Phases() {
		begin := t.Began.Add(p.At)
		_, one := e.tracer.Start(ctx, p.Name, spans.WithTimestamp(begin))
		one.End(spans.WithTimestamp(begin.Add(p.Took)))
	}
	if text := t.Failed(); text != "" {
		all.SetStatus(codes.Error, text)
	}
	all.End(spans.WithTimestamp(t.Began.Add(t.Took())))
}

// Close sends what is left.
func (e *Exporter) Close(ctx context.Context) error { return e.provider.Shutdown(ctx) }
