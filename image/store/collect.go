package store

import (
	"context"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"

	"github.com/berth-engine/berth/fault"
	"github.com/berth-engine/berth/kernel/mount"
)

// ballastSize is enough for the database pages that one collection writes.
const ballastSize = 256 << 10

// collector runs garbage collections, one at a time, in one goroutine.
type collector struct {
	wake  chan struct{}
	quit  chan struct{}
	ended chan struct{}
	waits chan chan struct{}
}

func (c *collector) start(db *DB) {
	c.wake = make(chan struct{}, 1)
	c.quit = make(chan struct{})
	c.ended = make(chan struct{})
	c.waits = make(chan chan struct{})
	go func() {
		defer close(c.ended)
		for {
			select {
			case <-c.wake:
				db.collect()
			case done := <-c.waits:
				select {
				case <-c.wake: // covered by this one
				default:
				}
				db.collect()
				close(done)
			case <-c.quit:
				select {
				case <-c.wake:
					db.collect()
				default:
				}
				return
			}
		}
	}()
}

func (c *collector) stop() {
	close(c.quit)
	<-c.ended
}

// Collect asks for a collection of garbage and returns at once.
func (db *DB) Collect() {
	select {
	case db.gc.wake <- struct{}{}:
	default: // one is due already
	}
}

// CollectNow returns when what was garbage at the call is gone.
func (db *DB) CollectNow(ctx context.Context) error {
	done := make(chan struct{})
	select {
	case db.gc.waits <- done:
	case <-db.gc.ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (db *DB) collect() {
	ctx := db.Context(context.Background())
	err := db.collectOnce(ctx)
	if mount.Full(err) {
		db.FreeBallast()
		err = db.collectOnce(ctx)
	}
	if err != nil {
		db.log.Warn("image garbage collection failed", "error", err)
		return
	}
	db.keepBallast()
}

// collectOnce removes garbage. The blobs go at the same time as the snapshots, so
// a snapshot that had no room to be removed may have some after.
func (db *DB) collectOnce(ctx context.Context) error {
	if err := db.builds.trim(ctx); err != nil {
		return err
	}
	if db.overlay.look.Swap(false) {
		if err := db.soil(ctx); err != nil {
			db.overlay.look.Store(true)
			return err
		}
	}
	if err := fault.Point("image.collect.begin"); err != nil {
		return err
	}
	if err := db.collectGarbage(ctx); err != nil || !db.overlay.failed.Swap(false) {
		return err
	}
	err := db.soil(ctx)
	if err == nil {
		err = db.collectGarbage(ctx)
	}
	if err != nil {
		db.overlay.failed.Store(true)
	}
	return err
}

// collectGarbage is the metadata store's collection, and what DB.whole must not meet.
func (db *DB) collectGarbage(ctx context.Context) error {
	db.collecting.Lock()
	defer db.collecting.Unlock()
	_, err := db.meta.GarbageCollect(ctx)
	return err
}

// soil makes and removes a snapshot: only then does a collection look at the
// snapshotter again.
func (db *DB) soil(ctx context.Context) error {
	name := "collect-" + rand.Text()
	if _, err := db.Snapshots.Prepare(ctx, name, ""); err != nil {
		return err
	}
	return db.Snapshots.Remove(ctx, name)
}

// The ballast is a file that is there to be removed when the disk is full:
// without a few pages for the database nothing else could be removed.

func (db *DB) ballast() string { return filepath.Join(db.root, "ballast") }

// FreeBallast makes a little room on a full disk, enough to record removals.
func (db *DB) FreeBallast() {
	if err := os.Remove(db.ballast()); err != nil && !errors.Is(err, os.ErrNotExist) {
		db.log.Warn("image store: cannot free the reserve", "error", err)
	}
}

func (db *DB) keepBallast() {
	if fi, err := os.Stat(db.ballast()); err == nil && fi.Size() == ballastSize {
		return
	}
	data := make([]byte, ballastSize)
	rand.Read(data) // so that a compressing file system gives real blocks
	if err := os.WriteFile(db.ballast(), data, 0o600); err != nil {
		os.Remove(db.ballast()) // no room now; the next collection tries again
	}
}
