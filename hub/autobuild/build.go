package autobuild

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/berth-engine/berth/hub/account"
	"github.com/berth-engine/berth/hub/catalog"
	"github.com/berth-engine/berth/hub/store"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
)

// States of a build.
const (
	Queued    = "queued"
	Running   = "running"
	Succeeded = "succeeded"
	Failed    = "failed"
	Cancelled = "cancelled"
)

// Build is one build of one commit.
type Build struct {
	ID      string        `json:"id"`
	Ref     string        `json:"ref"`
	Commit  string        `json:"commit"`
	Rule    Rule          `json:"rule"`
	Tags    []string      `json:"tags"`
	Engine  string        `json:"engine"`
	Actor   string        `json:"actor"`
	State   string        `json:"state"`
	Created time.Time     `json:"created"`
	Started time.Time     `json:"started,omitzero"`
	Ended   time.Time     `json:"ended,omitzero"`
	Digest  digest.Digest `json:"digest,omitempty"`
	Error   string        `json:"error,omitempty"`

	repository, robot string
	tries             int
}

// Over reports whether nothing will change any more.
func (b Build) Over() bool { return b.State != Queued && b.State != Running }

// enqueue makes the builds that a source's rules want of a ref. A build of the
// same that still waits is not made twice.
func enqueue(ctx context.Context, tx *store.Tx, src Source, ref, sha, actor string) ([]string, error) {
	ids := []string{}
	for _, rule := range src.Rules {
		if !rule.matches(ref) {
			continue
		}
		text, err := json.Marshal(rule)
		if err != nil {
			return nil, err
		}
		var same int64
		if err := tx.QueryRow(ctx, "SELECT count(*) FROM builds WHERE repository = ? AND ref = ? AND sha = ? AND rule = ? AND state = ?",
			src.repository, ref, sha, string(text), Queued).Scan(&same); err != nil {
			return nil, err
		}
		if same > 0 {
			continue
		}
		id := store.NewID()
		if err := insert(ctx, tx, id, src, ref, sha, string(text), actor); err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// maxQueued bounds the builds of a repository that wait.
const maxQueued = 100

func insert(ctx context.Context, tx *store.Tx, id string, src Source, ref, sha, rule, actor string) error {
	var waiting int64
	if err := tx.QueryRow(ctx, "SELECT count(*) FROM builds WHERE repository = ? AND state = ?", src.repository, Queued).Scan(&waiting); err != nil {
		return err
	}
	if waiting >= maxQueued {
		return fmt.Errorf("%d builds of the repository are waiting, which is the limit: %w", waiting, errdefs.ErrResourceExhausted)
	}
	_, err := tx.Exec(ctx, `INSERT INTO builds (id, repository, ref, sha, rule, engine, actor, state, created, started, ended, beat, tries, cancel, robot, digest, error, sequence)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0, 0, 0, 0, '', '', '', (SELECT coalesce(max(sequence), 0) + 1 FROM builds WHERE repository = ?))`,
		id, src.repository, ref, sha, rule, src.Engine, actor, Queued, time.Now().Unix(), src.repository)
	return err
}

const selectBuild = "SELECT id, repository, ref, sha, rule, engine, actor, state, created, started, ended, robot, digest, error, tries FROM builds"

func scanBuild(row store.Scanner) (Build, error) {
	var b Build
	var rule string
	var created, started, ended int64
	if err := row.Scan(&b.ID, &b.repository, &b.Ref, &b.Commit, &rule, &b.Engine, &b.Actor, &b.State, &created, &started, &ended, &b.robot, &b.Digest, &b.Error, &b.tries); err != nil {
		return Build{}, err
	}
	b.Created = time.Unix(created, 0).UTC()
	if started != 0 {
		b.Started = time.Unix(started, 0).UTC()
	}
	if ended != 0 {
		b.Ended = time.Unix(ended, 0).UTC()
	}
	if err := json.Unmarshal([]byte(rule), &b.Rule); err != nil {
		return Build{}, err
	}
	b.Tags = b.Rule.tags(b.Ref, b.Commit)
	return b, nil
}

// Builds lists a repository's newest builds, 100 at most, for who may push to it.
func (s *Service) Builds(ctx context.Context, by account.Principal, repository string) ([]Build, error) {
	found, err := s.reader(ctx, by, repository)
	if err != nil {
		return nil, err
	}
	rows, err := s.DB.Query(ctx, selectBuild+" WHERE repository = ? ORDER BY sequence DESC, created DESC, id DESC LIMIT 100", found.ID)
	return store.Collect(rows, err, scanBuild)
}

// Build finds one, for who may push.
func (s *Service) Build(ctx context.Context, by account.Principal, repository, id string) (Build, error) {
	found, err := s.reader(ctx, by, repository)
	if err != nil {
		return Build{}, err
	}
	return find(ctx, s.DB, found.ID, id)
}

func find(ctx context.Context, q store.Querier, repository, id string) (Build, error) {
	b, err := scanBuild(q.QueryRow(ctx, selectBuild+" WHERE repository = ? AND id = ?", repository, id))
	if errdefs.IsNotFound(err) {
		err = fmt.Errorf("there is no build %q: %w", id, errdefs.ErrNotFound)
	}
	return b, err
}

// Rebuild builds a build's commit once more, for who may push.
func (s *Service) Rebuild(ctx context.Context, by account.Principal, repository, id string) (b Build, err error) {
	d := deed(repository, catalog.Write, "build.rebuild")
	d.Detail = id
	err = s.Catalog.Act(ctx, by, d, func(tx *store.Tx, found catalog.Found) error {
		old, err := find(ctx, tx, found.ID, id)
		if err != nil {
			return err
		}
		src, err := source(ctx, tx, found.ID)
		if err != nil {
			return err
		}
		rule, err := json.Marshal(old.Rule)
		if err != nil {
			return err
		}
		again := store.NewID()
		if err := insert(ctx, tx, again, src, old.Ref, old.Commit, string(rule), by.Name); err != nil {
			return err
		}
		b, err = find(ctx, tx, found.ID, again)
		return err
	})
	if err != nil {
		return Build{}, err
	}
	s.poke()
	return b, nil
}

// errCancelled is why a build ends that somebody gave up.
var errCancelled = errors.New("cancelled")

// Cancel gives a build up, for who may push. One that runs ends as soon as its
// engine has.
func (s *Service) Cancel(ctx context.Context, by account.Principal, repository, id string) error {
	d := deed(repository, catalog.Write, "build.cancel")
	d.Detail = id
	err := s.Catalog.Act(ctx, by, d, func(tx *store.Tx, found catalog.Found) error {
		b, err := find(ctx, tx, found.ID, id)
		if err != nil {
			return err
		}
		if b.Over() {
			return fmt.Errorf("the build has ended: it %s: %w", b.State, errdefs.ErrFailedPrecondition)
		}
		n, err := tx.Exec(ctx, "UPDATE builds SET state = ?, ended = ?, error = 'cancelled' WHERE id = ? AND state = ?", Cancelled, time.Now().Unix(), id, Queued)
		if err == nil && n == 0 {
			_, err = tx.Exec(ctx, "UPDATE builds SET cancel = 1 WHERE id = ?", id)
		}
		return err
	})
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if cancel := s.running[id]; cancel != nil { // otherwise another node's, which looks
		cancel(errCancelled)
	}
	return nil
}

func (s *Service) poke() {
	select {
	case s.wake <- struct{}{}:
	default: // it will look
	}
}
