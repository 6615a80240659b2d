package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	_ "modernc.org/sqlite"             // the driver "sqlite"
)

// readers is how many connections read a SQLite file at once. Writing has one:
// SQLite allows no more, and waiting for it in Go costs no polling.
const readers = 8

// pooled is how many connections a node keeps to PostgreSQL, whose default
// limit for all its clients is a hundred.
const pooled = 20

// DB is an open database whose migrations are applied. Close it.
type DB struct {
	read, write *sql.DB // the same for PostgreSQL
	postgres    bool
}

// Open opens the database that url names and applies the migrations that it
// lacks. A url with the scheme postgres or postgresql is a PostgreSQL server;
// everything else is the path of a SQLite file, which is made with its folder
// when missing, for its owner alone.
func Open(ctx context.Context, url string) (*DB, error) {
	open := openSQLite
	if strings.HasPrefix(url, "postgres://") || strings.HasPrefix(url, "postgresql://") {
		open = openPostgres
	}
	db, err := open(url)
	if err != nil {
		return nil, fmt.Errorf("open the database: %w", err)
	}
	if err := db.migrate(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open the database: %w", err), db.Close())
	}
	return db, nil
}

func openSQLite(path string) (*DB, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	// SQLite gives the files beside it the mode of this one.
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := f.Close(); err != nil {
		return nil, err
	}
	// What was acknowledged survives a loss of power: synchronous=FULL. What was
	// deleted is overwritten, see Scrub.
	const common = "_pragma=busy_timeout(10000)&_pragma=foreign_keys(1)&_pragma=synchronous(FULL)&_pragma=secure_delete(1)&_txlock=immediate"
	name := "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + common
	write, err := sql.Open("sqlite", name+"&_pragma=journal_mode(WAL)")
	if err != nil {
		return nil, err
	}
	write.SetMaxOpenConns(1)
	read, err := sql.Open("sqlite", name+"&_pragma=query_only(1)")
	if err != nil {
		return nil, errors.Join(err, write.Close())
	}
	read.SetMaxOpenConns(readers)
	read.SetMaxIdleConns(readers)
	return &DB{read: read, write: write}, nil
}

func openPostgres(url string) (*DB, error) {
	pool, err := sql.Open("pgx", url)
	if err != nil {
		return nil, err
	}
	pool.SetMaxOpenConns(pooled)
	pool.SetMaxIdleConns(pooled)
	return &DB{read: pool, write: pool, postgres: true}, nil
}

// Shared reports whether other nodes may be using the same database.
func (db *DB) Shared() bool { return db.postgres }

// Ping asks the database whether it is there.
func (db *DB) Ping(ctx context.Context) error {
	var one int
	return db.QueryRow(ctx, "SELECT 1").Scan(&one)
}

// Scrub has what was overwritten or deleted leave SQLite's files, of which the
// journal keeps it until it is written into the database. PostgreSQL does that
// when it vacuums.
func (db *DB) Scrub(ctx context.Context) error {
	if db.postgres {
		return nil
	}
	var busy, pages, moved int
	if err := db.write.QueryRowContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &pages, &moved); err != nil {
		return kind(err)
	}
	return nil // busy: a reader is at it still, and the next checkpoint does it
}

// Close ends all connections.
func (db *DB) Close() error {
	if db.postgres {
		return db.write.Close()
	}
	return errors.Join(db.read.Close(), db.write.Close())
}
