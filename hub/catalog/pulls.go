package catalog

import (
	"context"
	"errors"
	"time"

	"github.com/berth-engine/berth/hub/store"
)

// flush is how often counted pulls are written: together, since each write
// waits for the disk.
const flush = 5 * time.Second

type pull struct{ repository, tag string }

type count struct {
	n    int64
	last time.Time
}

// Pulled counts a pull of a repository, by a tag or (empty) by digest.
func (s *Service) Pulled(r Repository, tag string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.pulls[pull{r.ID, tag}]
	s.pulls[pull{r.ID, tag}] = count{c.n + 1, s.now()}
}

// Run writes counted pulls until the context ends, and then once more.
func (s *Service) Run(ctx context.Context) error {
	tick := time.NewTicker(flush)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if err := s.FlushPulls(ctx); err != nil && ctx.Err() == nil {
				return err
			}
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), flush)
			defer cancel()
			return s.FlushPulls(last)
		}
	}
}

// FlushPulls writes the pulls that were counted so far.
func (s *Service) FlushPulls(ctx context.Context) error {
	s.mu.Lock()
	counted := s.pulls
	s.pulls = map[pull]count{}
	s.mu.Unlock()
	if len(counted) == 0 {
		return nil
	}
	err := s.db.Tx(ctx, func(tx *store.Tx) error {
		for p, c := range counted {
			if _, err := tx.Exec(ctx, "UPDATE repositories SET pulls = pulls + ?, pulled = ? WHERE id = ?", c.n, c.last.Unix(), p.repository); err != nil {
				return err
			}
			if p.tag == "" {
				continue
			}
			if _, err := tx.Exec(ctx, "UPDATE tags SET pulls = pulls + ?, pulled = ? WHERE repository = ? AND name = ?", c.n, c.last.Unix(), p.repository, p.tag); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil && !errors.Is(err, context.Canceled) {
		s.mu.Lock()
		defer s.mu.Unlock()
		for p, c := range counted { // next time
			s.pulls[p] = count{s.pulls[p].n + c.n, c.last}
		}
	}
	return err
}
