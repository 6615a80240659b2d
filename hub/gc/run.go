package gc

import (
	"context"
	"time"

	"github.com/berth-engine/berth/hub/store"
)

// Run collects every Options.Every until ctx ends; when that is 0, never.
func (c *Collector) Run(ctx context.Context) error {
	if c.Every <= 0 {
		<-ctx.Done()
		return nil
	}
	t := time.NewTicker(c.Every)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
			c.collectAndLog(ctx)
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
