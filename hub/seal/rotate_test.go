package seal

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/berth-engine/berth/hub/store/storetest"
	"github.com/berth-engine/berth/test/postgres"
)

func TestRotate(t *testing.T) {
	rotate(t, filepath.Join(t.TempDir(), "hub.db"))
}

func TestPostgres(t *testing.T) {
	rotate(t, postgres.Start(t).Database(t, "seal"))
}

// rotate changes the key under the eyes of somebody who has it loaded, and of
// secrets that were never sealed, and one that another key sealed.
func rotate(t *testing.T, url string) {
	ctx, path := t.Context(), filepath.Join(t.TempDir(), "key")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	key, err := Load(path)
	must(err)
	reader, err := Load(path)
	must(err)
	stranger, err := New([keySize]byte{7})
	must(err)
	db := storetest.Open(t, url)
	_, err = db.Exec(ctx, "CREATE TABLE things (id TEXT PRIMARY KEY, secret TEXT NOT NULL)")
	must(err)
	purpose := func(id string) string { return "thing " + id }
	column := Column{Table: "things", Key: "id", Name: "secret", Purpose: purpose, Plain: true}
	const plain = "PLAINSECRETPLAINSECRET"
	for id, secret := range map[string]string{"a": key.Seal("thing a", "one"), "b": plain, "none": "", "lost": stranger.Seal("thing lost", "x")} {
		_, err := db.Exec(ctx, "INSERT INTO things (id, secret) VALUES (?, ?)", id, secret)
		must(err)
	}
	reseal := func(sealed int) {
		t.Helper()
		if done, err := key.Reseal(ctx, db, column); err != nil || done.Sealed != sealed || !slices.Equal(done.Lost, []string{"thing lost"}) {
			t.Errorf("%+v, %v", done, err)
		}
	}
	opens := func(k *Key, id, want string) {
		t.Helper()
		var sealed string
		must(db.QueryRow(ctx, "SELECT secret FROM things WHERE id = ?", id).Scan(&sealed))
		if got, err := k.Open(purpose(id), sealed); err != nil || got != want {
			t.Errorf("%s: %q, %v", id, got, err)
		}
	}
	reseal(1) // what was plain
	must(key.Rotate())
	reseal(2)
	reseal(0)
	opens(reader, "a", "one")
	opens(reader, "b", plain)
	if _, present, err := key.open("p", reader.Seal("p", "s")); err != nil || !present {
		t.Errorf("who had the key loaded seals by the old one: %v", err)
	}
	must(key.Forget())
	opens(key, "a", "one")
	if lines, err := readLines(path); err != nil || len(lines) != 1 {
		t.Errorf("%d keys, %v", len(lines), err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	again, err := Load(path)
	must(err)
	opens(again, "b", plain)
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || !slices.ContainsFunc(left, func(e os.DirEntry) bool { return e.Name() == "key" }) {
		t.Errorf("%v, %v", left, err)
	}
	// The files have what was plain nowhere.
	for _, file := range []string{url, url + "-wal", url + "-journal"} {
		if data, err := os.ReadFile(file); err == nil && bytes.Contains(data, []byte(plain)) {
			t.Errorf("%s still has the secret", file)
		}
	}
}
