package catalog

import (
	"context"
	"fmt"

	"github.com/berth-engine/berth/hub/account"
	"github.com/berth-engine/berth/hub/audit"
	"github.com/berth-engine/berth/hub/store"
	"github.com/containerd/errdefs"
)

// Place is where something is done: in a repository, in all of a namespace, or,
// the zero value, in the Hub itself.
type Place struct{ Repository, Namespace string } // names; one of them at most

// Name is what people call it; of the Hub itself, "".
func (p Place) Name() string { return p.Repository + p.Namespace }

// Found is a place that somebody may act in.
type Found struct {
	ID         string     // of the repository or namespace
	Repository Repository // of a repository
}

// May returns a place for who may act there: in a repository those with a role,
// in a namespace its owners, in the Hub its administrators; where the Hub is
// open, everybody. Who may not read a repository is told that there is none.
func (s *Service) May(ctx context.Context, q store.Querier, by account.Principal, p Place, least Role) (Found, error) {
	switch {
	case p.Repository != "":
		r, err := s.need(ctx, q, by, p.Repository, least)
		return Found{r.ID, r}, err
	case s.open && p.Namespace != "":
		id, err := findNamespace(ctx, q, p.Namespace)
		return Found{ID: id}, err
	case s.open:
		return Found{}, nil
	case p.Namespace != "":
		id, err := account.Owned(ctx, q, by, p.Namespace)
		return Found{ID: id}, err
	}
	return Found{}, account.NeedAdmin(ctx, q, by)
}

func findNamespace(ctx context.Context, q store.Querier, name string) (id string, err error) {
	err = q.QueryRow(ctx, "SELECT id FROM namespaces WHERE name = ?", name).Scan(&id)
	if errdefs.IsNotFound(err) {
		err = fmt.Errorf("%w: there is no user or organisation %q", errdefs.ErrNotFound, name)
	}
	return id, err
}

// Deed is what somebody does at a place.
type Deed struct {
	Place
	Least  Role   // what it needs in a repository
	Action string // for the audit log, as Target and Detail
	Target string // empty is the place's name
	Detail string // no secret, nor an address that is one
}

// Act authorises a deed, does it, and writes the audit log, in one transaction:
// neither is there without the others. f may run more than once. A refusal is
// written, too.
func (s *Service) Act(ctx context.Context, by account.Principal, d Deed, f func(tx *store.Tx, at Found) error) error {
	e := audit.Entry{Action: d.Action, Namespace: d.Namespace, Target: d.Target, Detail: d.Detail}
	if d.Repository != "" {
		e.Namespace = NamespaceOf(d.Repository)
	}
	if e.Target == "" {
		e.Target = d.Name()
	}
	return account.Audited(ctx, s.db, by, e, func(tx *store.Tx) error {
		at, err := s.May(ctx, tx, by, d.Place, d.Least)
		if err != nil {
			return err
		}
		return f(tx, at)
	})
}
