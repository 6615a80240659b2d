package store

import (
	"context"
	"testing"
	"time"
)

func TestBeat(t *testing.T) {
	db, _ := open(t)
	for _, id := range []string{"ours", "another"} {
		if _, err := db.Exec(t.Context(), `INSERT INTO gc_runs (id, started, ended, dry, blobs, bytes, links, spared, error, beat)
			VALUES (?, 0, 0, 0, 0, 0, 0, 0, '', 0)`, id); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	said, told := int64(0), int64(0)
	db.Beat(ctx, "gc_runs", "ours", time.Millisecond, func() time.Time { said++; return time.Unix(said, 0) }, func() {
		if told++; told == 3 {
			cancel()
		}
	})
	for id, want := range map[string]int64{"ours": 3, "another": 0} {
		var beat int64
		if err := db.QueryRow(t.Context(), "SELECT beat FROM gc_runs WHERE id = ?", id).Scan(&beat); err != nil || beat != want {
			t.Errorf("%s: %d, not %d: %v", id, beat, want, err)
		}
	}
	if told != 3 {
		t.Errorf("told %d times", told)
	}
}
