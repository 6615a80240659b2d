// Package trace tells where the time of something goes: of a request of the API,
// of the end of a container.
//
// A Trace is carried by the context. Whoever does the work marks the end of each
// phase; a phase begins where the one before has ended, so that all time is in
// some phase. Without a trace in the context a mark is one comparison, and
// nothing is allocated.
package trace

import (
	"context"
	"sync"
	"time"
)

// Trace is what is known of one piece of work. Its methods may be called at the
// same time, and of nil, which forgets everything.
type Trace struct {
	// Name says what is done: "POST /containers/{id}/start", "container exit".
	Name string
	// Parent is the caller's own trace, as the header Traceparent of W3C's Trace
	// Context has it; "": there is none.
	Parent string
	Began  time.Time

	mu     sync.Mutex
	last   time.Time // the end of the last phase
	phases []Phase
	failed string
}

// Phase is a part of the work.
type Phase struct {
	Name string
	At   time.Duration // since the beginning of the trace
	Took time.Duration
}

type key struct{}

// New begins a trace and returns a context that carries it.
func New(ctx context.Context, name string) (context.Context, *Trace) {
	now := time.Now()
	t := &Trace{Name: name, Began: now, last: now, phases: make([]Phase, 0, 32)}
	return context.WithValue(ctx, key{}, t), t
}

// From is the context's trace; nil: there is none.
func From(ctx context.Context) *Trace {
	t, _ := ctx.Value(key{}).(*Trace)
	return t
}

// Mark ends a phase.
func (t *Trace) Mark(name string) {
	if t == nil {
		return
	}
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.phases = append(t.phases, Phase{name, t.last.Sub(t.Began), now.Sub(t.last)})
	t.last = now
}

// Fail notes why the work was not done; nil: it was.
func (t *Trace) Fail(err error) {
	if t == nil || err == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failed = err.Error()
}

// Phases are those that have ended so far, in order.
func (t *Trace) Phases() []Phase {
	if t == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.phases[:len(t.phases):len(t.phases)]
}

// Took is the time from the beginning to the end of the last phase.
func (t *Trace) Took() time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.last.Sub(t.Began)
}

// Failed is what Fail noted.
func (t *Trace) Failed() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.failed
}
