package gc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/berth-engine/berth/hub/account"
	"github.com/berth-engine/berth/hub/catalog"
	"github.com/berth-engine/berth/hub/store"
	"github.com/containerd/errdefs"
)

const (
	// beat is how often a node says that it collects.
	beat = 10 * time.Second
	// silent is how long it may say nothing before it counts as gone.
	silent = time.Minute
)

// Run collects every Options.Every (when that is 0, never) and when Begin asks
// for it, until ctx ends.
func (c *Collector) Run(ctx context.Context) error {
	var tick <-chan time.Time
	if c.Every > 0 {
		t := time.NewTicker(c.Every)
		defer t.Stop()
		tick = t.C
	}
	if !c.DB.Shared() { // who ran is gone
		if err := c.takeOver(ctx); err != nil && ctx.Err() == nil {
			return err
		}
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick:
			r, err := c.Collect(ctx, false)
			c.log(ctx, r, err)
		case r := <-c.wanted:
			r, err := c.finish(ctx, r)
			c.log(ctx, r, err)
		}
	}
}

// takeOver ends the reports of collections that another process began, where
// there can be no other.
func (c *Collector) takeOver(ctx context.Context) error {
	rows, err := c.DB.Query(ctx, "SELECT id FROM gc_runs WHERE ended = 0")
	ids, err := store.Collect(rows, err, func(s store.Scanner) (id string, err error) { return id, s.Scan(&id) })
	for _, id := range ids {
		if _, ours := c.begun.Load(id); err == nil && !ours {
			_, err = c.DB.Exec(ctx, "UPDATE gc_runs SET ended = ?, error = ? WHERE id = ? AND ended = 0", c.Gate.now().Unix(), killed, id)
		}
	}
	return err
}

// killed is the error of a collection whose process did not end it.
const killed = "the Hub ended meanwhile"

func (c *Collector) log(ctx context.Context, r Report, err error) {
	switch {
	case ctx.Err() != nil:
	case err != nil:
		c.Log.Error("gc", "error", err)
	default:
		c.Log.Info("gc", "dry", r.DryRun, "blobs", r.Blobs, "bytes", r.Bytes, "links", r.Links, "spared", r.Spared, "unreadable", r.Unreadable)
	}
}

// Begin has Run make a collection now, for who administers the Hub, and returns
// its report as it begins; Get tells how it goes. With dry it only says what it
// would remove. While one runs it is ErrFailedPrecondition.
func (c *Collector) Begin(ctx context.Context, by account.Principal, dry bool) (Report, error) {
	r := c.report(dry)
	d := catalog.Deed{Action: "gc", Target: "storage"}
	if dry {
		d.Detail = "dry run"
	}
	err := c.Catalog.Act(ctx, by, d, func(tx *store.Tx, _ catalog.Found) error {
		now := c.Gate.now()
		if err := abandon(ctx, tx, now, now.Add(-silent)); err != nil {
			return err
		}
		var running int64
		if err := tx.QueryRow(ctx, "SELECT count(*) FROM gc_runs WHERE ended = 0").Scan(&running); err != nil {
			return err
		}
		if running > 0 {
			return fmt.Errorf("a collection is under way: wait until it has ended: %w", errdefs.ErrFailedPrecondition)
		}
		return begin(ctx, tx, r)
	})
	if err != nil {
		return Report{}, err
	}
	for {
		select {
		case c.wanted <- r:
			return r, nil
		default:
		}
		select {
		case <-c.wanted: // one that Run did not get to in time, and that was given up above
		default:
		}
	}
}

// executor is a database or a transaction.
type executor interface {
	Exec(ctx context.Context, query string, args ...any) (int64, error)
}

// abandon ends the reports of collections whose node said nothing since then.
func abandon(ctx context.Context, q executor, now, since time.Time) error {
	_, err := q.Exec(ctx, "UPDATE gc_runs SET ended = ?, error = ? WHERE ended = 0 AND beat < ?", now.Unix(), killed, since.Unix())
	return err
}

