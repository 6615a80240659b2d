package account

import (
	"context"
	"fmt"
	"net/mail"
	"time"

	"github.com/berth-engine/berth/hub/audit"
	"github.com/berth-engine/berth/hub/store"
	"github.com/containerd/errdefs"
)

// User is an account of a person.
type User struct {
	ID       string    `json:"id"`
	Name     string    `json:"name"`
	Display  string    `json:"display"`
	About    string    `json:"about"`
	Email    string    `json:"email,omitempty"`
	Admin    bool      `json:"admin"`
	Disabled bool      `json:"disabled"`
	TOTP     bool      `json:"totp"` // a second factor is asked for
	Created  time.Time `json:"created"`
}

// Principal is the user with all of their rights.
func (u User) Principal() Principal { return Principal{Kind: KindUser, ID: u.ID, Name: u.Name} }

// NewUser is what an account is made of.
type NewUser struct {
	Name, Email, Password string
	Admin                 bool // only administrators and the set-up may give it
}

const userColumns = "SELECT n.id, n.name, n.display, n.about, u.email, u.admin, u.disabled, u.totp_on, n.created FROM users u JOIN namespaces n ON n.id = u.id"

func scanUser(s store.Scanner) (u User, err error) {
	var admin, disabled, totp, created int64
	err = s.Scan(&u.ID, &u.Name, &u.Display, &u.About, &u.Email, &admin, &disabled, &totp, &created)
	u.Admin, u.Disabled, u.TOTP, u.Created = admin == 1, disabled == 1, totp == 1, time.Unix(created, 0).UTC()
	return u, err
}

// User finds an account by its name. Names of users are public.
func (s *Service) User(ctx context.Context, name string) (User, error) {
	u, err := scanUser(s.db.QueryRow(ctx, userColumns+" WHERE n.name = ?", name))
	if errdefs.IsNotFound(err) {
		return User{}, notFound("user", name)
	}
	return u, err
}

// Users lists accounts by name, for administrators, from the one after a name.
func (s *Service) Users(ctx context.Context, by Principal, after string, limit int) ([]User, error) {
	if err := NeedAdmin(ctx, s.db, by); err != nil {
		return nil, err
	}
	rows, err := s.db.Query(ctx, userColumns+" WHERE n.name > ? ORDER BY n.name LIMIT ?", after, bound(limit))
	return store.Collect(rows, err, scanUser)
}

// bound is how many rows a list has at most.
func bound(limit int) int {
	if limit <= 0 {
		return 100
	}
	return min(limit, 1000)
}

// CreateUser makes an account, for administrators.
func (s *Service) CreateUser(ctx context.Context, by Principal, n NewUser) (User, error) {
	return s.create(ctx, act{by: by, action: "user.create", namespace: n.Name, target: n.Name}, n, func(tx *store.Tx) error {
		return NeedAdmin(ctx, tx, by)
	})
}

// SignUp makes an account for whoever asks, where that is open: ten an hour
// from one address.
func (s *Service) SignUp(ctx context.Context, n NewUser) (User, error) {
	if !s.signUp {
		return User{}, denied("accounts are made by the Hub's administrators")
	}
	n.Admin = false
	from := []limit{{"sign-up " + audit.Network(audit.Remote(ctx)), 10, time.Hour, time.Hour}}
	if err := s.admit(ctx, from); err != nil {
		return User{}, err
	}
	return s.create(ctx, act{action: "user.sign-up", namespace: n.Name, target: n.Name}, n, func(tx *store.Tx) error {
		return s.failed(ctx, tx, from) // counted, as a failure would be
	})
}

func (s *Service) create(ctx context.Context, a act, n NewUser, may func(tx *store.Tx) error) (User, error) {
	if err := validNamespace(a.by, n.Name); err != nil {
		return User{}, err
	}
	if err := validPassword(n.Name, n.Password); err != nil {
		return User{}, err
	}
	if err := validEmail(n.Email); err != nil {
		return User{}, err
	}
	hash, err := s.hash(ctx, n.Password)
	if err != nil {
		return User{}, err
	}
	u := User{ID: store.NewID(), Name: n.Name, Email: n.Email, Admin: n.Admin, Created: time.Unix(s.now().Unix(), 0).UTC()}
	err = s.do(ctx, a, func(tx *store.Tx) error {
		if err := may(tx); err != nil {
			return err
		}
		if err := insertNamespace(ctx, tx, u.ID, u.Name, "user", u.Created); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "INSERT INTO users (id, email, password, changed, admin) VALUES (?, ?, ?, ?, ?)",
			u.ID, u.Email, hash, u.Created.Unix(), store.Bool(u.Admin))
		return err
	})
	if err != nil {
		return User{}, err
	}
	return u, nil
}

func insertNamespace(ctx context.Context, tx *store.Tx, id, name, kind string, created time.Time) error {
	// Asked first, since PostgreSQL ends a transaction in which a statement failed.
	var there string
	err := tx.QueryRow(ctx, "SELECT id FROM namespaces WHERE name = ?", name).Scan(&there)
	if err == nil {
		return fmt.Errorf("%w: the name %q is taken", errdefs.ErrAlreadyExists, name)
	}
	if !errdefs.IsNotFound(err) {
		return err
	}
	_, err = tx.Exec(ctx, "INSERT INTO namespaces (id, name, kind, created) VALUES (?, ?, ?, ?)", id, name, kind, created.Unix())
	return err
}

