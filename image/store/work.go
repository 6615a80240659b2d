package store

import (
	"context"
	"errors"

	"github.com/containerd/containerd/v2/core/leases"
)

// workLabel is on leases of what only a running process does: load, commit, push.
const workLabel = "berth.work"

// builderLabel is on leases that a builder has while it works.
const builderLabel = "buildkit/lease.temporary"

// WorkLease makes a lease that ends with the process, if not before: unlike that
// of a pull, which the next process goes on with. What it keeps goes when the store
// is opened again.
func (db *DB) WorkLease(ctx context.Context, what string) (leases.Lease, error) {
	return db.Leases.Create(ctx, leases.WithRandomID(), leases.WithLabel(workLabel, what))
}

// endWork ends the leases of work that a killed process did not finish.
func (db *DB) endWork(ctx context.Context) error {
	list, err := db.Leases.List(ctx, `labels."`+workLabel+`"`, `labels."`+builderLabel+`"`)
	for _, l := range list {
		err = errors.Join(err, db.Leases.Delete(ctx, l))
	}
	return err
}
