package autobuild

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/berth-engine/berth/hub/store"
)

const (
	// beat is how often a node says that its builds run, and looks whether
	// they were cancelled.
	beat = 5 * time.Second
	// silent is how long a node may say nothing before its builds are another's.
	silent = time.Minute
	// poll is how often the database is asked for builds of other nodes' making.
	poll = 15 * time.Second
	// maxTries is how often a build is begun whose Hub was killed.
	maxTries = 2
	// maxTime bounds a build.
	maxTime = time.Hour
)

// Run builds until ctx ends and returns when the builds under way have, which
// are taken up by the next Run.
func (s *Service) Run(ctx context.Context) error {
	if err := s.recover(ctx); err != nil && ctx.Err() == nil {
		return err
	}
	var builds sync.WaitGroup
	defer builds.Wait()
	busy := map[string]int{} // by the engine's name
	ended := make(chan string, 100)
	for ctx.Err() == nil {
		for _, e := range s.Engines {
			for busy[e.Name] < e.Parallel {
				b, found, err := s.take(ctx, e.Name)
				if err != nil && ctx.Err() == nil {
					s.Log.Error("autobuild: look for builds", "error", err)
				}
				if err != nil || !found {
					break
				}
				busy[e.Name]++
				builds.Go(func() { s.one(ctx, e, b); ended <- e.Name })
			}
		}
		timer := time.NewTimer(poll)
		select {
		case <-ctx.Done():
		case <-timer.C:
			if err := errors.Join(s.adopt(ctx, time.Now().Add(-silent)), s.sweep(ctx)); err != nil && ctx.Err() == nil {
				s.Log.Error("autobuild: take up builds", "error", err)
			}
		case <-s.wake:
		case name := <-ended:
			busy[name]--
		}
		timer.Stop()
	}
	return nil
}

// recover takes up what a Hub that was killed left: its builds, its folders and
// pushes that it did not get to.
func (s *Service) recover(ctx context.Context) error {
	since := time.Now().Add(-silent)
	if !s.DB.Shared() {
		since = time.Now().Add(time.Hour) // whoever ran is gone
	}
	if err := errors.Join(s.adopt(ctx, since), s.sweep(ctx)); err != nil {
		return err
	}
	for _, pattern := range []string{".fetch-*", ".new-*"} {
		left, err := filepath.Glob(filepath.Join(s.Dir, pattern))
		if err != nil {
			return err
		}
		for _, dir := range left {
			if err := os.RemoveAll(dir); err != nil {
				return err
			}
		}
	}
	rows, err := s.DB.Query(ctx, selectSource+" WHERE kind = ?", Hosted)
	sources, err := store.Collect(rows, err, scanSource)
	if err != nil {
		return err
	}
	for _, src := range sources {
		if err := s.sync(ctx, src, "the Hub"); err != nil {
			s.Log.Error("autobuild: read what was pushed", "repository", src.repository, "error", err)
		}
	}
	return nil
}

// sweep removes the Git repositories of repositories that were removed; their
// places in the registry's storage have their ids.
func (s *Service) sweep(ctx context.Context) error {
	rows, err := s.DB.Query(ctx, "SELECT storage FROM gc_removed")
	places, err := store.Collect(rows, err, func(row store.Scanner) (p string, err error) { return p, row.Scan(&p) })
	if err != nil {
		return err
	}
	for _, p := range places {
		if id, ok := strings.CutPrefix(p, "r/"); ok && !strings.Contains(id, "/") {
			err = errors.Join(err, s.git.remove(id))
		}
	}
	return err
}

// adopt gives builds whose node said nothing since then back to the queue, or
// ends them when they were tried often enough.
func (s *Service) adopt(ctx context.Context, since time.Time) error {
	rows, err := s.DB.Query(ctx, selectBuild+" WHERE state = ? AND beat < ?", Running, since.Unix())
	left, err := store.Collect(rows, err, scanBuild)
	if err != nil {
		return err
	}
	for _, b := range left {
		if b.robot != "" {
			if err := s.Credentials.Close(ctx, b.robot); err != nil {
				s.Log.Error("autobuild: end a robot", "build", b.ID, "error", err)
			}
		}
		if err := s.removeParts(ctx, b); err != nil {
			s.Log.Error("autobuild: remove what was built of an image", "build", b.ID, "error", err)
		}
		query, args := "UPDATE builds SET state = ?, beat = 0, robot = '' WHERE id = ? AND state = ?", []any{Queued, b.ID, Running}
		if b.tries >= maxTries {
			query = "UPDATE builds SET state = ?, ended = ?, robot = '', error = 'the Hub ended twice while it was built' WHERE id = ? AND state = ?"
			args = []any{Failed, time.Now().Unix(), b.ID, Running}
		}
		if _, err := s.DB.Exec(ctx, query, args...); err != nil {
			return err
		}
	}
	return nil
}

