package otlp

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/berth-engine/berth/trace"
)

// TestSend has a collector of its own hear of a trace with two phases that
// belongs to a caller's.
func TestSend(t *testing.T) {
	got := make(chan *collector.ExportTraceServiceRequest, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		req := new(collector.ExportTraceServiceRequest)
		if err == nil {
			err = proto.Unmarshal(body, req)
		}
		if err != nil || r.URL.Path != "/v1/traces" {
			t.Errorf("%s: %v", r.URL.Path, err)
		}
		got <- req
	}))
	defer srv.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", srv.URL)
	e, err := Open(t.Context(), "1.2.3")
	if err != nil || e == nil {
		t.Fatal(e, err)
	}
	_, begun := trace.New(t.Context(), "POST /containers/{id}/start")
	begun.Parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	begun.Mark("network")
	begun.Mark("sandbox")
	e.Send(begun)
	if err := e.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	sent := (<-got).ResourceSpans[0].ScopeSpans[0].Spans
	names := map[string]bool{}
	for _, s := range sent {
		names[s.Name] = true
		if id := s.TraceId; len(id) != 16 || id[0] != 0x0a || id[15] != 0x9c {
			t.Errorf("span %s is of trace %x", s.Name, id)
		}
	}
	if len(sent) != 3 || !names["network"] || !names["sandbox"] || !names["POST /containers/{id}/start"] {
		t.Errorf("spans %v", names)
	}
}

func TestClientOfEnvironment(t *testing.T) {
	for _, c := range []struct {
		env       map[string]string
		want, bad bool
	}{
		{nil, false, false},
		{map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}, true, false},
		{map[string]string{"OTEL_TRACES_EXPORTER": "otlp"}, true, false},
		{map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_TRACES_EXPORTER": "none"}, false, false},
		{map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "true"}, false, false},
		{map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, true, false},
		{map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"}, false, true},
		{map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_TRACES_EXPORTER": "zipkin"}, false, true},
	} {
		got, err := client(func(name string) string { return c.env[name] })
		if (got != nil) != c.want || (err != nil) != c.bad {
			t.Errorf("%v: %v, %v", c.env, got, err)
		}
	}
}
