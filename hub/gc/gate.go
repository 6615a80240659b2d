package gc

import (
	"context"
	"sync"
	"time"

	"github.com/berth-engine/berth/hub/store"
	"github.com/opencontainers/go-digest"
)

// Gate is what pushes pass. It remembers in the database when a push last
// relied on a blob, before the push goes on, so that a collection on any node,
// also after a crash, knows.
type Gate struct {
	db    *store.DB
	grace time.Duration
	now   func() time.Time

	mu   sync.Mutex
	seen map[digest.Digest]int64 // touches that this node wrote, Unix seconds
}

// maxSeen bounds the memory of touches; forgetting one costs a write.
const maxSeen = 100_000

// NewGate makes a Gate. grace is how long a blob that nothing refers to is left
// alone after a push relied on it: the longest that a push may take between
// two of its requests. A now of nil is time.Now.
func NewGate(db *store.DB, grace time.Duration, now func() time.Time) *Gate {
	if now == nil {
		now = time.Now
	}
	return &Gate{db: db, grace: grace, now: now, seen: map[digest.Digest]int64{}}
}

// Touch says that a push relies on blobs from now on. When it returns they are
// either safe for the grace period or already gone; it waits for a removal
// that is under way.
func (g *Gate) Touch(ctx context.Context, blobs ...digest.Digest) error {
	at := g.now()
	var write []digest.Digest
	g.mu.Lock()
	for _, d := range blobs {
		// A younger touch is worth nothing before a quarter of the grace is over.
		if last, ok := g.seen[d]; !ok || last < at.Add(-g.grace/4).Unix() {
			write = append(write, d)
		}
	}
	g.mu.Unlock()
	if len(write) == 0 {
		return nil
	}
	err := g.db.Tx(ctx, func(tx *store.Tx) error {
		for _, d := range write {
			if _, err := tx.Exec(ctx, `INSERT INTO gc_touches (digest, touched) VALUES (?, ?)
				ON CONFLICT (digest) DO UPDATE SET touched = excluded.touched WHERE gc_touches.touched < excluded.touched`, d.String(), at.Unix()); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.seen) > maxSeen {
		clear(g.seen)
	}
	for _, d := range write {
		g.seen[d] = at.Unix()
	}
	return nil
}

// Sweep runs remove for a blob that no push relied on within the grace period,
// and keeps pushes that want to rely on it waiting meanwhile: they find it gone.
// It reports whether remove ran and all it wrote to the transaction lasts.
// remove may run more than once.
func (g *Gate) Sweep(ctx context.Context, blob digest.Digest, remove func(tx *store.Tx) error) (bool, error) {
	return g.sweep(ctx, blob, g.now().Add(-g.grace), remove)
}

// sweep is Sweep with a time before which a push must have relied on the blob.
func (g *Gate) sweep(ctx context.Context, blob digest.Digest, cutoff time.Time, remove func(tx *store.Tx) error) (ran bool, err error) {
	err = g.db.Tx(ctx, func(tx *store.Tx) error {
		ran = false
		// The row is locked by writing it, which PostgreSQL needs; of SQLite's
		// transactions one at a time writes anyway.
		if _, err := tx.Exec(ctx, "INSERT INTO gc_touches (digest, touched) VALUES (?, 0) ON CONFLICT (digest) DO NOTHING", blob.String()); err != nil {
			return err
		}
		n, err := tx.Exec(ctx, "DELETE FROM gc_touches WHERE digest = ? AND touched < ?", blob.String(), cutoff.Unix())
		if err != nil || n == 0 {
			return err
		}
		ran = true
		return remove(tx)
	})
	if err == nil && ran {
		g.mu.Lock()
		delete(g.seen, blob)
		g.mu.Unlock()
	}
	return ran && err == nil, err
}

// forget removes touches that say no more than their absence.
func (g *Gate) forget(ctx context.Context, cutoff time.Time) error {
	_, err := g.db.Exec(ctx, "DELETE FROM gc_touches WHERE touched < ?", cutoff.Unix())
	return err
}
