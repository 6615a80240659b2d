package server

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/containerd/errdefs"

	"github.com/berth-engine/berth/api"
	"github.com/berth-engine/berth/trace"
)

// traced begins the trace of a request, if somebody wants it.
func (s *Server) traced(w *answer, r *request, op *operation) (end func(error)) {
	name := op.method + " " + op.path
	ctx, t := s.o.Traces.Begin(r.Context(), name)
	if t == nil {
		if r.Header.Get(api.TraceHeader) == "" {
			return func(error) {}
		}
		ctx, t = trace.New(ctx, name)
	}
	t.Parent = r.Header.Get("Traceparent")
	r.Request, w.trace = r.WithContext(ctx), t
	return func(err error) {
		t.Fail(err)
		t.Mark("write")
		s.o.Traces.End(t)
	}
}

// timing is a trace as the header Server-Timing has it (W3C Server Timing):
// durations are in milliseconds.
func timing(t *trace.Trace) string {
	var b strings.Builder
	for i, p := range t.Phases() {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%d;desc=%q;dur=%.3f", i+1, p.Name, milliseconds(p.Took))
	}
	return b.String()
}

func milliseconds(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }

// debugTrace answers where the time of the last requests went, and of the ends of
// containers.
func (s *Server) debugTrace(w http.ResponseWriter, _ *request) error {
	if s.o.Traces == nil {
		return errdefs.ErrNotFound.WithMessage("nothing is traced: start berthd with BERTH_TRACE=1 in its environment, or ask for one request with the header " + api.TraceHeader + ": 1")
	}
	out := []api.Trace{} // never null
	for _, t := range s.o.Traces.Last() {
		one := api.Trace{Name: t.Name, Began: t.Began, Milliseconds: milliseconds(t.Took()), Error: t.Failed(), Phases: []api.TracePhase{}}
		for _, p := range t.Phases() {
			one.Phases = append(one.Phases, api.TracePhase{Name: p.Name, At: milliseconds(p.At), Milliseconds: milliseconds(p.Took)})
		}
		out = append(out, one)
	}
	writeJSON(w, http.StatusOK, out)
	return nil
}
