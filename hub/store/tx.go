package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// patience is how long a transaction is tried again when others were in its
// way.
const patience = 20 * time.Second

// Tx is a transaction. It is serialisable: what it read is still so when it
// commits.
type Tx struct {
	tx *sql.Tx
	db *DB
}

// Tx runs do in a transaction and commits when do returns nil. When others
// were in the way, do runs again from the start, so it must leave nothing
// behind but what it wrote to the transaction. do must use only tx: with
// SQLite a second transaction inside the first waits for itself.
func (db *DB) Tx(ctx context.Context, do func(tx *Tx) error) error {
	deadline := time.Now().Add(patience)
	for wait := time.Millisecond; ; wait = min(2*wait, 200*time.Millisecond) {
		err := db.once(ctx, do)
		if !busy(err) {
			return kind(err)
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the database is too busy: %w", kind(err))
		}
		pause := time.NewTimer(rand.N(wait) + 1) //nolint:gosec // jitter
		select {
		case <-ctx.Done():
			pause.Stop()
			return errors.Join(ctx.Err(), err)
		case <-pause.C:
		}
	}
}

func (db *DB) once(ctx context.Context, do func(tx *Tx) error) error {
	level := sql.LevelDefault
	if db.postgres {
		level = sql.LevelSerializable // SQLite has no other
	}
	tx, err := db.write.BeginTx(ctx, &sql.TxOptions{Isolation: level})
	if err != nil {
		return err
	}
	done := false
	defer func() {
		if !done { // also when do panics
			_ = tx.Rollback() // the error that led here says more
		}
	}()
	if err := do(&Tx{tx: tx, db: db}); err != nil {
		return err
	}
	done = true
	return tx.Commit()
}

// Exec writes. It returns how many rows changed.
func (tx *Tx) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	result, err := tx.tx.ExecContext(ctx, tx.db.bind(query), args...)
	if err != nil {
		return 0, kind(err)
	}
	return result.RowsAffected()
}

// Query reads rows, this transaction's own writes included. Read all before the
// next statement (Collect does).
func (tx *Tx) Query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	rows, err := tx.tx.QueryContext(ctx, tx.db.bind(query), args...) //nolint:rowserrcheck // the caller reads them
	return rows, kind(err)
}

// QueryRow reads one row, this transaction's own writes included.
func (tx *Tx) QueryRow(ctx context.Context, query string, args ...any) Row {
	return Row{tx.tx.QueryRowContext(ctx, tx.db.bind(query), args...)}
}
