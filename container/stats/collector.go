package stats

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/moby/moby/api/types/container"
)

// Interval is the time between samples.
const Interval = time.Second

// ErrGone is what a Source returns when its container does not exist any more:
// who listens to it hears the end.
var ErrGone = errors.New("the container is gone")

// A Source tells what one container uses. Its methods may be called at the same
// time.
type Source interface {
	// Sample fills in what is used now; only the name, and no time, for a
	// container that does not run.
	Sample(*container.StatsResponse) error
	// Close gives back what the Source holds. Nobody needs a Sample any more.
	Close()
}

// A Collector takes the samples. Its zero value is ready.
type Collector struct {
	mu   sync.Mutex
	feed map[string]*feed // by container
	kick chan struct{}
	once sync.Once
}

// A feed is one container with those who listen.
type feed struct {
	source Source
	subs   map[*Subscription]struct{}
}

// A Subscription receives samples on C, which is closed when the container is
// gone, when its Source fails (Err) or when the Collector ends. What it receives
// is shared: it must not be changed.
type Subscription struct {
	C      chan *container.StatsResponse
	c      *Collector
	id     string
	joined time.Time // when it got its first sample
	closed bool
	err    error
}

// Err is why C was closed; nil for all ends but a failure.
func (s *Subscription) Err() error {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	return s.err
}

func (c *Collector) init() {
	c.once.Do(func() {
		c.feed = map[string]*feed{}
		c.kick = make(chan struct{}, 1)
	})
}

// Subscribe begins to listen to the container id. The first sample comes at
// once, the others with the Collector's clock: the second after half an
// interval at least and one and a half at most.
//
// open makes the Source if nobody listens to the container yet.
func (c *Collector) Subscribe(id string, open func() Source) *Subscription {
	c.init()
	s := &Subscription{C: make(chan *container.StatsResponse, 1), c: c, id: id}
	c.mu.Lock()
	defer c.mu.Unlock()
	f := c.feed[id]
	if f == nil {
		f = &feed{source: open(), subs: map[*Subscription]struct{}{}}
		c.feed[id] = f
	}
	f.subs[s] = struct{}{}
	select {
	case c.kick <- struct{}{}:
	default:
	}
	return s
}

// Close ends the subscription.
func (s *Subscription) Close() {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.end()
}

// end is Close under the lock.
func (s *Subscription) end() {
	if s.closed {
		return
	}
	s.closed = true
	close(s.C)
	f := s.c.feed[s.id]
	if delete(f.subs, s); len(f.subs) == 0 {
		delete(s.c.feed, s.id)
		f.source.Close()
	}
}

// offer replaces a sample that was not received yet.
func (s *Subscription) offer(sample *container.StatsResponse) {
	select {
	case <-s.C:
	default:
	}
	s.C <- sample
}

// Run takes samples until ctx ends. Without listeners it sleeps.
func (c *Collector) Run(ctx context.Context) {
	c.init()
	tick := time.NewTicker(Interval)
	defer tick.Stop()
	for {
		idle := c.round(time.Now(), false)
		var due <-chan time.Time
		if !idle {
			due = tick.C
		}
		select {
		case <-ctx.Done():
			c.endAll()
			return
		case <-c.kick:
			if idle {
				tick.Reset(Interval)
			}
		case now := <-due:
			c.round(now, true)
		}
	}
}

// round gives samples to new listeners, or to those whose turn it is. It
// returns whether nobody listens.
func (c *Collector) round(now time.Time, all bool) (idle bool) {
	c.mu.Lock()
	due := map[string]Source{}
	for id, f := range c.feed {
		for s := range f.subs {
			if s.wants(now, all) {
				due[id] = f.source
			}
		}
	}
	idle = len(c.feed) == 0
	c.mu.Unlock()
	if len(due) == 0 {
		return idle
	}
	// Without the lock: sources read files.
	host := readHost()
	for id, source := range due {
		sample := &container.StatsResponse{}
		err := source.Sample(sample)
		if !sample.Read.IsZero() {
			host.fill(sample)
		}
		c.deliver(id, sample, err, now, all)
	}
	return false
}

func (s *Subscription) wants(now time.Time, all bool) bool {
	if s.joined.IsZero() {
		return true
	}
	return all && now.Sub(s.joined) >= Interval/2
}

func (c *Collector) deliver(id string, sample *container.StatsResponse, err error, now time.Time, all bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := c.feed[id]
	if f == nil {
		return
	}
	for s := range f.subs {
		switch {
		case errors.Is(err, ErrGone):
			s.end()
		case err != nil:
			s.err = err
			s.end()
		case s.wants(now, all):
			if s.joined.IsZero() {
				s.joined = now
			}
			s.offer(sample)
		}
	}
}

func (c *Collector) endAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range c.feed {
		for s := range f.subs {
			s.end()
		}
	}
}

// Sample takes one sample now, for one who does not want to wait.
func Sample(source Source) (*container.StatsResponse, error) {
	s := &container.StatsResponse{}
	if err := source.Sample(s); err != nil {
		return nil, err
	}
	if !s.Read.IsZero() {
		readHost().fill(s)
	}
	return s, nil
}
