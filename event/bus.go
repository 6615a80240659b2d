// Package event is the engine's bus of events: what happened to containers,
// images, networks and the daemon, in the form of the Engine API.
//
// Every message gets its time from the bus, and times strictly grow, so that a
// subscriber who comes back with "since the last time I saw" misses nothing that
// is still remembered and sees nothing twice. A publisher never waits for a
// subscriber: one that falls behind by more than its buffer is ended with
// ErrSlow, and may subscribe again with since.
package event

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/moby/moby/api/types/events"
)

// DefaultSize is the number of past messages a bus remembers when New is given
// none; Docker remembers as many.
const DefaultSize = 256

// backlog is how many messages a subscriber may be behind before it is ended.
const backlog = 4096

var (
	// ErrSlow ends the stream of a subscriber that did not keep up.
	ErrSlow = errors.New("event subscriber too slow: messages were dropped")
	// ErrClosed ends all streams when the bus is closed.
	ErrClosed = errors.New("event bus closed")
)

// Bus delivers messages to subscribers and remembers the last ones. Its methods
// may be called from several goroutines. A nil *Bus accepts and forgets.
type Bus struct {
	log    *slog.Logger
	mu     sync.Mutex
	past   []events.Message // ring, oldest at next once it is full
	next   int
	size   int
	last   int64 // time of the newest message, nanoseconds
	subs   map[*subscription]struct{}
	closed bool

	published uint64 // messages so far
}

type subscription struct {
	match func(events.Message) bool
	ch    chan events.Message
	err   error // set before ch is closed
}

// New makes a bus that remembers size messages (0: DefaultSize). log may be nil.
func New(size int, log *slog.Logger) *Bus {
	if size <= 0 {
		size = DefaultSize
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Bus{log: log, size: size, subs: map[*subscription]struct{}{}}
}

// Publish fills the message's time (now) and scope ("local", if it has none) and
// hands it to all subscribers. It never blocks. The caller gives up
// m.Actor.Attributes: it must not change the map afterwards.
func (b *Bus) Publish(m events.Message) {
	if b == nil {
		return
	}
	if m.Scope == "" {
		m.Scope = "local"
	}
	if m.Actor.Attributes == nil {
		m.Actor.Attributes = map[string]string{} // clients index it without asking
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return
	}
	b.published++
	b.last = max(time.Now().UnixNano(), b.last+1)
	m.TimeNano = b.last
	m.Time = m.TimeNano / int64(time.Second)
	if len(b.past) < b.size {
		b.past = append(b.past, m)
	} else {
		b.past[b.next] = m
		b.next = (b.next + 1) % b.size
	}
	for s := range b.subs {
		if s.match != nil && !s.match(m) {
			continue
		}
		select {
		case s.ch <- m:
		default:
			b.log.Warn("event subscriber dropped: too slow", "behind", len(s.ch))
			b.end(s, ErrSlow)
		}
	}
}

// Subscribe is registered when it returns: nothing published afterwards is
// missed. The sequence yields the remembered messages not older than since
// (zero: none of them), then new ones, until the time until (zero: no end; in
// the past: only what is remembered), the end of ctx, or an error, which is its
// last element: ErrSlow, ErrClosed. The end of ctx and of until are not errors.
// match nil takes everything; it is called by publishers and must be quick.
//
// The sequence is to be ranged over once; the subscription is released when the
// range or ctx ends.
func (b *Bus) Subscribe(ctx context.Context, since, until time.Time, match func(events.Message) bool) iter.Seq2[events.Message, error] {
	ended := func(m events.Message) bool {
		return !until.IsZero() && m.TimeNano > until.UnixNano()
	}
	s := &subscription{match: match, ch: make(chan events.Message, backlog)}
	b.mu.Lock()
	var replay []events.Message
	if !since.IsZero() {
		for _, m := range slices.Concat(b.past[b.next:], b.past[:b.next]) {
			if m.TimeNano >= since.UnixNano() && !ended(m) && (match == nil || match(m)) {
				replay = append(replay, m)
			}
		}
	}
	live := until.IsZero() || time.Now().Before(until)
	switch {
	case b.closed:
		s.err = ErrClosed
		close(s.ch)
	case !live:
		close(s.ch)
	default:
		b.subs[s] = struct{}{}
	}
	b.mu.Unlock()
	stop := context.AfterFunc(ctx, func() { b.drop(s) })

	return func(yield func(events.Message, error) bool) {
		defer b.drop(s)
		defer stop()
		for _, m := range replay {
			if !yield(m, nil) {
				return
			}
		}
		var deadline <-chan time.Time
		if live && !until.IsZero() {
			t := time.NewTimer(time.Until(until))
			defer t.Stop()
			deadline = t.C
		}
		for {
			select {
			case <-ctx.Done():
				return
			case <-deadline:
				b.drop(s) // what is in the buffer still belongs to the range
				deadline = nil
			case m, ok := <-s.ch:
				if !ok {
					if s.err != nil {
						yield(events.Message{}, s.err)
					}
					return
				}
				if ended(m) || !yield(m, nil) {
					return
				}
			}
		}
	}
}

// Published counts the messages so far.
func (b *Bus) Published() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.published
}

// Subscribers counts the live subscriptions, as /info reports them.
func (b *Bus) Subscribers() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.subs)
}

// Close ends every subscription with ErrClosed. Later messages are dropped.
func (b *Bus) Close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	for s := range b.subs {
		b.end(s, ErrClosed)
	}
}

func (b *Bus) drop(s *subscription) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.end(s, nil)
}

// end closes a subscription's channel once; the caller holds b.mu.
func (b *Bus) end(s *subscription, err error) {
	if _, ok := b.subs[s]; !ok {
		return
	}
	delete(b.subs, s)
	s.err = err
	close(s.ch)
}
