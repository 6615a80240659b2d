package front

import (
	"fmt"
	"math"
	"net/http"
	"sync"
	"time"

	"github.com/berth-engine/berth/hub/audit"
	"github.com/berth-engine/berth/hub/status"
	"github.com/containerd/errdefs"
	"golang.org/x/time/rate"
)

const (
	// burst is how many seconds' worth of requests may come at once: a push of
	// many layers is over before it is noticed.
	burst = 20
	// maxClients bounds what is remembered; whoever has their whole burst again is
	// forgotten first.
	maxClients = 100_000
)

// Limiter bounds how many requests one address sends (of IPv6 one /64, of which
// a client has all). It counts on this node.
type Limiter struct {
	perSecond float64
	now       func() time.Time

	mu      sync.Mutex
	clients map[string]*rate.Limiter
}

// NewLimiter makes a limiter of so many requests a second; 0 is no limit. A now
// of nil is time.Now.
func NewLimiter(perSecond float64, now func() time.Time) (*Limiter, error) {
	if perSecond < 0 || math.IsNaN(perSecond) || math.IsInf(perSecond, 0) {
		return nil, fmt.Errorf("a rate of %v requests a second: give a number that is 0 (no limit) or more: %w", perSecond, errdefs.ErrInvalidArgument)
	}
	if now == nil {
		now = time.Now
	}
	return &Limiter{perSecond: perSecond, now: now, clients: map[string]*rate.Limiter{}}, nil
}

// Slow is the error of who asks too often. Its kind is
// errdefs.ErrResourceExhausted.
type Slow struct{ until time.Time }

func (Slow) Error() string { return "too many requests from this address" }

// RetryAt is when one request is let past again.
func (s Slow) RetryAt() time.Time { return s.until }

// Unwrap gives the kind.
func (Slow) Unwrap() error { return errdefs.ErrResourceExhausted }

// Admit counts a request from an address, or returns Slow.
func (l *Limiter) Admit(remote string) error {
	if l.perSecond == 0 {
		return nil
	}
	at, key := l.now(), audit.Network(remote)
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.clients[key]
	if c == nil {
		if len(l.clients) >= maxClients {
			l.forget(at)
		}
		c = rate.NewLimiter(rate.Limit(l.perSecond), max(1, int(l.perSecond*burst)))
		l.clients[key] = c
	}
	if c.AllowN(at, 1) {
		return nil
	}
	return Slow{at.Add(time.Duration((1 - c.TokensAt(at)) / l.perSecond * float64(time.Second)))}
}

// forget drops who has all of their burst; when that is nobody, everybody: to
// remember more would be the attack. l.mu is held.
func (l *Limiter) forget(at time.Time) {
	for key, c := range l.clients {
		if c.TokensAt(at) >= float64(c.Burst()) {
			delete(l.clients, key)
		}
	}
	if len(l.clients) >= maxClients {
		clear(l.clients)
	}
}

// Limit answers who asks too often by 429 with Retry-After. exempt are requests
// that are not counted.
func (l *Limiter) Limit(next http.Handler, exempt func(*http.Request) bool, refuse func(http.ResponseWriter, *http.Request, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !exempt(r) {
			if err := l.Admit(audit.Remote(r.Context())); err != nil {
				status.Retry(w.Header(), err)
				refuse(w, r, err)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}
