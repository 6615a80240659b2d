package server

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/berth-engine/berth/api"
	"github.com/berth-engine/berth/trace"
)

func ask(s *Server, method, path string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, nil)
	r.Host = "localhost"
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

// TestTraceOfOneRequest: who asks with a request is told with its answer, and
// nobody else.
func TestTraceOfOneRequest(t *testing.T) {
	s := New(Options{})
	if got := ask(s, http.MethodGet, "/_ping").Header().Get(api.TimingHeader); got != "" {
		t.Errorf("without asking: %q", got)
	}
	got := ask(s, http.MethodGet, "/_ping", api.TraceHeader, "1").Header().Get(api.TimingHeader)
	if !strings.HasPrefix(got, `1;desc="answer";dur=`) {
		t.Errorf("%q", got)
	}
	if w := ask(s, http.MethodGet, "/debug/trace"); w.Code != http.StatusNotFound || !strings.Contains(w.Body.String(), "BERTH_TRACE=1") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// TestTraces: a daemon that traces lists requests with their phases, errors too.
func TestTraces(t *testing.T) {
	s := New(Options{Traces: trace.NewRecorder()})
	ask(s, http.MethodGet, "/_ping")
	ask(s, http.MethodGet, "/debug/nothing")                    // no operation
	ask(s, http.MethodPost, "/swarm/leave", "Traceparent", "x") // refused
	var got []api.Trace
	w := ask(s, http.MethodGet, "/debug/trace")
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Log(w.Body)
		t.Fatal(err)
	}
	if len(got) != 2 || got[0].Name != "GET /_ping" || got[1].Name != "POST /swarm/leave" || got[1].Error == "" || got[0].Error != "" {
		t.Fatalf("%+v", got)
	}
	sum := 0.0
	for _, p := range got[0].Phases {
		sum += p.Milliseconds
	}
	if diff := sum - got[0].Milliseconds; diff > 0.001 || diff < -0.001 {
		t.Errorf("phases of %f ms in a trace of %f ms", sum, got[0].Milliseconds)
	}
}
