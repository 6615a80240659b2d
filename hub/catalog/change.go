package catalog

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/berth-engine/berth/hub/account"
	"github.com/berth-engine/berth/hub/audit"
	"github.com/berth-engine/berth/hub/store"
	"github.com/containerd/errdefs"
)

// Actions of a Change.
const (
	Push    = "push"
	Delete  = "delete"
	Restore = "restore"
)

// Transient begins the names of tags that the Hub makes and removes while it
// works, such as those of an image's parts. Nothing is told of them, and they
// have no history; users cannot make them.
const Transient = "_berth-"

func (c Change) transient() bool { return strings.HasPrefix(c.Tag, Transient) }

// Change is a change of a tag or, without one, of a manifest.
type Change struct {
	Action     string
	Repository Repository
	Tag        string
	Digest     string // empty when a tag is removed
	Previous   string // what the tag was before
	MediaType  string
	Size       int64 // of the manifest
	By         account.Principal
	Time       time.Time
}

// Manifest is what the registry tells of a manifest that it stored.
type Manifest struct {
	Digest, MediaType, ArtifactType string
	Size                            int64 // of the manifest
	Total                           int64 // with what it refers to
	Subject                         string
	Annotations                     string // JSON; kept of those with a subject
}

// Pushed records a manifest and, unless tag is empty, moves the tag to it. It
// returns when both last.
func (s *Service) Pushed(ctx context.Context, by account.Principal, r Repository, m Manifest, tag string) (Change, error) {
	c := Change{Action: Push, Repository: r, Tag: tag, Digest: m.Digest, MediaType: m.MediaType, Size: m.Size, By: by}
	return s.change(ctx, c, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO manifests (repository, digest, media_type, artifact_type, size, total, subject, annotations, pushed)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (repository, digest) DO UPDATE SET pushed = excluded.pushed`,
			r.ID, m.Digest, m.MediaType, m.ArtifactType, m.Size, m.Total, m.Subject, m.Annotations, s.now().Unix())
		return err
	})
}

// Retag moves a tag to a manifest that the repository has; action says why
// (Push, Restore).
func (s *Service) Retag(ctx context.Context, by account.Principal, name, tag, digest, action string) (Change, error) {
	r, err := s.need(ctx, s.db, by, name, Write)
	if err != nil {
		return Change{}, err
	}
	m, err := s.Manifest(ctx, r, digest)
	if err != nil {
		return Change{}, err
	}
	c := Change{Action: action, Repository: r, Tag: tag, Digest: digest, MediaType: m.MediaType, Size: m.Size, By: by}
	return s.change(ctx, c, func(tx *store.Tx) error {
		var there int64
		err := tx.QueryRow(ctx, "SELECT count(*) FROM manifests WHERE repository = ? AND digest = ?", r.ID, digest).Scan(&there)
		if err == nil && there == 0 {
			return fmt.Errorf("%w: %s has no manifest %s any more", errdefs.ErrNotFound, name, digest)
		}
		return err
	})
}

// Untag removes a tag, for who has the role admin; its manifest stays, by
// digest.
func (s *Service) Untag(ctx context.Context, by account.Principal, r Repository, tag string) (Change, error) {
	return s.change(ctx, Change{Action: Delete, Repository: r, Tag: tag, By: by}, nil)
}

// UntagFrom is Untag of a tag that still leads to a manifest; otherwise it is
// ErrNotFound.
func (s *Service) UntagFrom(ctx context.Context, by account.Principal, r Repository, tag, digest string) (Change, error) {
	return s.change(ctx, Change{Action: Delete, Repository: r, Tag: tag, Previous: digest, By: by}, nil)
}

// Deleted forgets a manifest and the tags that lead to it, for who has the role
// admin. The registry calls it before it removes the manifest.
func (s *Service) Deleted(ctx context.Context, by account.Principal, r Repository, digest string) (changes []Change, err error) {
	tags, err := s.TagsOf(ctx, r, digest)
	if err != nil {
		return nil, err
	}
	for _, tag := range tags {
		c, err := s.change(ctx, Change{Action: Delete, Repository: r, Tag: tag, Previous: digest, By: by}, nil)
		if err != nil && !errdefs.IsNotFound(err) {
			return changes, err
		}
		changes = append(changes, c)
	}
	c := Change{Action: Delete, Repository: r, Previous: digest, By: by}
	c, err = s.change(ctx, c, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, "DELETE FROM manifests WHERE repository = ? AND digest = ?", r.ID, digest)
		return err
	})
	return append(changes, c), err
}

// least is the role that each action needs.
var least = map[string]Role{Push: Write, Restore: Write, Delete: Admin}

// change runs one change with its hooks, the tag's history and the audit log in
// one transaction, for who has the role that it needs.
func (s *Service) change(ctx context.Context, c Change, first func(tx *store.Tx) error) (Change, error) {
	target := c.Repository.Name
	switch {
	case c.Tag != "":
		target += ":" + c.Tag
	case c.Digest != "":
		target += "@" + c.Digest
	default:
		target += "@" + c.Previous
	}
	c.Time = time.Unix(s.now().Unix(), 0).UTC()
	e := audit.Entry{Action: c.Action, Namespace: c.Repository.Namespace, Target: target, Detail: c.Digest}
	given := c
	err := account.Audited(ctx, s.db, c.By, e, func(tx *store.Tx) error {
		c = given
		r, err := byID(ctx, tx, c.Repository.ID) // as it is now
		if err != nil {
			return err
		}
		if err := s.needIn(ctx, tx, c.By, r, c.Repository.Name, least[c.Action]); err != nil {
			return err
		}
		if c.Tag != "" {
			err := tx.QueryRow(ctx, "SELECT digest FROM tags WHERE repository = ? AND name = ?", c.Repository.ID, c.Tag).Scan(&c.Previous)
			switch {
			case errdefs.IsNotFound(err) && c.Digest == "":
				return fmt.Errorf("%w: %s has no tag %q", errdefs.ErrNotFound, c.Repository.Name, c.Tag)
			case err != nil && !errdefs.IsNotFound(err):
				return err
			case given.Previous != "" && c.Previous != given.Previous:
				return fmt.Errorf("%w: the tag %q leads elsewhere by now", errdefs.ErrNotFound, c.Tag)
			}
		}
		if c.transient() && c.By.Kind == account.KindUser {
			return fmt.Errorf("%w: tags that begin with %s are the Hub's own", errdefs.ErrInvalidArgument, Transient)
		}
		if !c.transient() {
			if err := s.tell(ctx, tx, c); err != nil {
				return err
			}
		}
		if first != nil {
			if err := first(tx); err != nil {
				return err
			}
		}
		if c.Tag != "" {
			if err := s.moveTag(ctx, tx, c); err != nil {
				return err
			}
		}
		_, err = tx.Exec(ctx, "UPDATE repositories SET updated = ? WHERE id = ?", c.Time.Unix(), c.Repository.ID)
		return err
	})
	return c, err
}

func (s *Service) moveTag(ctx context.Context, tx *store.Tx, c Change) (err error) {
	if c.Digest == "" {
		_, err = tx.Exec(ctx, "DELETE FROM tags WHERE repository = ? AND name = ?", c.Repository.ID, c.Tag)
	} else {
		_, err = tx.Exec(ctx, `INSERT INTO tags (repository, name, digest, media_type, size, pushed, pusher) VALUES (?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (repository, name) DO UPDATE SET digest = excluded.digest, media_type = excluded.media_type,
			size = excluded.size, pushed = excluded.pushed, pusher = excluded.pusher`,
			c.Repository.ID, c.Tag, c.Digest, c.MediaType, c.Size, c.Time.Unix(), c.By.Name)
	}
	if err != nil || c.Digest == c.Previous || c.transient() {
		return err // the same again is no history
	}
	_, err = tx.Exec(ctx, `INSERT INTO tag_history (id, repository, tag, digest, previous, media_type, size, action, time, kind, actor, name, sequence)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, (SELECT coalesce(max(sequence), 0) + 1 FROM tag_history WHERE repository = ?))`, store.NewID(), c.Repository.ID, c.Tag, c.Digest, c.Previous, c.MediaType, c.Size,
		c.Action, c.Time.Unix(), string(c.By.Kind), c.By.ID, c.By.Name, c.Repository.ID)
	return err
}
