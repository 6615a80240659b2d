package api

import "time"

// TraceHeader asks a daemon to tell where the time of this request goes, if it has
// any value. The answer comes with TimingHeader.
const TraceHeader = "Berth-Trace"

// TimingHeader of an answer lists the phases of the request up to then, in order:
// 1;desc="resolve and validate";dur=0.021, … in milliseconds.
const TimingHeader = "Server-Timing"

// Trace is an element of the answer to GET /debug/trace: a request, or something
// that the daemon did by itself.
type Trace struct {
	Name         string // such as "POST /containers/{id}/start", "container exit"
	Began        time.Time
	Milliseconds float64
	Error        string       `json:",omitempty"`
	Phases       []TracePhase // in order, without gaps
}

// TracePhase is a part of it.
type TracePhase struct {
	Name         string
	At           float64 // milliseconds since Began
	Milliseconds float64
}
