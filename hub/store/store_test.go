package store

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/berth-engine/berth/test/postgres"
	"github.com/containerd/errdefs"
)

func open(t *testing.T) (*DB, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "a b?c#%41", "hub.db")
	db, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db, path
}

func TestOpenTwiceKeepsWhatIsThere(t *testing.T) {
	db, path := open(t)
	testSettings(t, db)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	var value string
	if err := again.QueryRow(t.Context(), "SELECT value FROM settings WHERE name = ?", "a").Scan(&value); err != nil || value != "1" {
		t.Errorf("%q, %v", value, err)
	}
	files, err := filepath.Glob(filepath.Join(filepath.Dir(path), "*"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		if info, err := os.Stat(f); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", f, info.Mode(), err)
		}
	}
}

// testSettings writes through each of the ways there are, and reads it back.
func testSettings(t *testing.T, db *DB) {
	t.Helper()
	ctx := t.Context()
	if _, err := db.Exec(ctx, "INSERT INTO settings (name, value) VALUES (?, ?)", "a", "1"); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(ctx, "INSERT INTO settings (name, value) VALUES (?, ?)", "a", "2"); !errdefs.IsAlreadyExists(err) {
		t.Errorf("the same name again: %v", err)
	}
	var value string
	if err := db.QueryRow(ctx, "SELECT value FROM settings WHERE name = ? AND value <> '?'", "b").Scan(&value); !errdefs.IsNotFound(err) {
		t.Errorf("what is not there: %v", err)
	}
	refused := errors.New("refused")
	err := db.Tx(ctx, func(tx *Tx) error {
		if _, err := tx.Exec(ctx, "DELETE FROM settings"); err != nil {
			return err
		}
		if err := tx.QueryRow(ctx, "SELECT value FROM settings WHERE name = ?", "a").Scan(&value); !errdefs.IsNotFound(err) {
			t.Errorf("a transaction does not see its own deletion: %v", err)
		}
		return refused
	})
	if !errors.Is(err, refused) {
		t.Errorf("got %v", err)
	}
	if err := db.QueryRow(ctx, "SELECT value FROM settings WHERE name = ?", "a").Scan(&value); err != nil || value != "1" {
		t.Errorf("after the rollback: %q, %v", value, err)
	}
}

func TestConcurrentWritersLoseNothing(t *testing.T) {
	db, _ := open(t)
	testCounting(t, db)
}

// testCounting reads, adds and writes from many goroutines at once.
func testCounting(t *testing.T, db *DB) {
	t.Helper()
	ctx := t.Context()
	if _, err := db.Exec(ctx, "INSERT INTO settings (name, value) VALUES ('n', '')"); err != nil {
		t.Fatal(err)
	}
	const writers, each = 8, 10
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for range each {
				if err := db.Tx(ctx, func(tx *Tx) error { return appendX(ctx, tx) }); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	var value string
	if err := db.QueryRow(ctx, "SELECT value FROM settings WHERE name = 'n'").Scan(&value); err != nil || len(value) != writers*each {
		t.Errorf("%d of %d, %v", len(value), writers*each, err)
	}
}

func appendX(ctx context.Context, tx *Tx) error {
	var value string
	if err := tx.QueryRow(ctx, "SELECT value FROM settings WHERE name = 'n'").Scan(&value); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, "UPDATE settings SET value = ? WHERE name = 'n'", value+"x")
	return err
}

func TestMigrationsAreAppliedOnceAndNotChanged(t *testing.T) {
	db, _ := open(t)
	testMigrations(t, db)
}

func testMigrations(t *testing.T, db *DB) {
	t.Helper()
	ctx := t.Context()
	published, err := migrations.ReadDir("migrations")
	if err != nil {
		t.Fatal(err)
	}
	dir := fstest.MapFS{}
	for _, f := range published {
		data, err := migrations.ReadFile("migrations/" + f.Name())
		if err != nil {
			t.Fatal(err)
		}
		dir[f.Name()] = &fstest.MapFile{Data: data}
	}
	step := func(name, sql string) error {
		if sql == "" {
			delete(dir, name)
		} else {
			dir[name] = &fstest.MapFile{Data: []byte(sql)}
		}
		all, err := readMigrations(dir)
		if err != nil {
			return err
		}
		return db.apply(ctx, all)
	}
	for range 2 {
		if err := step("9001_x.sql", "CREATE TABLE x (a BIGINT); CREATE TABLE y (a BIGINT)"); err != nil {
			t.Fatal(err)
		}
	}
	if err := step("9002_half.sql", "CREATE TABLE z (a BIGINT); INSERT INTO nowhere VALUES (1)"); err == nil {
		t.Error("a failing migration was taken")
	}
	if _, err := db.Exec(ctx, "SELECT * FROM z"); err == nil {
		t.Error("half a migration was applied")
	}
	if err := step("9002_half.sql", ""); err != nil {
		t.Error(err)
	}
	if err := step("9001_x.sql", "CREATE TABLE x (b BIGINT)"); err == nil || !strings.Contains(err.Error(), "9001_x") {
		t.Errorf("a changed migration: %v", err)
	}
	if err := step("9001_x.sql", ""); err == nil || !strings.Contains(err.Error(), "newer") {
		t.Errorf("a database of a newer Hub: %v", err)
	}
	for _, name := range []string{"x.sql", "1_x.sql", "x001_x.sql", "0001_again.sql"} {
		if err := step(name, "SELECT 1"); err == nil {
			t.Errorf("%s was taken", name)
		}
		delete(dir, name)
	}
}

func TestBind(t *testing.T) {
	db := &DB{postgres: true}
	for in, want := range map[string]string{
		"SELECT 1":                      "SELECT 1",
		"a = ? AND b = ?":               "a = $1 AND b = $2",
		"a = '?' AND b = ? OR c = '''?": "a = '?' AND b = $1 OR c = '''?",
	} {
		if got := db.bind(in); got != want {
			t.Errorf("%s: %s", in, got)
		}
	}
}

// TestPostgres runs on a real server what the others run on SQLite.
func TestPostgres(t *testing.T) {
	server := postgres.Start(t)
	for name, test := range map[string]func(*testing.T, *DB){"settings": testSettings, "counting": testCounting, "migrations": testMigrations} {
		t.Run(name, func(t *testing.T) {
			url := server.Database(t, name)
			var nodes [2]*DB // which start at the same time
			var wg sync.WaitGroup
			for i := range nodes {
				wg.Go(func() {
					var err error
					if nodes[i], err = Open(t.Context(), url); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if t.Failed() {
				return
			}
			test(t, nodes[0])
			for _, db := range nodes {
				if err := db.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
}
