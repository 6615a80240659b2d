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

// Sessions end a day after they were last used, and thirty days after sign-in.
const (
	sessionIdle = 24 * time.Hour
	sessionLife = 30 * 24 * time.Hour
)

// Session is a browser in which somebody signed in.
type Session struct {
	ID      string    `json:"id"`
	User    User      `json:"-"`
	CSRF    string    `json:"-"` // what forms must carry
	Created time.Time `json:"created"`
	Seen    time.Time `json:"seen"`
	Expires time.Time `json:"expires"`
	Remote  string    `json:"remote"`
	Agent   string    `json:"agent"`
}

// Credentials are what a sign-in form holds.
type Credentials struct {
	Name, Password string
	Code           string // of the authenticator, or a recovery code
	Agent          string // the browser, for the list of sessions
}

// Login signs somebody in. The cookie is the session's secret; it is returned
// this once. ErrCodeNeeded asks for the second factor.
func (s *Service) Login(ctx context.Context, c Credentials) (_ Session, cookie string, err error) {
	u, err := s.byPassword(ctx, c.Name, c.Password)
	if err != nil {
		return Session{}, "", err
	}
	if u.TOTP {
		if err := s.secondFactor(ctx, u, c.Code); err != nil {
			return Session{}, "", err
		}
	}
	now := time.Unix(s.now().Unix(), 0).UTC()
	cookie = store.NewID()
	session := Session{
		ID: store.NewID(), User: u, CSRF: store.NewID(), Created: now, Seen: now, Expires: now.Add(sessionLife),
		Remote: audit.Remote(ctx), Agent: strings.ToValidUTF8(c.Agent[:min(len(c.Agent), 200)], "?"),
	}
	err = s.do(ctx, act{by: u.Principal(), action: "sign-in", namespace: u.Name, target: u.Name}, func(tx *store.Tx) error {
		if _, err := tx.Exec(ctx, "DELETE FROM sessions WHERE expires < ? OR seen < ?", now.Unix(), now.Add(-sessionIdle).Unix()); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "INSERT INTO sessions (hash, id, user_id, csrf, created, seen, expires, remote, agent) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
			digestOf(cookie), session.ID, u.ID, session.CSRF, now.Unix(), now.Unix(), session.Expires.Unix(), session.Remote, session.Agent)
		return err
	})
	return session, cookie, err
}

const sessionColumns = "SELECT s.id, s.user_id, s.csrf, s.created, s.seen, s.expires, s.remote, s.agent FROM sessions s"

func scanSession(s store.Scanner) (x Session, err error) {
	var created, seen, expires int64
	err = s.Scan(&x.ID, &x.User.ID, &x.CSRF, &created, &seen, &expires, &x.Remote, &x.Agent)
	x.Created, x.Seen, x.Expires = time.Unix(created, 0).UTC(), time.Unix(seen, 0).UTC(), time.Unix(expires, 0).UTC()
	return x, err
}

// Session returns the session that a cookie opens, with its user as they are
// now; ErrUnauthenticated when it ended.
func (s *Service) Session(ctx context.Context, cookie string) (Session, error) {
	x, err := scanSession(s.db.QueryRow(ctx, sessionColumns+" WHERE s.hash = ?", digestOf(cookie)))
	ended := fmt.Errorf("%w: the session has ended", errdefs.ErrUnauthenticated)
	if errdefs.IsNotFound(err) {
		return Session{}, ended
	}
	if err != nil {
		return Session{}, err
	}
	now := s.now()
	if !now.Before(x.Expires) || now.Sub(x.Seen) > sessionIdle {
		return Session{}, ended
	}
	if x.User, err = scanUser(s.db.QueryRow(ctx, userColumns+" WHERE n.id = ?", x.User.ID)); err != nil {
		return Session{}, err
	}
	if x.User.Disabled {
		return Session{}, ended
	}
	if now.Sub(x.Seen) > 10*time.Minute { // rarely: each write waits for the disk
		_, err = s.db.Exec(ctx, "UPDATE sessions SET seen = ? WHERE id = ?", now.Unix(), x.ID)
	}
	return x, err
}

// Sessions lists the sessions of who asks.
func (s *Service) Sessions(ctx context.Context, by Principal) ([]Session, error) {
	if err := needSelf(by); err != nil {
		return nil, err
	}
	now := s.now()
	rows, err := s.db.Query(ctx, sessionColumns+" WHERE s.user_id = ? AND s.expires > ? AND s.seen > ? ORDER BY s.seen DESC",
		by.ID, now.Unix(), now.Add(-sessionIdle).Unix())
	return store.Collect(rows, err, scanSession)
}

// Logout ends the session of a cookie; one that has ended is no error.
func (s *Service) Logout(ctx context.Context, cookie string) error {
	_, err := s.db.Exec(ctx, "DELETE FROM sessions WHERE hash = ?", digestOf(cookie))
	return err
}

// EndSession ends one of the sessions of who asks, by its id.
func (s *Service) EndSession(ctx context.Context, by Principal, id string) error {
	return s.do(ctx, act{by: by, action: "session.end", namespace: by.Name, target: id}, func(tx *store.Tx) error {
		if err := needSelf(by); err != nil {
			return err
		}
		n, err := tx.Exec(ctx, "DELETE FROM sessions WHERE id = ? AND user_id = ?", id, by.ID)
		if err == nil && n == 0 {
			return notFound("session", id)
		}
		return err
	})
}

// ChangePassword replaces the password of who asks, who must know the old one,
// and ends all their sessions but the one whose id is given.
func (s *Service) ChangePassword(ctx context.Context, by Principal, old, password, keepSession string) error {
	if err := needSelf(by); err != nil {
		return err
	}
	if _, err := s.byPassword(ctx, by.Name, old); err != nil {
		return err
	}
	if err := validPassword(by.Name, password); err != nil {
		return err
	}
	hash, err := s.hash(ctx, password)
	if err != nil {
		return err
	}
	return s.do(ctx, act{by: by, action: "user.password", namespace: by.Name, target: by.Name}, func(tx *store.Tx) error {
		return s.setPassword(ctx, tx, by.ID, hash, keepSession)
	})
}

func (s *Service) setPassword(ctx context.Context, tx *store.Tx, id, hash, keepSession string) error {
	if _, err := tx.Exec(ctx, "UPDATE users SET password = ?, changed = ? WHERE id = ?", hash, s.now().Unix(), id); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, "DELETE FROM sessions WHERE user_id = ? AND id <> ?", id, keepSession)
	return err
}
