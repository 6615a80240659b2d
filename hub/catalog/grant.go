package catalog

import (
	"context"
	"fmt"
	"time"

	"github.com/berth-engine/berth/hub/account"
	"github.com/berth-engine/berth/hub/audit"
	"github.com/berth-engine/berth/hub/store"
	"github.com/containerd/errdefs"
)

// Grant gives a user, a team or a robot a role.
type Grant struct {
	ID         string    `json:"id"`
	Namespace  string    `json:"namespace"`
	Repository string    `json:"repository,omitempty"` // whole name; empty is all of the namespace
	Kind       string    `json:"kind"`                 // user, team, robot
	Subject    string    `json:"subject"`              // name; of a team or robot, within the namespace
	Role       Role      `json:"role"`
	Created    time.Time `json:"created"`
}

// place returns the ids of what a grant is for, where somebody may give one:
// in a repository as its admin, in a namespace as admin of all of it.
func (s *Service) place(ctx context.Context, q store.Querier, by account.Principal, namespace, repository string) (namespaceID, repositoryID string, err error) {
	if !by.Allows(account.ScopeAdmin) {
		return "", "", fmt.Errorf("%w: the access token lacks the scope %s", errdefs.ErrPermissionDenied, account.ScopeAdmin)
	}
	if repository != "" {
		r, err := s.need(ctx, q, by, repository, Admin)
		if err == nil && r.Namespace != namespace {
			err = fmt.Errorf("%w: %s is not in %s", errdefs.ErrInvalidArgument, repository, namespace)
		}
		return r.namespaceID, r.ID, err
	}
	if namespaceID, err = findNamespace(ctx, q, namespace); err != nil {
		return "", "", err
	}
	role, err := s.roleIn(ctx, q, by, Repository{namespaceID: namespaceID})
	if err == nil && role < Admin {
		err = fmt.Errorf("%w: only admins of %s may say who may use it", errdefs.ErrPermissionDenied, namespace)
	}
	return namespaceID, "", err
}

// subjects finds a grant's subject by its name.
var subjects = map[string]string{
	"user":  "SELECT u.id FROM users u JOIN namespaces n ON n.id = u.id WHERE ? <> '' AND n.name = ?",
	"team":  "SELECT id FROM teams WHERE organisation = ? AND name = ?",
	"robot": "SELECT id FROM robots WHERE namespace = ? AND name = ?",
}

// Give grants a role; an earlier grant to the same subject there is replaced.
func (s *Service) Give(ctx context.Context, by account.Principal, g Grant) error {
	if g.Role < Read || g.Role > Admin {
		return fmt.Errorf("%w: a role is read, write or admin", errdefs.ErrInvalidArgument)
	}
	return s.granting(ctx, by, "grant.give", g, func(tx *store.Tx, namespace, repository, subject string) error {
		_, err := tx.Exec(ctx, `INSERT INTO grants (id, namespace, repository, kind, subject, role, created) VALUES (?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (namespace, repository, subject) DO UPDATE SET role = excluded.role`,
			store.NewID(), namespace, repository, g.Kind, subject, int64(g.Role), s.now().Unix())
		return err
	})
}

// Take removes a grant.
func (s *Service) Take(ctx context.Context, by account.Principal, g Grant) error {
	return s.granting(ctx, by, "grant.take", g, func(tx *store.Tx, namespace, repository, subject string) error {
		n, err := tx.Exec(ctx, "DELETE FROM grants WHERE namespace = ? AND repository = ? AND subject = ?", namespace, repository, subject)
		if err == nil && n == 0 {
			return fmt.Errorf("%w: %s %q has no role there", errdefs.ErrNotFound, g.Kind, g.Subject)
		}
		return err
	})
}

func (s *Service) granting(ctx context.Context, by account.Principal, action string, g Grant, f func(tx *store.Tx, namespace, repository, subject string) error) error {
	find, ok := subjects[g.Kind]
	if !ok {
		return fmt.Errorf("%w: a role is given to a user, team or robot, not to a %q", errdefs.ErrInvalidArgument, g.Kind)
	}
	target := g.Repository
	if target == "" {
		target = g.Namespace
	}
	e := audit.Entry{Action: action, Namespace: g.Namespace, Target: target, Detail: g.Kind + " " + g.Subject + ": " + g.Role.String()}
	return account.Audited(ctx, s.db, by, e, func(tx *store.Tx) error {
		namespace, repository, err := s.place(ctx, tx, by, g.Namespace, g.Repository)
		if err != nil {
			return err
		}
		var subject string
		err = tx.QueryRow(ctx, find, namespace, g.Subject).Scan(&subject)
		if errdefs.IsNotFound(err) {
			return fmt.Errorf("%w: there is no %s %q", errdefs.ErrNotFound, g.Kind, g.Subject)
		}
		if err != nil {
			return err
		}
		return f(tx, namespace, repository, subject)
	})
}

// Grants lists who was given a role in a namespace or, with a repository, in
// that and all of its namespace; for admins there.
func (s *Service) Grants(ctx context.Context, by account.Principal, namespace, repository string) ([]Grant, error) {
	namespaceID, repositoryID, err := s.place(ctx, s.db, by, namespace, repository)
	if err != nil {
		return nil, err
	}
	query := `SELECT g.id, coalesce(r.name, ''), g.kind, coalesce(t.name, o.name, n.name, ''), g.role, g.created FROM grants g
		LEFT JOIN repositories r ON r.id = g.repository LEFT JOIN teams t ON t.id = g.subject
		LEFT JOIN robots o ON o.id = g.subject LEFT JOIN namespaces n ON n.id = g.subject WHERE g.namespace = ?`
	args := []any{namespaceID}
	if repositoryID != "" {
		query += " AND g.repository IN ('', ?)"
		args = append(args, repositoryID)
	}
	rows, err := s.db.Query(ctx, query+" ORDER BY 2, 3, 4", args...)
	return store.Collect(rows, err, func(s store.Scanner) (Grant, error) {
		g := Grant{Namespace: namespace}
		var created int64
		err := s.Scan(&g.ID, &g.Repository, &g.Kind, &g.Subject, &g.Role, &created)
		g.Created = time.Unix(created, 0).UTC()
		return g, err
	})
}
