package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"strings"
)

// NewID returns a random id of 26 lower-case letters and digits, with 128 bits
// of randomness.
func NewID() string { return strings.ToLower(rand.Text()) }

// Scanner is a row that can be read; both Row and sql.Rows are one.
type Scanner interface{ Scan(dest ...any) error }

// Querier reads: a DB, or a Tx that sees its own writes.
type Querier interface {
	Query(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRow(ctx context.Context, query string, args ...any) Row
}

// Row is the answer of QueryRow.
type Row struct{ row *sql.Row }

// Scan reads the row's columns; no row is errdefs.ErrNotFound.
func (r Row) Scan(dest ...any) error { return kind(r.row.Scan(dest...)) }

// Query reads rows as they were last committed.
func (db *DB) Query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	rows, err := db.read.QueryContext(ctx, db.bind(query), args...) //nolint:rowserrcheck // the caller reads them
	return rows, kind(err)
}

// QueryRow reads one row as it was last committed.
func (db *DB) QueryRow(ctx context.Context, query string, args ...any) Row {
	return Row{db.read.QueryRowContext(ctx, db.bind(query), args...)}
}

// Exec is a transaction of one statement. It returns how many rows changed.
func (db *DB) Exec(ctx context.Context, query string, args ...any) (n int64, err error) {
	err = db.Tx(ctx, func(tx *Tx) error {
		n, err = tx.Exec(ctx, query, args...)
		return err
	})
	return n, err
}

// Collect reads all rows with scan: Collect(rows, err, scanUser) takes what
// Query returned.
func Collect[T any](rows *sql.Rows, err error, scan func(Scanner) (T, error)) ([]T, error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []T
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, kind(rows.Err())
}

// Bool is how a truth value is stored.
func Bool(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// Like returns the pattern that finds text which contains s, for use with
// LIKE ? ESCAPE '\'.
func Like(s string) string {
	return "%" + strings.NewReplacer(`\`, `\\`, "%", `\%`, "_", `\_`).Replace(s) + "%"
}
