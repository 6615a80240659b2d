package store

import (
	"context"
	"time"
)

// Beat says every so often, until ctx ends, that this node is at work on the row
// id of a table: the Unix time of now, in the column beat. What does not get there
// is said again the next time; after each that did, then is called, unless nil.
func (db *DB) Beat(ctx context.Context, table, id string, every time.Duration, now func() time.Time, then func()) {
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		if _, err := db.Exec(ctx, "UPDATE "+table+" SET beat = ? WHERE id = ?", now().Unix(), id); err == nil && then != nil {
			then()
		}
	}
}
