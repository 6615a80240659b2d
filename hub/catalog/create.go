package catalog

import (
	"context"
	"fmt"

	"github.com/berth-engine/berth/hub/account"
	"github.com/berth-engine/berth/hub/audit"
	"github.com/berth-engine/berth/hub/store"
	"github.com/containerd/errdefs"
)

// Create makes a repository. It needs write in all of the namespace.
func (s *Service) Create(ctx context.Context, by account.Principal, name string, public bool) (Repository, error) {
	return s.create(ctx, by, name, "", public, false)
}

// Ensure returns the repository of a name for who may write to it, and makes it
// when it is missing, as the first push does: private, or public where the Hub
// is open.
func (s *Service) Ensure(ctx context.Context, by account.Principal, name string) (Repository, error) {
	r, err := s.need(ctx, s.db, by, name, Write)
	if err == nil || !errdefs.IsNotFound(err) {
		return r, err
	}
	r, err = s.create(ctx, by, name, "", s.open, true)
	if errdefs.IsAlreadyExists(err) { // by another push, at the same time
		return s.need(ctx, s.db, by, name, Write)
	}
	return r, err
}

// create makes a repository; storage is where it lies, and empty a place of its
// own.
func (s *Service) create(ctx context.Context, by account.Principal, name, storage string, public, push bool) (Repository, error) {
	if err := ValidName(name); err != nil {
		return Repository{}, err
	}
	id := store.NewID()
	if storage == "" {
		storage = "r/" + id
	}
	namespace := NamespaceOf(name)
	e := audit.Entry{Action: "repository.create", Namespace: namespace, Target: name, Detail: visibility(public)}
	err := account.Audited(ctx, s.db, by, e, func(tx *store.Tx) error {
		role, err := s.roleAt(ctx, tx, by, namespace)
		if err != nil {
			return err
		}
		if role < Write {
			return fmt.Errorf("%w: you may not make repositories in %s", errdefs.ErrPermissionDenied, namespace)
		}
		var same int64
		if err := tx.QueryRow(ctx, "SELECT count(*) FROM repositories WHERE name = ?", name).Scan(&same); err != nil {
			return err
		}
		if same > 0 {
			return fmt.Errorf("%w: there is a repository %q", errdefs.ErrAlreadyExists, name)
		}
		owner, err := s.namespace(ctx, tx, namespace, push && s.open || by.Kind == account.KindSystem)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, "DELETE FROM redirects WHERE name = ?", name); err != nil {
			return err
		}
		now := s.now().Unix()
		_, err = tx.Exec(ctx, "INSERT INTO repositories (id, namespace, name, storage, public, created, updated) VALUES (?, ?, ?, ?, ?, ?, ?)",
			id, owner, name, storage, store.Bool(public), now, now)
		return err
	})
	if err != nil {
		return Repository{}, err
	}
	return s.ByID(ctx, id)
}

func visibility(public bool) string {
	if public {
		return "public"
	}
	return "private"
}

// namespace returns a namespace's id. Where create is set, one that is missing is
// made as an organisation without owners, which administrators can fill.
func (s *Service) namespace(ctx context.Context, tx *store.Tx, name string, create bool) (id string, err error) {
	err = tx.QueryRow(ctx, "SELECT id FROM namespaces WHERE name = ?", name).Scan(&id)
	if !errdefs.IsNotFound(err) {
		return id, err
	}
	if !create {
		return "", fmt.Errorf("%w: there is no user or organisation %q", errdefs.ErrNotFound, name)
	}
	id = store.NewID()
	_, err = tx.Exec(ctx, "INSERT INTO namespaces (id, name, kind, created) VALUES (?, ?, 'organisation', ?)", id, name, s.now().Unix())
	return id, err
}

// adopted is the setting that says that the storage's content is known here.
const adopted = "catalog-adopted"

// Unknown reports whether the registry's storage may hold what an earlier Hub,
// which had no catalogue, put there.
func (s *Service) Unknown(ctx context.Context) (bool, error) {
	var n int64
	err := s.db.QueryRow(ctx, "SELECT (SELECT count(*) FROM settings WHERE name = ?) + (SELECT count(*) FROM repositories WHERE storage LIKE 'r/%')", adopted).Scan(&n)
	return n == 0, err
}

// Known ends what Unknown reports.
func (s *Service) Known(ctx context.Context) error {
	_, err := s.db.Exec(ctx, "INSERT INTO settings (name, value) VALUES (?, '1') ON CONFLICT (name) DO NOTHING", adopted)
	return err
}

// Adopt makes a public repository of what lies in the storage under its name,
// or returns the one that was made of it.
func (s *Service) Adopt(ctx context.Context, by account.Principal, name string) (Repository, error) {
	r, err := s.find(ctx, s.db, name)
	if err == nil || !errdefs.IsNotFound(err) {
		return r, err
	}
	return s.create(ctx, by, name, name, true, true)
}