func (c *Collector) report(dry bool) Report {
	r := Report{ID: store.NewID(), Started: c.Gate.now().UTC().Truncate(time.Second), DryRun: dry}
	c.begun.Store(r.ID, nil)
	return r
}

func begin(ctx context.Context, q executor, r Report) error {
	_, err := q.Exec(ctx, "INSERT INTO gc_runs (id, started, ended, dry, blobs, bytes, links, spared, error, beat) VALUES (?, ?, 0, ?, 0, 0, 0, 0, '', ?)",
		r.ID, r.Started.Unix(), store.Bool(r.DryRun), r.Started.Unix())
	return err
}

// Collect collects once, for the Hub itself. With dry it only says what it would
// remove.
func (c *Collector) Collect(ctx context.Context, dry bool) (Report, error) {
	r := c.report(dry)
	if err := begin(ctx, c.DB, r); err != nil {
		return r, err
	}
	return c.finish(ctx, r)
}

// finish makes a collection that was begun, and writes down how it went.
func (c *Collector) finish(ctx context.Context, r Report) (Report, error) {
	beating, stop := context.WithCancel(ctx)
	var alive sync.WaitGroup
	alive.Go(func() { c.DB.Beat(beating, "gc_runs", r.ID, beat, c.Gate.now, nil) })
	c.running.Lock()
	err := c.collect(ctx, c.Gate.now().Add(-c.Gate.grace), &r)
	c.running.Unlock()
	stop()
	alive.Wait()
	c.begun.Delete(r.ID)
	r.Ended = c.Gate.now().UTC().Truncate(time.Second)
	if err != nil {
		r.Error = err.Error()
	}
	unreadable, e := json.Marshal(append([]string{}, r.Unreadable...))
	if e != nil {
		return r, errors.Join(err, e)
	}
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	_, saved := c.DB.Exec(bounded, "UPDATE gc_runs SET ended = ?, blobs = ?, bytes = ?, links = ?, spared = ?, error = ?, unreadable = ? WHERE id = ?",
		r.Ended.Unix(), r.Blobs, r.Bytes, r.Links, r.Spared, r.Error, string(unreadable), r.ID)
	return r, errors.Join(err, saved)
}

const selectReport = "SELECT id, started, ended, dry, blobs, bytes, links, spared, error, unreadable FROM gc_runs"

func scanReport(s store.Scanner) (r Report, err error) {
	var started, ended, dry int64
	var unreadable string
	if err := s.Scan(&r.ID, &started, &ended, &dry, &r.Blobs, &r.Bytes, &r.Links, &r.Spared, &r.Error, &unreadable); err != nil {
		return Report{}, err
	}
	r.Started, r.DryRun = time.Unix(started, 0).UTC(), dry != 0
	if ended != 0 {
		r.Ended = time.Unix(ended, 0).UTC()
	}
	return r, json.Unmarshal([]byte(unreadable), &r.Unreadable)
}

// Reports lists the newest collections, 50 at most, for who administers the Hub.
func (c *Collector) Reports(ctx context.Context, by account.Principal) ([]Report, error) {
	if _, err := c.Catalog.May(ctx, c.DB, by, catalog.Place{}, catalog.Admin); err != nil {
		return nil, err
	}
	rows, err := c.DB.Query(ctx, selectReport+" ORDER BY started DESC, id LIMIT 50")
	return store.Collect(rows, err, scanReport)
}

// Get finds one of them.
func (c *Collector) Get(ctx context.Context, by account.Principal, id string) (Report, error) {
	if _, err := c.Catalog.May(ctx, c.DB, by, catalog.Place{}, catalog.Admin); err != nil {
		return Report{}, err
	}
	r, err := scanReport(c.DB.QueryRow(ctx, selectReport+" WHERE id = ?", id))
	if errdefs.IsNotFound(err) {
		err = fmt.Errorf("there is no collection %q: %w", id, errdefs.ErrNotFound)
	}
	return r, err
}
