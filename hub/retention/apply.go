package retention

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/berth-engine/berth/hub/account"
	"github.com/berth-engine/berth/hub/audit"
	"github.com/berth-engine/berth/hub/catalog"
	"github.com/berth-engine/berth/hub/store"
	"github.com/containerd/errdefs"
	"github.com/distribution/distribution/v3"
	"github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/opencontainers/go-digest"
)

// Result is what a policy did.
type Result struct {
	Tags      int `json:"tags"`
	Manifests int `json:"manifests"`
	// Spared is what changed between plan and removal.
	Spared int    `json:"spared,omitempty"`
	Error  string `json:"error,omitempty"`
}

// Apply does what a repository's policy says, for who administers it, and writes
// down what that was.
func (s *Service) Apply(ctx context.Context, by account.Principal, repository string) (Result, error) {
	d := catalog.Deed{Place: catalog.Place{Repository: repository}, Least: catalog.Admin, Action: "retention.apply"}
	var r catalog.Repository
	// What it removes is written by retention itself, one by one.
	err := s.Catalog.Act(ctx, by, d, func(_ *store.Tx, found catalog.Found) error {
		r = found.Repository
		return nil
	})
	if err != nil {
		return Result{}, err
	}
	return s.run(ctx, r)
}

func (s *Service) run(ctx context.Context, r catalog.Repository) (Result, error) {
	st, err := get(ctx, s.DB, r.ID)
	if err != nil {
		return Result{}, err
	}
	var result Result
	err = s.apply(ctx, r, st.Policy, &result)
	if err != nil {
		result.Error = err.Error()
	}
	text, e := json.Marshal(result)
	if e != nil {
		return result, e
	}
	_, e = s.DB.Exec(ctx, "UPDATE retention_policies SET ran = ?, result = ? WHERE repository = ?", s.Now().Unix(), string(text), r.ID)
	return result, errors.Join(err, e)
}

func (s *Service) apply(ctx context.Context, r catalog.Repository, p Policy, result *Result) error {
	plan, err := s.plan(ctx, r, p)
	if err != nil {
		return err
	}
	for _, d := range plan.Tags {
		if d.Keep {
			continue
		}
		_, err := s.Catalog.UntagFrom(ctx, account.System("retention"), r, d.Tag, d.Digest)
		switch {
		case errdefs.IsNotFound(err), errdefs.IsPermissionDenied(err): // moved, gone, or immutable by now
			result.Spared++
		case err != nil:
			return err
		default:
			result.Tags++
		}
	}
	content, err := s.Registry.Repository(ctx, r)
	if err != nil {
		return err
	}
	manifests, err := content.Manifests(ctx)
	if err != nil {
		return err
	}
	for _, d := range plan.Manifests {
		removed, err := s.removeManifest(ctx, r, manifests, digest.Digest(d.Digest))
		switch {
		case err != nil:
			return err
		case removed:
			result.Manifests++
		default:
			result.Spared++
		}
	}
	return nil
}

// errTagged says that a manifest has a tag by now.
var errTagged = errors.New("tagged")

// removeManifest removes a manifest unless a tag leads to it or a push relies on
// it. The gate keeps pushes of it waiting until all of it is gone.
func (s *Service) removeManifest(ctx context.Context, r catalog.Repository, manifests distribution.ManifestService, d digest.Digest) (bool, error) {
	removed, err := s.Gate.Sweep(ctx, d, func(tx *store.Tx) error {
		var tags int64
		if err := tx.QueryRow(ctx, "SELECT count(*) FROM tags WHERE repository = ? AND digest = ?", r.ID, d.String()).Scan(&tags); err != nil {
			return err
		}
		if tags > 0 {
			return errTagged
		}
		if _, err := tx.Exec(ctx, "DELETE FROM manifests WHERE repository = ? AND digest = ?", r.ID, d.String()); err != nil {
			return err
		}
		system := account.System("retention")
		if err := audit.Add(ctx, tx, audit.Entry{
			Kind: string(system.Kind), Actor: system.ID, Name: system.Name, Action: catalog.Delete, Namespace: r.Namespace, Target: r.Name + "@" + d.String(),
		}); err != nil {
			return err
		}
		err := manifests.Delete(ctx, d)
		var gone driver.PathNotFoundError
		var unknown distribution.ErrManifestUnknownRevision
		if errors.As(err, &gone) || errors.As(err, &unknown) || errors.Is(err, distribution.ErrBlobUnknown) {
			err = nil // an earlier try of this transaction
		}
		return err
	})
	if errors.Is(err, errTagged) {
		return false, nil
	}
	return removed, err
}

const (
	// each is how often a policy is applied.
	each = 24 * time.Hour
	// look is how often Run looks for policies whose time has come.
	look = 10 * time.Minute
)

// Run applies policies once a day until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	t := time.NewTicker(look)
	defer t.Stop()
	for {
		if err := s.all(ctx); err != nil && ctx.Err() == nil {
			s.Log.Error("retention", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
	}
}

// all applies each policy that was not applied for a day; one that fails does
// not hold the others up.
func (s *Service) all(ctx context.Context) error {
	due := s.Now().Add(-each).Unix()
	rows, err := s.DB.Query(ctx, "SELECT repository FROM retention_policies WHERE ran < ? AND updated < ?", due, s.Now().Add(-time.Hour).Unix())
	ids, err := store.Collect(rows, err, func(row store.Scanner) (id string, err error) { return id, row.Scan(&id) })
	if err != nil {
		return err
	}
	var failed error
	for _, id := range ids {
		// Of several nodes one does it.
		n, err := s.DB.Exec(ctx, "UPDATE retention_policies SET ran = ?, result = '{}' WHERE repository = ? AND ran < ?", s.Now().Unix(), id, due)
		if err != nil || n == 0 {
			failed = errors.Join(failed, err)
			continue
		}
		r, err := s.Catalog.ByID(ctx, id)
		if errdefs.IsNotFound(err) {
			continue
		}
		if err == nil {
			_, err = s.run(ctx, r)
		}
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", r.Name, err))
		}
	}
	return failed
}
