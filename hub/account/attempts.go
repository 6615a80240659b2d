package account

import (
	"context"
	"fmt"
	"time"

	"github.com/berth-engine/berth/hub/audit"
	"github.com/berth-engine/berth/hub/store"
	"github.com/containerd/errdefs"
)

// Limited says that somebody tried too often. Its kind is
// errdefs.ErrResourceExhausted.
type Limited struct{ Until time.Time }

func (e *Limited) Error() string {
	return fmt.Sprintf("too many attempts: try again after %s", e.Until.UTC().Format(time.RFC3339))
}

// RetryAt is Until, for the answer's Retry-After.
func (e *Limited) RetryAt() time.Time { return e.Until }

// Unwrap gives the kind.
func (e *Limited) Unwrap() error { return errdefs.ErrResourceExhausted }

// forget is how long after the last failure the count starts anew.
const forget = time.Hour

// limit is how many failures one key may have before it is locked.
type limit struct {
	key      string
	failures int64
	lock     time.Duration // doubled with each further failure …
	most     time.Duration // … up to this
}

// limits of a sign-in. An account is soon locked against one address and late
// against all, so that a stranger cannot easily lock its owner out; an address
// is locked that tries many accounts.
func limits(name, remote string) []limit {
	from := audit.Network(remote)
	return []limit{
		{"pair " + name + " " + from, 5, 30 * time.Second, time.Hour},
		{"name " + name, 50, 15 * time.Minute, 15 * time.Minute},
		{"from " + from, 100, 15 * time.Minute, 15 * time.Minute},
	}
}

// fromLimit bounds an address alone: for secrets that nobody guesses.
func fromLimit(remote string) []limit {
	return []limit{{"from " + audit.Network(remote), 100, 15 * time.Minute, 15 * time.Minute}}
}

// admit returns Limited when one of the keys is locked.
func (s *Service) admit(ctx context.Context, all []limit) error {
	for _, l := range all {
		var until int64
		err := s.db.QueryRow(ctx, "SELECT until FROM attempts WHERE key = ?", l.key).Scan(&until)
		if err != nil && !errdefs.IsNotFound(err) {
			return err
		}
		if until > s.now().Unix() {
			return &Limited{Until: time.Unix(until, 0)}
		}
	}
	return nil
}

// failed counts a failure of each key, in a transaction.
func (s *Service) failed(ctx context.Context, tx *store.Tx, all []limit) error {
	now := s.now()
	for _, l := range all {
		var failures, last int64
		err := tx.QueryRow(ctx, "SELECT failures, last FROM attempts WHERE key = ?", l.key).Scan(&failures, &last)
		if err != nil && !errdefs.IsNotFound(err) {
			return err
		}
		if now.Unix()-last > int64(forget/time.Second) {
			failures = 0
		}
		failures++
		var until int64
		if over := failures - l.failures; over >= 0 {
			lock := l.most
			if over < 16 {
				lock = min(l.most, l.lock<<over)
			}
			until = now.Add(lock).Unix()
		}
		_, err = tx.Exec(ctx, `INSERT INTO attempts (key, failures, last, until) VALUES (?, ?, ?, ?)
			ON CONFLICT (key) DO UPDATE SET failures = excluded.failures, last = excluded.last, until = excluded.until`,
			l.key, failures, now.Unix(), until)
		if err != nil {
			return err
		}
	}
	_, err := tx.Exec(ctx, "DELETE FROM attempts WHERE last < ? AND until < ?", now.Add(-forget).Unix(), now.Unix())
	return err
}

// succeeded forgets the failures of an account; those of the address stay.
func (s *Service) succeeded(ctx context.Context, name, remote string) error {
	keys := limits(name, remote)
	var there int64
	err := s.db.QueryRow(ctx, "SELECT count(*) FROM attempts WHERE key IN (?, ?)", keys[0].key, keys[1].key).Scan(&there)
	if err != nil || there == 0 {
		return err // reading is cheap, writing waits for the disk
	}
	_, err = s.db.Exec(ctx, "DELETE FROM attempts WHERE key IN (?, ?)", keys[0].key, keys[1].key)
	return err
}
