package account

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/berth-engine/berth/hub/audit"
	"github.com/berth-engine/berth/hub/store"
	"github.com/containerd/errdefs"
)

// Secrets that the Hub makes begin with these, so that scanners find them where
// they do not belong.
const (
	tokenPrefix = "bhp_" // personal access token
	robotPrefix = "bhr_" // robot
)

// ErrBadCredentials is all that a stranger learns of a failed sign-in.
var ErrBadCredentials = fmt.Errorf("%w: the name or the password is wrong", errdefs.ErrUnauthenticated)

// ErrCodeNeeded says that the password is right and a code of the second factor
// is missing.
var ErrCodeNeeded = fmt.Errorf("%w: a code of the authenticator is needed", errdefs.ErrUnauthenticated)

// ErrTokenNeeded says that an account with a second factor cannot be used with
// its password alone, as clients of the registry would.
var ErrTokenNeeded = fmt.Errorf("%w: this account has a second factor: use a personal access token as the password", errdefs.ErrUnauthenticated)

// Authenticate checks a name and a password as a registry's client sends them
// (HTTP Basic): a user's password, a user's access token, or a robot's secret
// with the name namespace+robot.
func (s *Service) Authenticate(ctx context.Context, name, secret string) (Principal, error) {
	switch {
	case strings.HasPrefix(secret, tokenPrefix):
		return s.bySecret(ctx, name, func() (Principal, error) { return s.userByToken(ctx, name, secret) })
	case strings.Contains(name, "+"):
		return s.bySecret(ctx, name, func() (Principal, error) { return s.robotBySecret(ctx, name, secret) })
	}
	u, err := s.byPassword(ctx, name, secret)
	if err != nil {
		return Principal{}, err
	}
	if u.TOTP {
		return Principal{}, ErrTokenNeeded
	}
	return u.Principal(), nil
}

// AuthenticateToken checks an access token alone, as an API's client sends it
// (HTTP Bearer).
func (s *Service) AuthenticateToken(ctx context.Context, secret string) (Principal, error) {
	return s.bySecret(ctx, "", func() (Principal, error) { return s.userByToken(ctx, "", secret) })
}

func (s *Service) bySecret(ctx context.Context, name string, find func() (Principal, error)) (Principal, error) {
	from := fromLimit(audit.Remote(ctx))
	if err := s.admit(ctx, from); err != nil {
		return Principal{}, err
	}
	p, err := find()
	if errdefs.IsNotFound(err) {
		return Principal{}, s.refuse(ctx, name, from)
	}
	return p, err
}

// refuse counts a failed sign-in and returns the error for it.
func (s *Service) refuse(ctx context.Context, name string, counted []limit) error {
	name = strings.ToValidUTF8(name[:min(len(name), 2*maxName)], "?")
	err := s.db.Tx(ctx, func(tx *store.Tx) error {
		if err := s.failed(ctx, tx, counted); err != nil {
			return err
		}
		return audit.Add(ctx, tx, audit.Entry{Action: "sign-in", Name: name, Target: name, Namespace: name, Result: audit.Refused})
	})
	if err != nil {
		return err
	}
	return ErrBadCredentials
}

// byPassword checks a password, bounded by the limits of sign-ins. The second
// factor is the caller's.
func (s *Service) byPassword(ctx context.Context, name, password string) (User, error) {
	if len(name) > maxName { // no such name, and none that the database should see
		name = name[:maxName]
	}
	name = strings.ToValidUTF8(strings.ReplaceAll(name, "\x00", "?"), "?")
	all := limits(name, audit.Remote(ctx))
	release, err := s.slot(ctx)
	if err != nil {
		return User{}, err
	}
	defer release()
	// Asked only now, so that guesses at the same time are not let past.
	if err := s.admit(ctx, all); err != nil {
		return User{}, err
	}
	var u User
	hash := nobody
	row := s.db.QueryRow(ctx, strings.Replace(userColumns, " FROM", ", u.password FROM", 1)+" WHERE n.name = ?", name)
	var admin, disabled, totp, created int64
	err = row.Scan(&u.ID, &u.Name, &u.Display, &u.About, &u.Email, &admin, &disabled, &totp, &created, &hash)
	if err != nil && !errdefs.IsNotFound(err) {
		return User{}, err
	}
	u.Admin, u.TOTP, u.Created = admin == 1, totp == 1, time.Unix(created, 0).UTC()
	if !matches(hash, password) || u.ID == "" || disabled == 1 {
		return User{}, s.refuse(ctx, name, all)
	}
	if u.TOTP {
		return u, nil // the failures are forgotten when the code is right, too
	}
	return u, s.succeeded(ctx, name, audit.Remote(ctx))
}

// Current checks that somebody whose identity was established at a time is
// still what they were: the account is there and open, and the credential that
// was used neither revoked nor expired nor changed since. It returns them with
// today's name.
func (s *Service) Current(ctx context.Context, p Principal, since time.Time) (Principal, error) {
	var changed, disabled int64
	var err error
	switch p.Kind {
	case KindAnonymous:
		return Principal{}, nil
	case KindSystem:
		return Principal{}, ErrBadCredentials // no request is the Hub itself
	case KindRobot:
		var expires int64
		var namespace, name string
		err = s.db.QueryRow(ctx, "SELECT n.name, r.name, r.changed, r.disabled, r.expires FROM robots r JOIN namespaces n ON n.id = r.namespace WHERE r.id = ?", p.ID).
			Scan(&namespace, &name, &changed, &disabled, &expires)
		if s.expired(expires) {
			disabled = 1
		}
		p.Name = namespace + "+" + name
	case KindUser:
		err = s.db.QueryRow(ctx, "SELECT n.name, u.changed, u.disabled FROM users u JOIN namespaces n ON n.id = u.id WHERE u.id = ?", p.ID).
			Scan(&p.Name, &changed, &disabled)
		if err == nil && p.Credential != "" {
			var expires int64
			var scopes string
			err = s.db.QueryRow(ctx, "SELECT expires, scopes FROM access_tokens WHERE id = ? AND user_id = ?", p.Credential, p.ID).Scan(&expires, &scopes)
			p.Scopes = splitScopes(scopes)
			if s.expired(expires) {
				disabled = 1
			}
			changed = 0 // a token outlives a change of the password
		}
	default:
		return Principal{}, ErrBadCredentials
	}
	if errdefs.IsNotFound(err) || err == nil && (disabled == 1 || since.Unix() < changed) {
		return Principal{}, ErrBadCredentials
	}
	return p, err
}

func (s *Service) expired(expires int64) bool { return expires != 0 && expires <= s.now().Unix() }
