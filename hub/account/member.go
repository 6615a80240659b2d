package account

import (
	"context"
	"fmt"

	"github.com/berth-engine/berth/hub/store"
	"github.com/containerd/errdefs"
)

// Member is somebody's place in an organisation.
type Member struct {
	User string `json:"user"`
	Role string `json:"role"` // owner, member
}

func scanMember(s store.Scanner) (m Member, err error) { return m, s.Scan(&m.User, &m.Role) }

// Members lists an organisation's members, for members.
func (s *Service) Members(ctx context.Context, by Principal, organisation string) ([]Member, error) {
	id, err := s.belongs(ctx, by, organisation)
	if err != nil {
		return nil, err
	}
	rows, err := s.db.Query(ctx, "SELECT n.name, m.role FROM members m JOIN namespaces n ON n.id = m.user_id WHERE m.organisation = ? ORDER BY n.name", id)
	return store.Collect(rows, err, scanMember)
}

// belongs returns the id of an organisation that somebody is a member of or may
// administer.
func (s *Service) belongs(ctx context.Context, by Principal, organisation string) (id string, err error) {
	if by.Kind == KindUser && by.Allows(ScopeAccount) {
		err = s.db.QueryRow(ctx, "SELECT n.id FROM namespaces n JOIN members m ON m.organisation = n.id WHERE n.name = ? AND m.user_id = ?", organisation, by.ID).Scan(&id)
		if err == nil || !errdefs.IsNotFound(err) {
			return id, err
		}
	}
	return Owned(ctx, s.db, by, organisation)
}

// SetMember takes a user into an organisation or changes their role there.
func (s *Service) SetMember(ctx context.Context, by Principal, organisation, user, role string) error {
	if role != "owner" && role != "member" {
		return fmt.Errorf("%w: the role in an organisation is owner or member, not %q", errdefs.ErrInvalidArgument, role)
	}
	return s.owning(ctx, by, "member.set", organisation, user, func(tx *store.Tx, id string) error {
		var kind string
		if err := tx.QueryRow(ctx, "SELECT kind FROM namespaces WHERE id = ?", id).Scan(&kind); err != nil {
			return err
		}
		if kind != "organisation" {
			return fmt.Errorf("%w: %s is not an organisation", errdefs.ErrInvalidArgument, organisation)
		}
		member, err := userID(ctx, tx, user)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, "INSERT INTO members (organisation, user_id, role) VALUES (?, ?, ?) ON CONFLICT (organisation, user_id) DO UPDATE SET role = excluded.role", id, member, role); err != nil {
			return err
		}
		return needOwner(ctx, tx, id, organisation)
	})
}

// RemoveMember takes a user out of an organisation, its teams, and what they
// were granted there. Members may remove themselves.
func (s *Service) RemoveMember(ctx context.Context, by Principal, organisation, user string) error {
	a := act{by: by, action: "member.remove", namespace: organisation, target: user}
	return s.do(ctx, a, func(tx *store.Tx) error {
		var id string
		err := tx.QueryRow(ctx, "SELECT n.id FROM namespaces n JOIN members m ON m.organisation = n.id WHERE n.name = ? AND m.user_id = ?", organisation, by.ID).Scan(&id)
		leaving := err == nil && by.Kind == KindUser && by.Name == user && by.Allows(ScopeAccount)
		if !leaving {
			if id, err = Owned(ctx, tx, by, organisation); err != nil {
				return err
			}
		}
		member, err := userID(ctx, tx, user)
		if err != nil {
			return err
		}
		n, err := tx.Exec(ctx, "DELETE FROM members WHERE organisation = ? AND user_id = ?", id, member)
		if err != nil {
			return err
		}
		if n == 0 {
			return notFound("member", user)
		}
		if _, err := tx.Exec(ctx, "DELETE FROM team_members WHERE user_id = ? AND team IN (SELECT id FROM teams WHERE organisation = ?)", member, id); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, "DELETE FROM grants WHERE namespace = ? AND subject = ?", id, member); err != nil {
			return err
		}
		return needOwner(ctx, tx, id, organisation)
	})
}

func needOwner(ctx context.Context, tx *store.Tx, id, organisation string) error {
	var owners int64
	if err := tx.QueryRow(ctx, "SELECT count(*) FROM members WHERE organisation = ? AND role = 'owner'", id).Scan(&owners); err != nil {
		return err
	}
	if owners == 0 {
		return fmt.Errorf("%w: %s would have no owner", errdefs.ErrFailedPrecondition, organisation)
	}
	return nil
}

func userID(ctx context.Context, q store.Querier, name string) (id string, err error) {
	err = q.QueryRow(ctx, "SELECT u.id FROM users u JOIN namespaces n ON n.id = u.id WHERE n.name = ?", name).Scan(&id)
	if errdefs.IsNotFound(err) {
		return "", notFound("user", name)
	}
	return id, err
}
