package catalog

import (
	"context"
	"fmt"

	"github.com/berth-engine/berth/hub/account"
	"github.com/berth-engine/berth/hub/store"
	"github.com/containerd/errdefs"
)

// A description is one line of a list; a README is a page.
const (
	maxDescription = 200
	maxReadme      = 256 << 10
)

// Readme returns a repository's README, Markdown as it was written.
func (s *Service) Readme(ctx context.Context, r Repository) (text string, err error) {
	return text, s.db.QueryRow(ctx, "SELECT readme FROM repositories WHERE id = ?", r.ID).Scan(&text)
}

// SetText changes description and README, for who has the role write.
func (s *Service) SetText(ctx context.Context, by account.Principal, name, description, readme string) error {
	if len(description) > maxDescription || len(readme) > maxReadme {
		return fmt.Errorf("%w: a description has at most %d bytes, a README %d", errdefs.ErrInvalidArgument, maxDescription, maxReadme)
	}
	return s.edit(ctx, by, "repository.text", name, "", Write, func(tx *store.Tx, r Repository) error {
		_, err := tx.Exec(ctx, "UPDATE repositories SET description = ?, readme = ? WHERE id = ?", description, readme, r.ID)
		return err
	})
}

// SetPublic lets everybody read a repository, or only who was given a role.
func (s *Service) SetPublic(ctx context.Context, by account.Principal, name string, public bool) error {
	return s.edit(ctx, by, "repository.visibility", name, visibility(public), Admin, func(tx *store.Tx, r Repository) error {
		_, err := tx.Exec(ctx, "UPDATE repositories SET public = ? WHERE id = ?", store.Bool(public), r.ID)
		return err
	})
}

// Remove deletes a repository with all tags. Its content is garbage then.
func (s *Service) Remove(ctx context.Context, by account.Principal, name string) error {
	return s.edit(ctx, by, "repository.delete", name, "", Admin, func(tx *store.Tx, r Repository) error {
		if _, err := tx.Exec(ctx, "DELETE FROM grants WHERE repository = ?", r.ID); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, "DELETE FROM webhooks WHERE owner = ?", r.ID); err != nil {
			return err
		}
		// For who collects garbage: what is there has no other reason to go.
		if _, err := tx.Exec(ctx, "INSERT INTO gc_removed (storage, removed) VALUES (?, ?)", r.Storage, s.now().Unix()); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "DELETE FROM repositories WHERE id = ?", r.ID)
		return err
	})
}

// Rename gives a repository another name, in its namespace or (a transfer) in
// another, where the role admin is needed, too. The old name goes on leading to
// it, for pulls, until it is taken. A transfer ends the grants, since teams and
// robots are the old namespace's.
func (s *Service) Rename(ctx context.Context, by account.Principal, from, to string) error {
	return s.edit(ctx, by, "repository.rename", from, to, Admin, func(tx *store.Tx, r Repository) error {
		if err := ValidName(to); err != nil { // said only to who may
			return err
		}
		if r.Name != from {
			return fmt.Errorf("%w: %s is called %s by now", errdefs.ErrFailedPrecondition, from, r.Name)
		}
		role, err := s.roleAt(ctx, tx, by, NamespaceOf(to))
		if err != nil {
			return err
		}
		least := Write
		if NamespaceOf(to) != r.Namespace {
			least = Admin
		}
		if role < least {
			return fmt.Errorf("%w: you may not put repositories into %s", errdefs.ErrPermissionDenied, NamespaceOf(to))
		}
		owner, err := s.namespace(ctx, tx, NamespaceOf(to), s.open || by.Kind == account.KindSystem)
		if err != nil {
			return err
		}
		var taken int64
		if err := tx.QueryRow(ctx, "SELECT count(*) FROM repositories WHERE name = ?", to).Scan(&taken); err != nil {
			return err
		}
		if taken > 0 {
			return fmt.Errorf("%w: there is a repository %q", errdefs.ErrAlreadyExists, to)
		}
		return move(ctx, tx, r, to, owner)
	})
}

func move(ctx context.Context, tx *store.Tx, r Repository, to, owner string) error {
	if owner != r.namespaceID {
		if _, err := tx.Exec(ctx, "DELETE FROM grants WHERE repository = ?", r.ID); err != nil {
			return err
		}
	}
	if _, err := tx.Exec(ctx, "DELETE FROM redirects WHERE name IN (?, ?)", to, r.Name); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, "UPDATE repositories SET name = ?, namespace = ? WHERE id = ?", to, owner, r.ID); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, "INSERT INTO redirects (name, repository) VALUES (?, ?)", r.Name, r.ID)
	return err
}

func (s *Service) edit(ctx context.Context, by account.Principal, action, name, detail string, least Role, f func(tx *store.Tx, r Repository) error) error {
	return s.Act(ctx, by, Deed{Place: Place{Repository: name}, Least: least, Action: action, Detail: detail}, func(tx *store.Tx, at Found) error {
		return f(tx, at.Repository)
	})
}
