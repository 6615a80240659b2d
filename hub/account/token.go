package account

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/berth-engine/berth/hub/store"
	"github.com/containerd/errdefs"
)

// Token is a personal access token, without its secret.
type Token struct {
	ID      string    `json:"id"`
	Name    string    `json:"name"`
	Scopes  []Scope   `json:"scopes"`
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires,omitzero"` // zero is never
	Used    time.Time `json:"used,omitzero"`    // to the minute; zero is never
}

// NewToken is what is asked for.
type NewToken struct {
	Name    string
	Scopes  []Scope
	Expires time.Time // zero is never
}

// maxTokens is how many access tokens a user may have.
const maxTokens = 100

// CreateToken makes an access token for who asks, who must have signed in with
// their password. The secret is returned this once.
func (s *Service) CreateToken(ctx context.Context, by Principal, n NewToken) (t Token, secret string, err error) {
	if n.Name = strings.TrimSpace(n.Name); n.Name == "" || len(n.Name) > 100 {
		return Token{}, "", fmt.Errorf("%w: give the token a name of at most 100 bytes that says what it is for", errdefs.ErrInvalidArgument)
	}
	if len(n.Scopes) == 0 {
		return Token{}, "", fmt.Errorf("%w: choose what the token may do", errdefs.ErrInvalidArgument)
	}
	for _, scope := range n.Scopes {
		if !slices.Contains(Scopes, scope) {
			return Token{}, "", fmt.Errorf("%w: there is no scope %q; there are: %s", errdefs.ErrInvalidArgument, scope, joinScopes(Scopes))
		}
	}
	if !n.Expires.IsZero() && !n.Expires.After(s.now()) {
		return Token{}, "", fmt.Errorf("%w: the token would have expired already", errdefs.ErrInvalidArgument)
	}
	secret = tokenPrefix + store.NewID()
	t = Token{ID: store.NewID(), Name: n.Name, Scopes: n.Scopes, Created: s.now(), Expires: n.Expires}
	err = s.do(ctx, act{by: by, action: "token.create", namespace: by.Name, target: n.Name, detail: joinScopes(n.Scopes)}, func(tx *store.Tx) error {
		if err := needSelf(by); err != nil {
			return err
		}
		var all, same int64
		if err := tx.QueryRow(ctx, "SELECT count(*), coalesce(sum(CASE WHEN name = ? THEN 1 ELSE 0 END), 0) FROM access_tokens WHERE user_id = ?", n.Name, by.ID).Scan(&all, &same); err != nil {
			return err
		}
		switch {
		case same > 0:
			return fmt.Errorf("%w: there is a token %q", errdefs.ErrAlreadyExists, n.Name)
		case all >= maxTokens:
			return fmt.Errorf("%w: an account may have %d tokens", errdefs.ErrResourceExhausted, maxTokens)
		}
		_, err := tx.Exec(ctx, "INSERT INTO access_tokens (id, user_id, name, hash, scopes, created, expires) VALUES (?, ?, ?, ?, ?, ?, ?)",
			t.ID, by.ID, t.Name, digestOf(secret), joinScopes(t.Scopes), t.Created.Unix(), seconds(t.Expires))
		return err
	})
	if err != nil {
		return Token{}, "", err
	}
	return t, secret, nil
}

// seconds is how a time that may be missing is stored.
func seconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

func moment(seconds int64) time.Time {
	if seconds == 0 {
		return time.Time{}
	}
	return time.Unix(seconds, 0).UTC()
}

// Tokens lists the access tokens of who asks, by name.
func (s *Service) Tokens(ctx context.Context, by Principal) ([]Token, error) {
	if err := needSelf(by); err != nil {
		return nil, err
	}
	rows, err := s.db.Query(ctx, "SELECT id, name, scopes, created, expires, used FROM access_tokens WHERE user_id = ? ORDER BY name", by.ID)
	return store.Collect(rows, err, func(s store.Scanner) (t Token, err error) {
		var scopes string
		var created, expires, used int64
		err = s.Scan(&t.ID, &t.Name, &scopes, &created, &expires, &used)
		t.Scopes, t.Created, t.Expires, t.Used = splitScopes(scopes), moment(created), moment(expires), moment(used)
		return t, err
	})
}

// RevokeToken ends an access token of who asks, at once.
func (s *Service) RevokeToken(ctx context.Context, by Principal, id string) error {
	return s.do(ctx, act{by: by, action: "token.revoke", namespace: by.Name, target: id}, func(tx *store.Tx) error {
		if err := needSelf(by); err != nil {
			return err
		}
		n, err := tx.Exec(ctx, "DELETE FROM access_tokens WHERE id = ? AND user_id = ?", id, by.ID)
		if err == nil && n == 0 {
			return notFound("token", id)
		}
		return err
	})
}

// userByToken finds who a token belongs to; a name must be theirs.
func (s *Service) userByToken(ctx context.Context, name, secret string) (Principal, error) {
	p := Principal{Kind: KindUser}
	var scopes string
	var expires, used, disabled int64
	err := s.db.QueryRow(ctx, `SELECT t.id, t.scopes, t.expires, t.used, n.id, n.name, u.disabled FROM access_tokens t
		JOIN users u ON u.id = t.user_id JOIN namespaces n ON n.id = u.id WHERE t.hash = ?`, digestOf(secret)).
		Scan(&p.Credential, &scopes, &expires, &used, &p.ID, &p.Name, &disabled)
	if err != nil {
		return Principal{}, err
	}
	if disabled == 1 || s.expired(expires) || name != "" && name != p.Name {
		return Principal{}, errdefs.ErrNotFound
	}
	p.Scopes = splitScopes(scopes)
	return p, s.touch(ctx, "UPDATE access_tokens SET used = ? WHERE id = ?", used, p.Credential)
}

// touch remembers that a credential was used, once a minute at most.
func (s *Service) touch(ctx context.Context, query string, used int64, id string) error {
	now := s.now().Unix()
	if now-used < 60 {
		return nil
	}
	_, err := s.db.Exec(ctx, query, now, id)
	return err
}
