// Package progress carries what a pull, push or load tells about itself to those
// who wait for it, in the messages of the Engine API.
package progress

import (
	"context"
	"sync"
	"time"

	"github.com/moby/moby/api/types/jsonstream"
	"github.com/opencontainers/go-digest"

	"github.com/berth-engine/berth/oci"
)

// minInterval is the least time between two counts for one layer.
const minInterval = 100 * time.Millisecond

// Stream carries messages from one piece of work to any number of listeners.
// The work never waits for a listener: counts that nobody has taken yet are replaced by
// newer ones, so a listener's backlog is bounded by the number of layers. One
// that comes later starts with the latest message of each layer.
type Stream struct {
	mu     sync.Mutex
	latest []jsonstream.Message // by ID in order of appearance; lines without ID all
	subs   map[*listener]struct{}
	done   bool
}

type listener struct {
	pending []jsonstream.Message
	wake    chan struct{}
}

// Send publishes a message. Counts (Progress.Current > 0) may get lost.
func (p *Stream) Send(m jsonstream.Message) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.latest = replace(p.latest, m, true)
	for l := range p.subs {
		l.pending = replace(l.pending, m, false)
		select {
		case l.wake <- struct{}{}:
		default:
		}
	}
}

// replace appends m, or puts it in the place of an older message about the same
// thing: any with its ID, or only the last one if both are counts of a kind.
func replace(list []jsonstream.Message, m jsonstream.Message, any bool) []jsonstream.Message {
	if m.ID != "" {
		for i := len(list) - 1; i >= 0; i-- {
			if list[i].ID != m.ID {
				continue
			}
			if any || list[i].Status == m.Status && isCount(list[i]) && isCount(m) {
				list[i] = m
				return list
			}
			break
		}
	}
	return append(list, m)
}

func isCount(m jsonstream.Message) bool { return m.Progress != nil && m.Progress.Current > 0 }

// Line publishes a message about the whole image.
func (p *Stream) Line(id, status string) {
	p.Send(jsonstream.Message{ID: id, Status: status})
}

// Once makes a function that publishes lines about the whole, each text once.
func (p *Stream) Once() func(text string) {
	var mu sync.Mutex
	told := map[string]bool{}
	return func(text string) {
		mu.Lock()
		defer mu.Unlock()
		if !told[text] {
			told[text] = true
			p.Line("", text)
		}
	}
}

// Layer publishes the state of a layer.
func (p *Stream) Layer(d digest.Digest, status string, count jsonstream.Progress) {
	p.Send(jsonstream.Message{ID: oci.ShortID(d), Status: status, Progress: &count})
}

// Close ends all calls of Follow after they have delivered everything.
func (p *Stream) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done = true
	for l := range p.subs {
		select {
		case l.wake <- struct{}{}:
		default:
		}
	}
}

// Follow calls f with each message, until Close or the end of ctx.
func (p *Stream) Follow(ctx context.Context, f func(jsonstream.Message)) error {
	l := &listener{wake: make(chan struct{}, 1)}
	l.wake <- struct{}{}
	p.mu.Lock()
	if p.subs == nil {
		p.subs = map[*listener]struct{}{}
	}
	p.subs[l] = struct{}{}
	l.pending = append(l.pending, p.latest...)
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		delete(p.subs, l)
		p.mu.Unlock()
	}()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-l.wake:
		}
		p.mu.Lock()
		list, done := l.pending, p.done
		l.pending = nil
		p.mu.Unlock()
		for _, m := range list {
			f(m)
		}
		if done {
			return nil
		}
	}
}

// Counter publishes a layer's growing count at most every minInterval.
type Counter struct {
	p      *Stream
	layer  digest.Digest
	status string
	total  int64
	mu     sync.Mutex
	next   time.Time
}

// Counter makes the counter of one layer, whose size is total bytes.
func (p *Stream) Counter(d digest.Digest, status string, total int64) *Counter {
	return &Counter{p: p, layer: d, status: status, total: total}
}

// At says that n bytes are done. The last count is never left out.
func (c *Counter) At(n int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); now.Before(c.next) && n < c.total {
		return
	} else {
		c.next = now.Add(minInterval)
	}
	c.p.Layer(c.layer, c.status, jsonstream.Progress{Current: n, Total: c.total})
}
