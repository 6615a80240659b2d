package catalog

import (
	"context"
	"fmt"

	"github.com/berth-engine/berth/hub/account"
	"github.com/berth-engine/berth/hub/store"
	"github.com/containerd/errdefs"
)

// Star marks a repository for who asks, or takes the mark away. It needs the
// role read there; robots and who has not signed in mark nothing.
func (s *Service) Star(ctx context.Context, by account.Principal, name string, on bool) error {
	action := "repository.star"
	if !on {
		action = "repository.unstar"
	}
	return s.edit(ctx, by, action, name, "", Read, func(tx *store.Tx, r Repository) error {
		if by.Kind != account.KindUser || !by.Allows(account.ScopeAccount) {
			return fmt.Errorf("%w: sign in to mark repositories", errdefs.ErrPermissionDenied)
		}
		query, args := "INSERT INTO stars (user_id, repository, created) VALUES (?, ?, ?) ON CONFLICT (user_id, repository) DO NOTHING", []any{by.ID, r.ID, s.now().Unix()}
		if !on {
			query, args = "DELETE FROM stars WHERE user_id = ? AND repository = ?", args[:2]
		}
		_, err := tx.Exec(ctx, query, args...)
		return err
	})
}

// Starred reports whether who asks marked a repository.
func (s *Service) Starred(ctx context.Context, by account.Principal, r Repository) (bool, error) {
	var n int64
	err := s.db.QueryRow(ctx, "SELECT count(*) FROM stars WHERE user_id = ? AND repository = ?", by.ID, r.ID).Scan(&n)
	return n > 0, err
}