// inOrder is of a build before which none waits or runs, on its engine, of
// another commit of the same branch: the tags are to be the newer one's at the
// end.
const inOrder = ` AND NOT EXISTS (SELECT 1 FROM builds o WHERE o.repository = builds.repository AND o.ref = builds.ref AND o.engine = builds.engine
	AND o.sha <> builds.sha AND o.sequence < builds.sequence AND o.state IN (?, ?))`

// take claims an engine's oldest build.
func (s *Service) take(ctx context.Context, engine string) (b Build, found bool, err error) {
	err = s.DB.Tx(ctx, func(tx *store.Tx) error {
		found = false
		rows, err := tx.Query(ctx, selectBuild+" WHERE state = ? AND engine = ?"+inOrder+" ORDER BY created, sequence, id LIMIT 1", Queued, engine, Queued, Running)
		list, err := store.Collect(rows, err, scanBuild)
		if err != nil || len(list) == 0 {
			return err
		}
		b = list[0]
		now := time.Now()
		n, err := tx.Exec(ctx, "UPDATE builds SET state = ?, started = ?, beat = ?, tries = tries + 1 WHERE id = ? AND state = ?",
			Running, now.Unix(), now.Unix(), b.ID, Queued)
		found = n == 1
		b.State, b.Started = Running, now
		return err
	})
	return b, found && err == nil, err
}

// one runs a build to its end and writes down how it went.
func (s *Service) one(parent context.Context, e Engine, b Build) {
	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(nil)
	bounded, stop := context.WithTimeoutCause(ctx, maxTime, errors.New("it took longer than an hour"))
	defer stop()
	s.mu.Lock()
	s.running[b.ID] = cancel
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.running, b.ID)
	}()
	var beating sync.WaitGroup
	beating.Go(func() {
		s.DB.Beat(bounded, "builds", b.ID, beat, time.Now, func() { s.cancelIfWanted(bounded, b.ID, cancel) })
	})
	log, err := s.newLog(bounded, b.ID)
	if err == nil {
		err = s.build(bounded, e, &b, log)
	}
	if bounded.Err() != nil {
		err = context.Cause(bounded)
	}
	ending := parent.Err() != nil
	stop()
	cancel(nil)
	beating.Wait()
	if ending {
		_ = log.close()
		return // the next Run takes it up
	}
	b.Ended, b.State = time.Now().UTC().Truncate(time.Second), Succeeded
	if err != nil {
		b.State, b.Error = Failed, err.Error()
		if errors.Is(err, errCancelled) {
			b.State = Cancelled
		}
		log.printf("%s", b.Error)
	}
	if err := log.close(); err != nil {
		s.Log.Error("autobuild: write a log", "build", b.ID, "error", err)
	}
	s.save(parent, b)
}

// save writes down how a build ended, and tells.
func (s *Service) save(ctx context.Context, b Build) {
	// Also when the Hub is told to end just now.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	_, err := s.DB.Exec(ctx, "UPDATE builds SET state = ?, ended = ?, digest = ?, error = ?, sha = ? WHERE id = ? AND state = ?",
		b.State, b.Ended.Unix(), b.Digest, b.Error, b.Commit, b.ID, Running)
	if err != nil {
		s.Log.Error("autobuild: write down a build", "build", b.ID, "error", err)
	}
	s.tell(b.ID)
	if s.Ended != nil {
		s.Ended(ctx, b.repository, b)
	}
}

// cancelIfWanted cancels a build here when somebody wanted that on another node.
func (s *Service) cancelIfWanted(ctx context.Context, id string, cancel context.CancelCauseFunc) {
	var wanted int64
	if err := s.DB.QueryRow(ctx, "SELECT cancel FROM builds WHERE id = ?", id).Scan(&wanted); err == nil && wanted == 1 {
		cancel(errCancelled)
	}
}
