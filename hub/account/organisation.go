package account

import (
	"context"
	"fmt"
	"time"

	"github.com/berth-engine/berth/hub/audit"
	"github.com/berth-engine/berth/hub/store"
	"github.com/containerd/errdefs"
)

// Namespace is a user or an organisation, as owner of repositories.
type Namespace struct {
	ID      string    `json:"id"`
	Name    string    `json:"name"`
	Kind    string    `json:"kind"` // user, organisation
	Display string    `json:"display"`
	About   string    `json:"about"`
	Created time.Time `json:"created"`
}

const namespaceColumns = "SELECT n.id, n.name, n.kind, n.display, n.about, n.created FROM namespaces n"

func scanNamespace(s store.Scanner) (n Namespace, err error) {
	var created int64
	err = s.Scan(&n.ID, &n.Name, &n.Kind, &n.Display, &n.About, &created)
	n.Created = moment(created)
	return n, err
}

// Namespace finds a user or organisation by name. Both are public.
func (s *Service) Namespace(ctx context.Context, name string) (Namespace, error) {
	n, err := scanNamespace(s.db.QueryRow(ctx, namespaceColumns+" WHERE n.name = ?", name))
	if errdefs.IsNotFound(err) {
		return Namespace{}, notFound("user or organisation", name)
	}
	return n, err
}

// Organisations lists those that a user belongs to, by name.
func (s *Service) Organisations(ctx context.Context, by Principal) ([]Namespace, error) {
	rows, err := s.db.Query(ctx, namespaceColumns+" JOIN members m ON m.organisation = n.id WHERE m.user_id = ? ORDER BY n.name", by.ID)
	return store.Collect(rows, err, scanNamespace)
}

// CreateOrganisation makes an organisation with who asks as its owner.
func (s *Service) CreateOrganisation(ctx context.Context, by Principal, name string) (Namespace, error) {
	if err := validNamespace(by, name); err != nil {
		return Namespace{}, err
	}
	n := Namespace{ID: store.NewID(), Name: name, Kind: "organisation", Created: s.now()}
	err := s.do(ctx, act{by: by, action: "organisation.create", namespace: name, target: name}, func(tx *store.Tx) error {
		if by.Kind != KindSystem && (by.Kind != KindUser || !by.Allows(ScopeAccount)) {
			return denied("sign in to make an organisation")
		}
		if err := insertNamespace(ctx, tx, n.ID, name, n.Kind, n.Created); err != nil || by.Kind == KindSystem {
			return err
		}
		_, err := tx.Exec(ctx, "INSERT INTO members (organisation, user_id, role) VALUES (?, ?, 'owner')", n.ID, by.ID)
		return err
	})
	if err != nil {
		return Namespace{}, err
	}
	return n, nil
}

// SetOrganisationProfile changes what an organisation says of itself.
func (s *Service) SetOrganisationProfile(ctx context.Context, by Principal, name string, p Profile) error {
	if p.Email != "" {
		return fmt.Errorf("%w: an organisation has no e-mail address", errdefs.ErrInvalidArgument)
	}
	if err := p.valid(); err != nil {
		return err
	}
	return s.owning(ctx, by, "organisation.profile", name, name, func(tx *store.Tx, id string) error {
		_, err := tx.Exec(ctx, "UPDATE namespaces SET display = ?, about = ? WHERE id = ?", p.Display, p.About, id)
		return err
	})
}

// DeleteOrganisation removes an organisation that has no repositories.
func (s *Service) DeleteOrganisation(ctx context.Context, by Principal, name string) error {
	return s.owning(ctx, by, "organisation.delete", name, name, func(tx *store.Tx, id string) error {
		if id == by.ID {
			return fmt.Errorf("%w: %s is a user", errdefs.ErrInvalidArgument, name)
		}
		return deleteNamespace(ctx, tx, id, name)
	})
}

// Owns reports whether somebody may administer a namespace, now: a user their
// own, owners their organisation, administrators of the Hub each.
func (s *Service) Owns(ctx context.Context, by Principal, namespace string) (bool, error) {
	_, err := Owned(ctx, s.db, by, namespace)
	if errdefs.IsPermissionDenied(err) || errdefs.IsNotFound(err) {
		return false, nil
	}
	return err == nil, err
}

// Owned returns the id of a namespace for who may administer it.
func Owned(ctx context.Context, q store.Querier, by Principal, namespace string) (id string, err error) {
	err = q.QueryRow(ctx, "SELECT id FROM namespaces WHERE name = ?", namespace).Scan(&id)
	if errdefs.IsNotFound(err) {
		return "", notFound("user or organisation", namespace)
	}
	if err != nil || by.Kind == KindSystem {
		return id, err
	}
	if by.Kind == KindUser && by.Allows(ScopeAccount) {
		var n int64
		err := q.QueryRow(ctx, `SELECT count(*) FROM users u WHERE u.id = ? AND u.disabled = 0 AND (u.id = ? OR EXISTS
			(SELECT 1 FROM members m WHERE m.organisation = ? AND m.user_id = u.id AND m.role = 'owner'))`, by.ID, id, id).Scan(&n)
		if err != nil || n > 0 {
			return id, err
		}
	}
	if admin, err := IsAdmin(ctx, q, by); err != nil || admin {
		return id, err
	}
	return "", denied("only owners of %s may do this", namespace)
}

// owning is what owners do within their namespace.
func (s *Service) owning(ctx context.Context, by Principal, action, namespace, target string, f func(tx *store.Tx, id string) error) error {
	return s.do(ctx, act{by: by, action: action, namespace: namespace, target: target}, func(tx *store.Tx) error {
		id, err := Owned(ctx, tx, by, namespace)
		if err != nil {
			return err
		}
		return f(tx, id)
	})
}

// Audit lists the audit log: a namespace's for those who own it, all of it for
// administrators of the Hub, and everybody what they did themselves.
func (s *Service) Audit(ctx context.Context, by Principal, f audit.Filter) ([]audit.Entry, error) {
	var err error
	switch {
	case f.Namespace != "":
		_, err = Owned(ctx, s.db, by, f.Namespace)
	case f.Actor != "" && f.Actor == by.ID && by.Allows(ScopeAccount):
	default:
		err = NeedAdmin(ctx, s.db, by)
	}
	if err != nil {
		return nil, err
	}
	return audit.List(ctx, s.db, f)
}
