package account

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/berth-engine/berth/hub/store"
	"github.com/containerd/errdefs"
)

// Robot is an account for a program. It belongs to a namespace, signs in as
// namespace+name with a secret that the Hub made, and may do what catalog grants
// it, which at first is nothing.
type Robot struct {
	ID        string    `json:"id"`
	Namespace string    `json:"namespace"`
	Name      string    `json:"name"`
	About     string    `json:"about"`
	Disabled  bool      `json:"disabled"`
	Created   time.Time `json:"created"`
	Expires   time.Time `json:"expires,omitzero"` // zero is never
	Used      time.Time `json:"used,omitzero"`
}

// Login is the name that the robot signs in with.
func (r Robot) Login() string { return r.Namespace + "+" + r.Name }

// NewRobot is what is asked for.
type NewRobot struct {
	Name, About string
	Expires     time.Time // zero is never
}

// CreateRobot makes a robot in a namespace, for those who own that. The secret
// is returned this once.
func (s *Service) CreateRobot(ctx context.Context, by Principal, namespace string, n NewRobot) (r Robot, secret string, err error) {
	if err := ValidName("the robot's name", n.Name); err != nil {
		return Robot{}, "", err
	}
	if !n.Expires.IsZero() && !n.Expires.After(s.now()) {
		return Robot{}, "", fmt.Errorf("%w: the robot would have expired already", errdefs.ErrInvalidArgument)
	}
	secret = robotPrefix + store.NewID()
	r = Robot{ID: store.NewID(), Namespace: namespace, Name: n.Name, About: n.About, Created: s.now(), Expires: n.Expires}
	err = s.owning(ctx, by, "robot.create", namespace, r.Login(), func(tx *store.Tx, id string) error {
		var same int64
		if err := tx.QueryRow(ctx, "SELECT count(*) FROM robots WHERE namespace = ? AND name = ?", id, n.Name).Scan(&same); err != nil {
			return err
		}
		if same > 0 {
			return fmt.Errorf("%w: there is a robot %q", errdefs.ErrAlreadyExists, r.Login())
		}
		_, err := tx.Exec(ctx, "INSERT INTO robots (id, namespace, name, about, hash, changed, created, expires) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
			r.ID, id, r.Name, r.About, digestOf(secret), r.Created.Unix(), r.Created.Unix(), seconds(r.Expires))
		return err
	})
	if err != nil {
		return Robot{}, "", err
	}
	return r, secret, nil
}

// Robots lists a namespace's robots, for those who own it.
func (s *Service) Robots(ctx context.Context, by Principal, namespace string) ([]Robot, error) {
	id, err := Owned(ctx, s.db, by, namespace)
	if err != nil {
		return nil, err
	}
	rows, err := s.db.Query(ctx, "SELECT id, name, about, disabled, created, expires, used FROM robots WHERE namespace = ? ORDER BY name", id)
	return store.Collect(rows, err, func(s store.Scanner) (Robot, error) {
		r := Robot{Namespace: namespace}
		var disabled, created, expires, used int64
		err := s.Scan(&r.ID, &r.Name, &r.About, &disabled, &created, &expires, &used)
		r.Disabled, r.Created, r.Expires, r.Used = disabled == 1, moment(created), moment(expires), moment(used)
		return r, err
	})
}

// RenewRobot gives a robot a new secret; the old one ends at once.
func (s *Service) RenewRobot(ctx context.Context, by Principal, namespace, name string) (secret string, err error) {
	secret = robotPrefix + store.NewID()
	err = s.changeRobot(ctx, by, "robot.renew", namespace, name,
		"UPDATE robots SET hash = ?, changed = ? WHERE namespace = ? AND name = ?", digestOf(secret), s.now().Unix())
	if err != nil {
		return "", err
	}
	return secret, nil
}

// SetRobotDisabled locks a robot or opens it again.
func (s *Service) SetRobotDisabled(ctx context.Context, by Principal, namespace, name string, disabled bool) error {
	return s.changeRobot(ctx, by, "robot.disable", namespace, name,
		"UPDATE robots SET disabled = ? WHERE namespace = ? AND name = ?", store.Bool(disabled))
}

// DeleteRobot removes a robot with what it was granted.
func (s *Service) DeleteRobot(ctx context.Context, by Principal, namespace, name string) error {
	return s.owning(ctx, by, "robot.delete", namespace, namespace+"+"+name, func(tx *store.Tx, id string) error {
		if _, err := tx.Exec(ctx, "DELETE FROM grants WHERE subject IN (SELECT id FROM robots WHERE namespace = ? AND name = ?)", id, name); err != nil {
			return err
		}
		n, err := tx.Exec(ctx, "DELETE FROM robots WHERE namespace = ? AND name = ?", id, name)
		if err == nil && n == 0 {
			return notFound("robot", namespace+"+"+name)
		}
		return err
	})
}

func (s *Service) changeRobot(ctx context.Context, by Principal, action, namespace, name, query string, values ...any) error {
	return s.owning(ctx, by, action, namespace, namespace+"+"+name, func(tx *store.Tx, id string) error {
		n, err := tx.Exec(ctx, query, append(values, id, name)...)
		if err == nil && n == 0 {
			return notFound("robot", namespace+"+"+name)
		}
		return err
	})
}

func (s *Service) robotBySecret(ctx context.Context, name, secret string) (Principal, error) {
	p := Principal{Kind: KindRobot, Name: name}
	namespace, robot, _ := strings.Cut(name, "+")
	var expires, used, disabled int64
	err := s.db.QueryRow(ctx, `SELECT r.id, r.expires, r.used, r.disabled FROM robots r JOIN namespaces n ON n.id = r.namespace
		WHERE r.hash = ? AND n.name = ? AND r.name = ?`, digestOf(secret), namespace, robot).Scan(&p.ID, &expires, &used, &disabled)
	if err != nil {
		return Principal{}, err
	}
	if disabled == 1 || s.expired(expires) {
		return Principal{}, errdefs.ErrNotFound
	}
	return p, s.touch(ctx, "UPDATE robots SET used = ? WHERE id = ?", used, p.ID)
}
