package store

import (
	"cmp"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"
)

//go:embed migrations/*.sql
var migrations embed.FS

// migration is one step of the schema.
type migration struct {
	number         int
	name, sql, sum string
}

func (m migration) String() string { return fmt.Sprintf("%04d_%s", m.number, m.name) }

// readMigrations reads NNNN_name.sql from a folder, in order.
func readMigrations(dir fs.FS) ([]migration, error) {
	files, err := fs.Glob(dir, "*.sql")
	if err != nil {
		return nil, err
	}
	var all []migration
	for _, file := range files {
		number, name, ok := strings.Cut(strings.TrimSuffix(file, ".sql"), "_")
		n, err := strconv.Atoi(number)
		if !ok || err != nil || len(number) != 4 {
			return nil, fmt.Errorf("migration %s is not NNNN_name.sql", file)
		}
		text, err := fs.ReadFile(dir, file)
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(text)
		all = append(all, migration{number: n, name: name, sql: string(text), sum: hex.EncodeToString(sum[:])})
	}
	slices.SortFunc(all, func(a, b migration) int { return cmp.Compare(a.number, b.number) })
	for i := 1; i < len(all); i++ {
		if all[i].number == all[i-1].number {
			return nil, fmt.Errorf("migrations %s and %s have one number", all[i-1], all[i])
		}
	}
	return all, nil
}

func (db *DB) migrate(ctx context.Context) error {
	dir, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	all, err := readMigrations(dir)
	if err != nil {
		return err
	}
	return db.apply(ctx, all)
}

// apply brings the schema up to all. A database that has more than all was
// written by a newer Hub and is refused: this one would not keep its promises.
func (db *DB) apply(ctx context.Context, all []migration) error {
	unlock, err := db.lockSchema(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	err = db.Tx(ctx, func(tx *Tx) error {
		_, err := tx.Exec(ctx, `CREATE TABLE IF NOT EXISTS migrations (number BIGINT PRIMARY KEY, name TEXT NOT NULL, sum TEXT NOT NULL, applied BIGINT NOT NULL)`)
		return err
	})
	if err != nil {
		return err
	}
	for _, m := range all {
		if err := db.Tx(ctx, func(tx *Tx) error { return m.apply(ctx, tx) }); err != nil {
			return fmt.Errorf("migration %s: %w", m, err)
		}
	}
	known := map[int]bool{}
	for _, m := range all {
		known[m.number] = true
	}
	rows, err := db.Query(ctx, "SELECT number FROM migrations ORDER BY number")
	there, err := Collect(rows, err, func(s Scanner) (n int, err error) { return n, s.Scan(&n) })
	if err != nil {
		return err
	}
	for _, n := range there {
		if !known[n] {
			return fmt.Errorf("it has migration %04d, which this version does not know: use the version that wrote it, or a newer one", n)
		}
	}
	return nil
}

// apply runs one migration unless it is there.
func (m migration) apply(ctx context.Context, tx *Tx) error {
	rows, err := tx.Query(ctx, "SELECT sum FROM migrations WHERE number = ?", m.number)
	sums, err := Collect(rows, err, func(s Scanner) (sum string, err error) { return sum, s.Scan(&sum) })
	if err != nil {
		return err
	}
	if len(sums) > 0 {
		if sums[0] != m.sum {
			return errors.New("the database had another migration of this number applied")
		}
		return nil
	}
	if _, err := tx.Exec(ctx, m.sql); err != nil {
		return err
	}
	_, err = tx.Exec(ctx, "INSERT INTO migrations (number, name, sum, applied) VALUES (?, ?, ?, ?)", m.number, m.name, m.sum, time.Now().Unix())
	return err
}

// lockSchema lets one node at a time migrate a shared database. The lock is a
// connection's: a transaction would have its snapshot from before the wait.
func (db *DB) lockSchema(ctx context.Context) (unlock func(), err error) {
	if !db.postgres {
		return func() {}, nil // one process: it has the file's only writer
	}
	conn, err := db.write.Conn(ctx)
	if err != nil {
		return nil, err
	}
	const key = 0x6265727468 // "berth"
	if _, err := conn.ExecContext(ctx, "SELECT pg_advisory_lock($1)", key); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return func() {
		// Whatever ends here also ends with the connection.
		_, _ = conn.ExecContext(context.WithoutCancel(ctx), "SELECT pg_advisory_unlock($1)", key)
		_ = conn.Close()
	}, nil
}
