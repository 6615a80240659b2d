package trace

import (
	"context"
	"slices"
	"sync"
)

// kept is how many traces a Recorder remembers.
const kept = 256

// Recorder keeps the last traces. A nil one begins none.
type Recorder struct {
	sinks []func(*Trace)

	mu   sync.Mutex
	past []*Trace // ring, the oldest at next once it is full
	next int
}

// NewRecorder makes one that also gives each trace that ends to sinks, which must
// not wait.
func NewRecorder(sinks ...func(*Trace)) *Recorder { return &Recorder{sinks: sinks} }

// Begin begins a trace, unless r is nil.
func (r *Recorder) Begin(ctx context.Context, name string) (context.Context, *Trace) {
	if r == nil {
		return ctx, nil
	}
	return New(ctx, name)
}

// End takes in a trace whose work is over.
func (r *Recorder) End(t *Trace) {
	if r == nil || t == nil {
		return
	}
	r.mu.Lock()
	if len(r.past) < kept {
		r.past = append(r.past, t)
	} else {
		r.past[r.next] = t
		r.next = (r.next + 1) % kept
	}
	r.mu.Unlock()
	for _, sink := range r.sinks {
		sink(t)
	}
}

// Last are the traces that are remembered, the oldest first.
func (r *Recorder) Last() []*Trace {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Concat(r.past[r.next:], r.past[:r.next])
}
