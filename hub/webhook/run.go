package webhook

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/berth-engine/berth/hub/outbound"
	"github.com/berth-engine/berth/hub/store"
	"github.com/containerd/errdefs"
)

const (
	// workers bounds how many receivers are called at once, one call a webhook.
	workers = 8
	// timeout bounds one call, from connecting to the end of the answer.
	timeout = 15 * time.Second
	// lease is how long a delivery belongs to a node that took it in hand; a
	// node that was killed is not waited for any longer.
	lease = 2 * timeout
	// poll is how often the database is asked for what another node wrote.
	poll = 15 * time.Second
	// maxAnswer is how much of an answer is kept.
	maxAnswer = 4 << 10
	// keep is how long deliveries that ended are remembered.
	keep = 30 * 24 * time.Hour
)

// Poke says that there may be something to deliver.
func (s *Service) Poke() {
	select {
	case s.wake <- struct{}{}:
	default: // it will look
	}
}

// due is a delivery whose time has come.
type due struct {
	id, event, body string
	attempts        int
	hook            Hook
}

// Run delivers until ctx ends, and returns when the calls under way ended, too.
func (s *Service) Run(ctx context.Context) error {
	transport := s.Policy.Transport()
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, CheckRedirect: outbound.NoRedirect, Timeout: timeout}
	var calls sync.WaitGroup
	defer calls.Wait()
	busy := map[string]bool{} // webhooks that are being called
	ended := make(chan string, workers)
	var pruned time.Time
	for ctx.Err() == nil {
		if time.Since(pruned) > time.Hour {
			pruned = time.Now()
			s.prune(ctx)
		}
		wait := poll
		if len(busy) < workers {
			list, err := s.due(ctx)
			if err != nil && ctx.Err() == nil {
				s.Log.Error("webhook: read what is due", "error", err)
			}
			for _, d := range list {
				if len(busy) == workers {
					break
				}
				if busy[d.hook.ID] || !s.claim(ctx, d.id) {
					continue
				}
				busy[d.hook.ID] = true
				calls.Go(func() { s.deliver(ctx, client, d); ended <- d.hook.ID })
			}
			wait = s.next(ctx)
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-s.wake:
		case hook := <-ended:
			delete(busy, hook)
		}
		timer.Stop()
	}
	return nil
}

// due lists the oldest due deliveries of each webhook first come.
func (s *Service) due(ctx context.Context) ([]due, error) {
	at := now().Unix()
	rows, err := s.DB.Query(ctx, `SELECT d.id, d.event, d.body, d.attempts, h.id, h.owner, h.url, h.events, h.secret, h.active, h.created
		FROM webhook_deliveries d JOIN webhooks h ON h.id = d.webhook
		WHERE d.state = ? AND d.next <= ? AND d.claimed <= ? AND h.active = 1 AND NOT EXISTS (
			SELECT 1 FROM webhook_deliveries e WHERE e.webhook = d.webhook AND e.state = ? AND e.next <= ?
				AND (e.next < d.next OR e.next = d.next AND e.id < d.id))
		ORDER BY d.next LIMIT 64`, Pending, at, at, Pending, at)
	return store.Collect(rows, err, func(row store.Scanner) (d due, err error) {
		d.hook, err = scan(scanFunc(func(dest ...any) error {
			return row.Scan(append([]any{&d.id, &d.event, &d.body, &d.attempts}, dest...)...)
		}))
		return d, err
	})
}

type scanFunc func(dest ...any) error

func (f scanFunc) Scan(dest ...any) error { return f(dest...) }

// claim takes a delivery in hand unless another node has it.
func (s *Service) claim(ctx context.Context, id string) bool {
	at := now()
	n, err := s.DB.Exec(ctx, "UPDATE webhook_deliveries SET claimed = ? WHERE id = ? AND state = ? AND next <= ? AND claimed <= ?",
		at.Add(lease).Unix(), id, Pending, at.Unix(), at.Unix())
	if err != nil && ctx.Err() == nil {
		s.Log.Error("webhook: claim a delivery", "delivery", id, "error", err)
	}
	return n == 1
}

// next is how long nothing is to do, poll at most.
func (s *Service) next(ctx context.Context) time.Duration {
	var at int64
	err := s.DB.QueryRow(ctx, `SELECT CASE WHEN d.next > d.claimed THEN d.next ELSE d.claimed END FROM webhook_deliveries d JOIN webhooks h ON h.id = d.webhook
		WHERE d.state = ? AND h.active = 1 AND (d.next > ? OR d.claimed > ?) ORDER BY 1 LIMIT 1`, Pending, now().Unix(), now().Unix()).Scan(&at)
	if err != nil {
		return poll // nothing, or the database will say so again
	}
	return min(poll, max(time.Until(time.Unix(at, 0)), 0)+time.Millisecond)
}