func validEmail(email string) error {
	if email == "" {
		return nil
	}
	if a, err := mail.ParseAddress(email); err != nil || a.Address != email || len(email) > 254 {
		return fmt.Errorf("%w: %q is not an e-mail address", errdefs.ErrInvalidArgument, email)
	}
	return nil
}

// Profile is what a user or organisation says of itself.
type Profile struct{ Display, About, Email string }

func (p Profile) valid() error {
	if len(p.Display) > 100 || len(p.About) > 1000 {
		return fmt.Errorf("%w: a name has at most 100 bytes, a description 1000", errdefs.ErrInvalidArgument)
	}
	return validEmail(p.Email)
}

// SetProfile changes what a user says of themselves.
func (s *Service) SetProfile(ctx context.Context, by Principal, p Profile) error {
	if err := p.valid(); err != nil {
		return err
	}
	return s.do(ctx, act{by: by, action: "user.profile", namespace: by.Name, target: by.Name}, func(tx *store.Tx) error {
		if by.Kind != KindUser || !by.Allows(ScopeAccount) {
			return denied("sign in to change a profile")
		}
		if _, err := tx.Exec(ctx, "UPDATE namespaces SET display = ?, about = ? WHERE id = ?", p.Display, p.About, by.ID); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "UPDATE users SET email = ? WHERE id = ?", p.Email, by.ID)
		return err
	})
}

// SetDisabled locks an account or opens it again, for administrators. A locked
// account's sessions end; its tokens work again when it is opened.
func (s *Service) SetDisabled(ctx context.Context, by Principal, name string, disabled bool) error {
	return s.administer(ctx, by, "user.disable", name, fmt.Sprintf("disabled: %t", disabled), func(tx *store.Tx, id string) error {
		if disabled {
			if _, err := tx.Exec(ctx, "DELETE FROM sessions WHERE user_id = ?", id); err != nil {
				return err
			}
		}
		_, err := tx.Exec(ctx, "UPDATE users SET disabled = ? WHERE id = ?", store.Bool(disabled), id)
		return err
	})
}

// SetAdmin makes somebody an administrator of the Hub, or no longer.
func (s *Service) SetAdmin(ctx context.Context, by Principal, name string, admin bool) error {
	return s.administer(ctx, by, "user.admin", name, fmt.Sprintf("admin: %t", admin), func(tx *store.Tx, id string) error {
		_, err := tx.Exec(ctx, "UPDATE users SET admin = ? WHERE id = ?", store.Bool(admin), id)
		return err
	})
}

// ResetPassword gives an account a new password, for administrators: it also
// switches the second factor off and ends all sessions.
func (s *Service) ResetPassword(ctx context.Context, by Principal, name, password string) error {
	if err := validPassword(name, password); err != nil {
		return err
	}
	hash, err := s.hash(ctx, password)
	if err != nil {
		return err
	}
	return s.administer(ctx, by, "user.password-reset", name, "", func(tx *store.Tx, id string) error {
		if _, err := tx.Exec(ctx, "UPDATE users SET totp = '', totp_on = 0 WHERE id = ?", id); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, "DELETE FROM recovery_codes WHERE user_id = ?", id); err != nil {
			return err
		}
		return s.setPassword(ctx, tx, id, hash, "")
	})
}

// DeleteUser removes an account that has no repositories any more.
func (s *Service) DeleteUser(ctx context.Context, by Principal, name string) error {
	return s.administer(ctx, by, "user.delete", name, "", func(tx *store.Tx, id string) error {
		return deleteNamespace(ctx, tx, id, name)
	})
}

func deleteNamespace(ctx context.Context, tx *store.Tx, id, name string) error {
	var repositories int64
	if err := tx.QueryRow(ctx, "SELECT count(*) FROM repositories WHERE namespace = ?", id).Scan(&repositories); err != nil {
		return err
	}
	if repositories > 0 {
		return fmt.Errorf("%w: %s has %d repositories: delete or transfer them first", errdefs.ErrFailedPrecondition, name, repositories)
	}
	if _, err := tx.Exec(ctx, "DELETE FROM grants WHERE subject = ?", id); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, "DELETE FROM webhooks WHERE owner = ?", id); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, "DELETE FROM namespaces WHERE id = ?", id)
	return err
}

// administer is what administrators do to an account. One administrator always
// remains.
func (s *Service) administer(ctx context.Context, by Principal, action, name, detail string, f func(tx *store.Tx, id string) error) error {
	return s.do(ctx, act{by: by, action: action, namespace: name, target: name, detail: detail}, func(tx *store.Tx) error {
		if err := NeedAdmin(ctx, tx, by); err != nil {
			return err
		}
		u, err := scanUser(tx.QueryRow(ctx, userColumns+" WHERE n.name = ?", name))
		if errdefs.IsNotFound(err) {
			return notFound("user", name)
		}
		if err != nil {
			return err
		}
		if err := f(tx, u.ID); err != nil {
			return err
		}
		var admins int64
		if err := tx.QueryRow(ctx, "SELECT count(*) FROM users WHERE admin = 1 AND disabled = 0").Scan(&admins); err != nil {
			return err
		}
		if admins == 0 && u.Admin {
			return fmt.Errorf("%w: %s is the last administrator of the Hub", errdefs.ErrFailedPrecondition, name)
		}
		return nil
	})
}
