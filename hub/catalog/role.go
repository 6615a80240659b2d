package catalog

import (
	"context"
	"fmt"

	"github.com/berth-engine/berth/hub/account"
	"github.com/berth-engine/berth/hub/store"
	"github.com/containerd/errdefs"
)

// Role is what somebody may do with a repository; each includes those before.
type Role int

// The roles. Admin may also delete, and change what the repository says of
// itself and who may use it.
const (
	None Role = iota
	Read
	Write
	Admin
)

var roleNames = [...]string{"none", "read", "write", "admin"}

func (r Role) String() string { return roleNames[r] }

// MarshalText writes the role's name.
func (r Role) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads a role's name.
func (r *Role) UnmarshalText(text []byte) (err error) {
	*r, err = ParseRole(string(text))
	return err
}

// ParseRole reads read, write or admin.
func ParseRole(text string) (Role, error) {
	for i, name := range roleNames[1:] {
		if name == text {
			return Role(i + 1), nil
		}
	}
	return None, fmt.Errorf("%w: a role is read, write or admin, not %q", errdefs.ErrInvalidArgument, text)
}

// Role is what somebody may do with a repository of a name, now. When there is
// none, it is what they may do with one that they or others make there, so that
// the answer does not tell whether a private one exists.
func (s *Service) Role(ctx context.Context, by account.Principal, name string) (Role, error) {
	r, err := s.find(ctx, s.db, name)
	if errdefs.IsNotFound(err) {
		return s.roleAt(ctx, s.db, by, NamespaceOf(name))
	}
	if err != nil {
		return None, err
	}
	role, err := s.roleIn(ctx, s.db, by, r)
	if err == nil && role == None && r.Name != name {
		// A former name of what they may not know of is a free name to them.
		return s.roleAt(ctx, s.db, by, NamespaceOf(name))
	}
	return role, err
}

// roleAt is somebody's role in all of a namespace.
func (s *Service) roleAt(ctx context.Context, q store.Querier, by account.Principal, namespace string) (Role, error) {
	var id string
	err := q.QueryRow(ctx, "SELECT id FROM namespaces WHERE name = ?", namespace).Scan(&id)
	if errdefs.IsNotFound(err) {
		id = "" // nobody's; administrators may, and everybody where the Hub is open
	} else if err != nil {
		return None, err
	}
	return s.roleIn(ctx, q, by, Repository{namespaceID: id})
}

// roleIn is somebody's role in a repository: the highest that ownership,
// grants and visibility give, within the scopes of the credential.
func (s *Service) roleIn(ctx context.Context, q store.Querier, by account.Principal, r Repository) (Role, error) {
	if s.open || by.Kind == account.KindSystem {
		return Admin, nil
	}
	role := None
	if r.Public {
		role = Read
	}
	if by.Kind == account.KindUser || by.Kind == account.KindRobot {
		given, err := given(ctx, q, by, r)
		if err != nil {
			return None, err
		}
		role = max(role, given)
	}
	return bounded(by, role, r.Public), nil
}

// bounded is a role within a credential's scopes. What is public can be read
// with any.
func bounded(by account.Principal, role Role, public bool) Role {
	for _, step := range []struct {
		role  Role
		scope account.Scope
	}{{Admin, account.ScopeAdmin}, {Write, account.ScopeWrite}, {Read, account.ScopeRead}} {
		if role >= step.role && by.Allows(step.scope) {
			return step.role
		}
	}
	if public && role >= Read {
		return Read
	}
	return None
}

func given(ctx context.Context, q store.Querier, by account.Principal, r Repository) (Role, error) {
	const granted = "SELECT g.role FROM grants g WHERE g.namespace = ? AND g.repository IN ('', ?) AND "
	query := granted + "g.subject = ?"
	args := []any{r.namespaceID, r.ID, by.ID}
	if by.Kind == account.KindUser {
		query += " UNION ALL " + granted + "g.subject IN (SELECT m.team FROM team_members m WHERE m.user_id = ?)" +
			" UNION ALL SELECT 3 FROM members m WHERE m.organisation = ? AND m.user_id = ? AND m.role = 'owner'" +
			" UNION ALL SELECT 3 FROM users u WHERE u.id = ? AND (u.id = ? OR u.admin = 1 AND ? = 1)"
		args = append(args, r.namespaceID, r.ID, by.ID, r.namespaceID, by.ID, by.ID, r.namespaceID, store.Bool(by.Scopes == nil || by.Allows(account.ScopeHub)))
	}
	var role Role
	err := q.QueryRow(ctx, "SELECT coalesce(max(role), 0) FROM ("+query+") AS given", args...).Scan(&role)
	return role, err
}

// need refuses who has less than a role in a repository: as if it did not
// exist, when they may not even read it.
func (s *Service) need(ctx context.Context, q store.Querier, by account.Principal, name string, least Role) (Repository, error) {
	r, err := s.find(ctx, q, name)
	if err != nil {
		return Repository{}, err
	}
	return r, s.needIn(ctx, q, by, r, name, least)
}

// needIn is need in a repository that was found by a name.
func (s *Service) needIn(ctx context.Context, q store.Querier, by account.Principal, r Repository, name string, least Role) error {
	role, err := s.roleIn(ctx, q, by, r)
	switch {
	case err != nil:
		return err
	case role < Read:
		return unknown(name)
	case role < least:
		return fmt.Errorf("%w: this needs the role %s in %s, and yours is %s", errdefs.ErrPermissionDenied, least, r.Name, role)
	}
	return nil
}