// deliver makes one attempt and writes down how it went.
func (s *Service) deliver(ctx context.Context, client *http.Client, d due) {
	started := time.Now()
	a := Attempt{Number: d.attempts + 1, Started: started}
	after, err := s.call(ctx, client, d, &a)
	if ctx.Err() != nil {
		after, a.Error = 0, "the Hub was stopped meanwhile"
	} else if err != nil {
		a.Error = err.Error()
	}
	a.Millis = time.Since(started).Milliseconds()
	state, next := Delivered, now()
	if a.Error != "" {
		state, next = s.later(a.Number, after)
	}
	// The Hub that is stopped writes down what it did, too.
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	err = s.DB.Tx(bounded, func(tx *store.Tx) error {
		n, err := tx.Exec(bounded, "UPDATE webhook_deliveries SET state = ?, attempts = ?, next = ?, claimed = 0 WHERE id = ? AND attempts = ?",
			state, a.Number, next.Unix(), d.id, d.attempts)
		if err != nil || n == 0 {
			return err // the webhook was removed, or another node was faster
		}
		_, err = tx.Exec(bounded, "INSERT INTO webhook_attempts (delivery, number, started, millis, status, answer, error) VALUES (?, ?, ?, ?, ?, ?, ?)",
			d.id, a.Number, a.Started.Unix(), a.Millis, a.Status, a.Answer, a.Error)
		return err
	})
	if err != nil {
		s.Log.Error("webhook: write down an attempt", "delivery", d.id, "error", err)
	}
}

// later says what becomes of a delivery whose attempt number n failed. after
// is what the receiver asked for, or 0.
func (s *Service) later(n int, after time.Duration) (string, time.Time) {
	if n > len(s.Pauses) {
		return Failed, now()
	}
	pause := s.Pauses[n-1]
	pause += rand.N(pause/5 + 1) //nolint:gosec // so that not all come at once
	return Pending, now().Add(max(pause, after))
}

// call sends the event. An answer other than 2xx is an error; a receiver that
// asks for patience says how long.
func (s *Service) call(ctx context.Context, client *http.Client, d due, a *Attempt) (time.Duration, error) {
	secret, err := s.Key.Open(purpose(d.hook.ID), d.hook.secret)
	if err != nil {
		return 0, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, d.hook.URL, strings.NewReader(d.body))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "berth-hub")
	req.Header.Set("X-Berth-Event", d.event)
	req.Header.Set("X-Berth-Delivery", d.id)
	req.Header.Set("X-Berth-Attempt", strconv.Itoa(a.Number))
	req.Header.Set(SignatureHeader, Sign(secret, []byte(d.body)))
	resp, err := client.Do(req)
	if err != nil {
		return 0, reason(err)
	}
	defer resp.Body.Close()
	a.Status = resp.StatusCode
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	a.Answer = string(bytes.ReplaceAll(bytes.ToValidUTF8(body, []byte("\uFFFD")), []byte{0}, nil)) // PostgreSQL keeps no NUL
	if err != nil {
		return 0, fmt.Errorf("read the answer: %w", err)
	}
	if resp.StatusCode/100 == 2 {
		return 0, nil
	}
	return outbound.RetryAfter(resp.Header, time.Now(), 24*time.Hour), fmt.Errorf("the receiver answered %s", resp.Status)
}

// reason is what a webhook's owner may know of why there was no answer: nothing
// about the Hub's own network.
func reason(err error) error {
	var unknown *net.DNSError
	var wrapped *url.Error
	switch {
	case errors.Is(err, errdefs.ErrPermissionDenied):
		return errors.New("refused: the address is not a public one")
	case errors.As(err, &unknown):
		return fmt.Errorf("the name %q was not found", unknown.Name)
	case errors.As(err, &wrapped) && wrapped.Timeout():
		return fmt.Errorf("no answer within %s", timeout)
	case errors.Is(err, syscall.ECONNREFUSED):
		return errors.New("the connection was refused")
	case errors.As(err, &wrapped):
		return wrapped.Err
	}
	return err
}

// prune forgets what ended long ago.
func (s *Service) prune(ctx context.Context) {
	if _, err := s.DB.Exec(ctx, "DELETE FROM webhook_deliveries WHERE state <> ? AND created < ?", Pending, now().Add(-keep).Unix()); err != nil && ctx.Err() == nil {
		s.Log.Error("webhook: forget old deliveries", "error", err)
	}
}
