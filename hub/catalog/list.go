package catalog

import (
	"context"
	"fmt"
	"strings"

	"github.com/berth-engine/berth/hub/account"
	"github.com/berth-engine/berth/hub/store"
	"github.com/containerd/errdefs"
)

// Query selects repositories; the zero value is all that somebody may read.
type Query struct {
	Search    string // words that name or description contain
	Namespace string
	After     string // in the order of names: those after this one
	Order     Order  // "" is by name
	StarredBy string // the id of a user who marked them
	Offset    int
	Limit     int // 0 is 100; at most 1000
}

// Order is that of a list.
type Order string

// Orders beside that of names.
const (
	Popular Order = "popular" // the most pulled first
	Recent  Order = "recent"  // what was pushed or changed last first
	Stars   Order = "stars"   // what most users marked first
)

var orders = map[Order]string{
	"": "r.name COLLATE BINARY", Popular: "r.pulls DESC, r.name COLLATE BINARY", Recent: "r.updated DESC, r.name COLLATE BINARY",
	Stars: "stars DESC, r.pulls DESC, r.name COLLATE BINARY",
}

// List returns the repositories that somebody may read.
func (s *Service) List(ctx context.Context, by account.Principal, q Query) ([]Repository, error) {
	visible, args, err := s.visible(ctx, by)
	if err != nil {
		return nil, err
	}
	query := columns + " WHERE " + visible
	for word := range strings.FieldsSeq(strings.ToLower(q.Search)) {
		query += ` AND (r.name LIKE ? ESCAPE '\' OR lower(r.description) LIKE ? ESCAPE '\')`
		args = append(args, store.Like(word), store.Like(word))
	}
	if q.Namespace != "" {
		query += " AND n.name = ?"
		args = append(args, q.Namespace)
	}
	if q.After != "" {
		query += " AND r.name COLLATE BINARY > ?"
		args = append(args, q.After)
	}
	if q.StarredBy != "" {
		query += " AND EXISTS (SELECT 1 FROM stars m WHERE m.repository = r.id AND m.user_id = ?)"
		args = append(args, q.StarredBy)
	}
	order, ok := orders[q.Order]
	if !ok {
		return nil, fmt.Errorf("%w: the order %q is not there: there are popular, recent and stars", errdefs.ErrInvalidArgument, q.Order)
	}
	query += " ORDER BY " + order
	if q.Limit <= 0 {
		q.Limit = 100
	}
	args = append(args, min(q.Limit, 1000), max(0, q.Offset))
	rows, err := s.db.Query(ctx, query+" LIMIT ? OFFSET ?", args...)
	return store.Collect(rows, err, scan)
}

// visible is the condition under which somebody may read a repository r of a
// namespace n. It says the same as roleIn, for many at once.
func (s *Service) visible(ctx context.Context, by account.Principal) (condition string, args []any, err error) {
	if s.open || by.Kind == account.KindSystem {
		return "1 = 1", nil, nil
	}
	if by.Anonymous() || !by.Allows(account.ScopeRead) {
		return "r.public = 1", nil, nil
	}
	if admin, err := account.IsAdmin(ctx, s.db, by); err != nil || admin {
		return "1 = 1", nil, err
	}
	const granted = "SELECT 1 FROM grants g WHERE g.namespace = n.id AND g.repository IN ('', r.id) AND "
	condition = "(r.public = 1 OR EXISTS (" + granted + "g.subject = ?)"
	args = []any{by.ID}
	if by.Kind == account.KindUser {
		condition += " OR n.id = ? OR EXISTS (" + granted + "g.subject IN (SELECT m.team FROM team_members m WHERE m.user_id = ?))" +
			" OR EXISTS (SELECT 1 FROM members m WHERE m.organisation = n.id AND m.user_id = ? AND m.role = 'owner')"
		args = append(args, by.ID, by.ID, by.ID)
	}
	return condition + ")", args, nil
}
