package gc

import (
	"context"
	"time"

	"github.com/berth-engine/berth/hub/store"
)

// Run collects every Options.Every, and keeps the blobs of long requests
// touched, until ctx ends. Without it, Hold is good for one grace period.
func (c *Collector) Run(ctx context.Context) error {
	refresh := time.NewTicker(max(c.Gate.grace/4, time.Second))
	defer refresh.Stop()
	var collect <-chan time.Time
	if c.Every > 0 {
		t := time.NewTicker(c.Every)
		defer t.Stop()
		collect = t.C
	}
	collecting := make(chan struct{}, 1) // a slot: touches go on meanwhile
	defer func() { collecting <- struct{}{} }()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-refresh.C:
			if err := c.Gate.refresh(ctx); err != nil && ctx.Err() == nil {
				c.Log.Error("gc: touch what is held", "error", err)
			}
		case <-collect:
			select {
			case collecting <- struct{}{}:
				go func() {
					defer func() { <-collecting }()
					c.collectAndLog(ctx)
				}()
			default: // the one before still runs
			}
		}
	}
}

func (c *Collector) collectAndLog(ctx context.Context) {
	r, err := c.Collect(ctx, false)
	switch {
	case ctx.Err() != nil:
	case err != nil:
		c.Log.Error("gc", "error", err)
	default:
		c.Log.Info("gc", "blobs", r.Blobs, "bytes", r.Bytes, "links", r.Links, "spared", r.Spared, "unreadable", r.Unreadable)
	}
}

// Reports lists the newest collections, 50 at most.
func (c *Collector) Reports(ctx context.Context) ([]Report, error) {
	rows, err := c.DB.Query(ctx, "SELECT id, started, ended, dry, blobs, bytes, links, spared, error FROM gc_runs ORDER BY started DESC, id LIMIT 50")
	return store.Collect(rows, err, func(s store.Scanner) (r Report, err error) {
		var started, ended, dry int64
		err = s.Scan(&r.ID, &started, &ended, &dry, &r.Blobs, &r.Bytes, &r.Links, &r.Spared, &r.Error)
		r.Started, r.Ended, r.DryRun = time.Unix(started, 0).UTC(), time.Unix(ended, 0).UTC(), dry != 0
		return r, err
	})
}
