// Package account has the Hub's accounts: users with their passwords, second
// factors, sessions and access tokens; organisations with members and teams;
// robots. It says who somebody is and administers all of these; what they may
// do with repositories is catalog's.
//
// Every method that changes something takes who acts, decides, acts, and writes
// the audit log, in one transaction. Passwords are stored by argon2id; secrets
// that the Hub makes have 128 random bits and are stored by SHA-256. Answers to
// who may not know of something are those for what does not exist.
package account

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/berth-engine/berth/hub/audit"
	"github.com/berth-engine/berth/hub/seal"
	"github.com/berth-engine/berth/hub/store"
	"github.com/containerd/errdefs"
)

// Options of a service; the zero value works.
type Options struct {
	// SignUp lets everybody make an account. Otherwise administrators do.
	SignUp bool
	// Key seals the secrets of second factors. Without one none can be set up, nor
	// its codes be checked.
	Key *seal.Key
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Service is safe for concurrent use.
type Service struct {
	db     *store.DB
	signUp bool
	key    *seal.Key
	now    func() time.Time
	hashes chan struct{} // one slot for each password that is hashed now
}

// New makes the service of the accounts in db.
func New(db *store.DB, o Options) *Service {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Service{db: db, signUp: o.SignUp, key: o.Key, now: o.Now, hashes: make(chan struct{}, parallelHashes)}
}

// SignUpOpen reports whether everybody may make an account.
func (s *Service) SignUpOpen() bool { return s.signUp }

// names is what a namespace, a team or a robot may be called: a component of a
// repository's name, so that it can be one.
var names = regexp.MustCompile(`^[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*$`)

// reserved are names that pages or the API use, or that would be mistaken for
// the Hub itself.
var reserved = []string{
	"account", "admin", "administrator", "api", "assets", "berth", "builds", "explore", "git", "healthz", "help", "hooks", "hub",
	"library", "login", "logout", "metrics", "new", "org", "organisations", "orgs", "readyz", "robot", "root", "search",
	"settings", "setup", "sign-in", "sign-up", "signin", "signup", "static", "support", "system", "token", "tokens", "u",
	"user", "users", "v1", "v2", "webhooks",
}

// maxName is how many characters a name may have.
const maxName = 64

// ValidName reports why something cannot be a name, or nil.
func ValidName(what, name string) error {
	if len(name) < 2 || len(name) > maxName || !names.MatchString(name) {
		return fmt.Errorf("%w: %s %q must have 2 to %d lower-case letters and digits, with single dots, underscores or hyphens between them", errdefs.ErrInvalidArgument, what, name, maxName)
	}
	return nil
}

func validNamespace(by Principal, name string) error {
	if err := ValidName("name", name); err != nil {
		return err
	}
	if by.Kind != KindSystem && slices.Contains(reserved, name) {
		return fmt.Errorf("%w: the name %q is reserved", errdefs.ErrInvalidArgument, name)
	}
	return nil
}

// act is one deed: what is done by whom to what.
type act struct {
	by                        Principal
	action, namespace, target string
	detail                    string
}

// do runs a deed and writes the audit log in the same transaction. A refusal is
// written, too.
func (s *Service) do(ctx context.Context, a act, f func(tx *store.Tx) error) error {
	return Audited(ctx, s.db, a.by, audit.Entry{Action: a.action, Namespace: a.namespace, Target: a.target, Detail: a.detail}, f)
}

// Audited runs f in a transaction that also writes the audit log; when f
// refuses with ErrPermissionDenied, that is written instead.
func Audited(ctx context.Context, db *store.DB, by Principal, e audit.Entry, f func(tx *store.Tx) error) error {
	e.Kind, e.Actor, e.Name = string(by.Kind), by.ID, by.Name
	err := db.Tx(ctx, func(tx *store.Tx) error {
		if err := f(tx); err != nil {
			return err
		}
		return audit.Add(ctx, tx, e)
	})
	if errdefs.IsPermissionDenied(err) {
		e.Result, e.Detail = audit.Refused, err.Error()
		return errors.Join(err, db.Tx(ctx, func(tx *store.Tx) error { return audit.Add(ctx, tx, e) }))
	}
	return err
}

func denied(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errdefs.ErrPermissionDenied, fmt.Sprintf(format, args...))
}

func notFound(what, name string) error {
	return fmt.Errorf("%w: there is no %s %q", errdefs.ErrNotFound, what, name)
}

// NeedAdmin refuses everybody but administrators of the Hub and the Hub itself.
func NeedAdmin(ctx context.Context, q store.Querier, by Principal) error {
	if ok, err := IsAdmin(ctx, q, by); err != nil || ok {
		return err
	}
	return denied("only administrators of the Hub may do this")
}

// IsAdmin reports whether somebody may administer the Hub, now.
func IsAdmin(ctx context.Context, q store.Querier, by Principal) (bool, error) {
	if by.Kind == KindSystem {
		return true, nil
	}
	if by.Kind != KindUser || !by.Allows(ScopeHub) {
		return false, nil
	}
	var admin int64
	err := q.QueryRow(ctx, "SELECT admin FROM users WHERE id = ? AND disabled = 0", by.ID).Scan(&admin)
	if errdefs.IsNotFound(err) {
		return false, nil
	}
	return admin == 1, err
}

// needSelf refuses who did not sign in with a password or session of their own.
// Credentials must not be able to make further credentials.
func needSelf(by Principal) error {
	if by.Kind != KindUser || by.Scopes != nil {
		return denied("sign in with your password for this; an access token does not do")
	}
	return nil
}
