package account

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"

	"github.com/berth-engine/berth/hub/audit"
	"github.com/berth-engine/berth/hub/store"
	"github.com/containerd/errdefs"
)

// setupToken is the setting that holds the first-run token's hash.
const setupToken = "setup-token"

// digestOf is how secrets that the Hub made are stored.
func digestOf(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// FirstRun returns the token with which the first administrator is made: once,
// as long as the Hub has no users. A later call returns "", unless again asks
// for a new token in place of the one that was lost.
func (s *Service) FirstRun(ctx context.Context, again bool) (token string, err error) {
	err = s.db.Tx(ctx, func(tx *store.Tx) error {
		token = ""
		users, err := countUsers(ctx, tx)
		if err != nil || users > 0 {
			return err
		}
		var old string
		err = tx.QueryRow(ctx, "SELECT value FROM settings WHERE name = ?", setupToken).Scan(&old)
		if err == nil && !again {
			return nil
		}
		if err != nil && !errdefs.IsNotFound(err) {
			return err
		}
		token = store.NewID()
		_, err = tx.Exec(ctx, "INSERT INTO settings (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
			setupToken, digestOf(token))
		return err
	})
	return token, err
}

// NeedsSetup reports whether the first administrator is still to be made.
func (s *Service) NeedsSetup(ctx context.Context) (bool, error) {
	users, err := countUsers(ctx, s.db)
	return users == 0, err
}

func countUsers(ctx context.Context, q store.Querier) (n int64, err error) {
	return n, q.QueryRow(ctx, "SELECT count(*) FROM users").Scan(&n)
}

// Setup makes the first administrator for who has the first-run token, which
// then is used up.
func (s *Service) Setup(ctx context.Context, token string, n NewUser) (User, error) {
	n.Admin = true
	from := fromLimit(audit.Remote(ctx))
	if err := s.admit(ctx, from); err != nil {
		return User{}, err
	}
	u, err := s.create(ctx, act{action: "hub.setup", namespace: n.Name, target: n.Name}, n, func(tx *store.Tx) error {
		var hash string
		err := tx.QueryRow(ctx, "SELECT value FROM settings WHERE name = ?", setupToken).Scan(&hash)
		if err != nil && !errdefs.IsNotFound(err) {
			return err
		}
		users, err := countUsers(ctx, tx)
		if err != nil {
			return err
		}
		if users > 0 || subtle.ConstantTimeCompare([]byte(hash), []byte(digestOf(token))) != 1 {
			return fmt.Errorf("%w: this is not the first-run token, or the Hub is set up already", errdefs.ErrUnauthenticated)
		}
		_, err = tx.Exec(ctx, "DELETE FROM settings WHERE name = ?", setupToken)
		return err
	})
	if errdefs.IsUnauthorized(err) {
		if e := s.db.Tx(ctx, func(tx *store.Tx) error { return s.failed(ctx, tx, from) }); e != nil {
			return User{}, e
		}
	}
	return u, err
}
