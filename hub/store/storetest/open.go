// Package storetest opens a Hub's database for a test.
package storetest

import (
	"path/filepath"
	"testing"

	"github.com/berth-engine/berth/hub/store"
)

// Open opens the database that url names until the test ends; "" is a SQLite file
// of the test's own.
func Open(t testing.TB, url string) *store.DB {
	t.Helper()
	if url == "" {
		url = filepath.Join(t.TempDir(), "hub.db")
	}
	db, err := store.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}
