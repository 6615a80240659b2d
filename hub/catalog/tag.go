package catalog

import (
	"context"
	"fmt"
	"time"

	"github.com/berth-engine/berth/hub/store"
	"github.com/containerd/errdefs"
)

// Tag is a name that leads to a manifest.
type Tag struct {
	Name      string    `json:"name"`
	Digest    string    `json:"digest"`
	MediaType string    `json:"media_type"`
	Size      int64     `json:"size"`  // of the manifest
	Total     int64     `json:"total"` // with what it refers to
	Pushed    time.Time `json:"pushed"`
	Pusher    string    `json:"pusher"`
	Pulls     int64     `json:"pulls"`
	Pulled    time.Time `json:"pulled,omitzero"`
}

const tagColumns = `SELECT t.name, t.digest, t.media_type, t.size, coalesce(m.total, 0), t.pushed, t.pusher, t.pulls, t.pulled FROM tags t
	LEFT JOIN manifests m ON m.repository = t.repository AND m.digest = t.digest`

func scanTag(s store.Scanner) (t Tag, err error) {
	var pushed, pulled int64
	err = s.Scan(&t.Name, &t.Digest, &t.MediaType, &t.Size, &t.Total, &pushed, &t.Pusher, &t.Pulls, &pulled)
	t.Pushed = time.Unix(pushed, 0).UTC()
	if pulled > 0 {
		t.Pulled = time.Unix(pulled, 0).UTC()
	}
	return t, err
}

// Tag finds a tag. What Find returned is what somebody may read; these methods
// take it and do not ask again.
func (s *Service) Tag(ctx context.Context, r Repository, name string) (Tag, error) {
	t, err := scanTag(s.db.QueryRow(ctx, tagColumns+" WHERE t.repository = ? AND t.name = ?", r.ID, name))
	if errdefs.IsNotFound(err) {
		return Tag{}, fmt.Errorf("%w: %s has no tag %q", errdefs.ErrNotFound, r.Name, name)
	}
	return t, err
}

// Tags lists tags in the order of their bytes, from the one after a name; a
// limit of 0 or less is all.
func (s *Service) Tags(ctx context.Context, r Repository, after string, limit int) ([]Tag, error) {
	query := tagColumns + " WHERE t.repository = ? AND t.name COLLATE BINARY > ? ORDER BY t.name COLLATE BINARY"
	args := []any{r.ID, after}
	if limit > 0 {
		query += " LIMIT ?"
		args = append(args, limit)
	}
	rows, err := s.db.Query(ctx, query, args...)
	return store.Collect(rows, err, scanTag)
}

// TagsOf lists the names of the tags that lead to a manifest.
func (s *Service) TagsOf(ctx context.Context, r Repository, digest string) ([]string, error) {
	rows, err := s.db.Query(ctx, "SELECT name FROM tags WHERE repository = ? AND digest = ? ORDER BY name COLLATE BINARY", r.ID, digest)
	return store.Collect(rows, err, func(s store.Scanner) (name string, err error) { return name, s.Scan(&name) })
}

// Event is one line of a tag's history.
type Event struct {
	Tag       string    `json:"tag"`
	Digest    string    `json:"digest"` // empty when the tag was removed
	Previous  string    `json:"previous"`
	MediaType string    `json:"media_type"`
	Size      int64     `json:"size"`
	Action    string    `json:"action"`
	Time      time.Time `json:"time"`
	By        string    `json:"by"`
}

// History lists what a tag led to, the newest first; without a tag, all of the
// repository's.
func (s *Service) History(ctx context.Context, r Repository, tag string, limit int) ([]Event, error) {
	query := "SELECT tag, digest, previous, media_type, size, action, time, name FROM tag_history WHERE repository = ?"
	args := []any{r.ID}
	if tag != "" {
		query += " AND tag = ?"
		args = append(args, tag)
	}
	if limit <= 0 || limit > 1000 {
		limit = 100
	}
	rows, err := s.db.Query(ctx, query+" ORDER BY sequence DESC, time DESC, id LIMIT ?", append(args, limit)...)
	return store.Collect(rows, err, func(s store.Scanner) (e Event, err error) {
		var at int64
		err = s.Scan(&e.Tag, &e.Digest, &e.Previous, &e.MediaType, &e.Size, &e.Action, &at, &e.By)
		e.Time = time.Unix(at, 0).UTC()
		return e, err
	})
}

// Manifest finds a manifest that the repository has.
func (s *Service) Manifest(ctx context.Context, r Repository, digest string) (Manifest, error) {
	m, err := scanManifest(s.db.QueryRow(ctx, manifestColumns+" WHERE repository = ? AND digest = ?", r.ID, digest))
	if errdefs.IsNotFound(err) {
		return Manifest{}, fmt.Errorf("%w: %s has no manifest %s", errdefs.ErrNotFound, r.Name, digest)
	}
	return m, err
}

const manifestColumns = "SELECT digest, media_type, artifact_type, size, total, subject, annotations FROM manifests"

func scanManifest(s store.Scanner) (m Manifest, err error) {
	return m, s.Scan(&m.Digest, &m.MediaType, &m.ArtifactType, &m.Size, &m.Total, &m.Subject, &m.Annotations)
}

// Manifests lists all of a repository's manifests.
func (s *Service) Manifests(ctx context.Context, r Repository) ([]Manifest, error) {
	rows, err := s.db.Query(ctx, manifestColumns+" WHERE repository = ? ORDER BY digest", r.ID)
	return store.Collect(rows, err, scanManifest)
}

// Referrers lists the manifests whose subject a digest is, of an artifact type
// when one is given.
func (s *Service) Referrers(ctx context.Context, r Repository, digest, artifactType string) ([]Manifest, error) {
	rows, err := s.db.Query(ctx, manifestColumns+" WHERE repository = ? AND subject = ? AND (? = '' OR artifact_type = ?) ORDER BY pushed, digest",
		r.ID, digest, artifactType, artifactType)
	return store.Collect(rows, err, scanManifest)
}
