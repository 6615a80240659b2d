// Package webhook tells other programs what happened in the Hub. An event is
// written to the database before the push that caused it is acknowledged, and
// delivered from there: signed with the webhook's secret (HMAC-SHA256), tried
// again with growing pauses, logged with what the receiver answered, also after
// the Hub was killed between any two lines. A delivery may arrive twice (the
// answer may be lost), with the same id. Receivers are called through
// hub/outbound; redirects are not followed.
package webhook

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"time"

	"github.com/berth-engine/berth/hub/account"
	"github.com/berth-engine/berth/hub/catalog"
	"github.com/berth-engine/berth/hub/outbound"
	"github.com/berth-engine/berth/hub/seal"
	"github.com/berth-engine/berth/hub/store"
	"github.com/containerd/errdefs"
)

// Events that a webhook may be told of.
const (
	Push   = "push"   // a tag was pushed or put back
	Delete = "delete" // a tag or manifest was deleted
	Build  = "build"  // an automated build ended
	Ping   = "ping"   // somebody tries the webhook; every webhook gets it
)

var events = []string{Push, Delete, Build}

// maxHooks bounds the webhooks of one owner.
const maxHooks = 20

// Hook is one webhook. Its secret is only shown when it is made.
type Hook struct {
	ID      string    `json:"id"`
	Owner   string    `json:"-"`
	URL     string    `json:"url"`
	Events  []string  `json:"events"`
	Active  bool      `json:"active"`
	Created time.Time `json:"created"`

	secret string // sealed
}

// Spec is what a user decides about a webhook.
type Spec struct {
	URL string `json:"url"`
	// Events are told; none means Push.
	Events []string `json:"events,omitempty"`
	// Secret signs; empty makes one, or leaves what is there.
	Secret string `json:"secret,omitempty"`
	// Paused webhooks are told nothing; what is pending waits.
	Paused bool `json:"paused,omitempty"`
}

// Options configure a Service.
type Options struct {
	DB      *store.DB
	Catalog *catalog.Service
	Key     *seal.Key
	Policy  outbound.Policy
	// Log is told what cannot be told to anybody else; nil means slog.Default.
	Log *slog.Logger
	// Pauses are how long a failed delivery waits before each further attempt;
	// nil means what docs/hub.md says. It fails for good after the last.
	Pauses []time.Duration
}

// Service keeps webhooks and delivers. Run it. A webhook belongs to a repository,
// or to a namespace and is told of all of its repositories; who administers
// that place may see and change it, and nobody else learns that it is there.
type Service struct {
	Options
	wake chan struct{}
}

// New makes a Service.
func New(o Options) *Service {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Pauses == nil {
		o.Pauses = []time.Duration{
			10 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute, 30 * time.Minute, 2 * time.Hour, 6 * time.Hour,
		}
	}
	return &Service{Options: o, wake: make(chan struct{}, 1)}
}

func (s *Service) check(spec *Spec) (*url.URL, error) {
	u, err := s.Policy.ParseURL(spec.URL)
	if err != nil {
		return nil, err
	}
	if len(spec.Events) == 0 {
		spec.Events = []string{Push}
	}
	for _, e := range spec.Events {
		if !slices.Contains(events, e) {
			return nil, fmt.Errorf("event %q: there are %v: %w", e, events, errdefs.ErrInvalidArgument)
		}
	}
	slices.Sort(spec.Events)
	spec.Events = slices.Compact(spec.Events)
	if len(spec.Secret) > 256 {
		return nil, fmt.Errorf("the secret has more than 256 bytes: %w", errdefs.ErrInvalidArgument)
	}
	return u, nil
}

// deed is what somebody does with a webhook. Its address may hold a secret, so
// that only its host is written down.
func deed(at catalog.Place, action string, u *url.URL) catalog.Deed {
	d := catalog.Deed{Place: at, Least: catalog.Admin, Action: action}
	if u != nil {
		d.Detail = u.Scheme + "://" + u.Host
	}
	return d
}

// Create makes a webhook at a place and returns its secret, too.
func (s *Service) Create(ctx context.Context, by account.Principal, at catalog.Place, spec Spec) (Hook, string, error) {
	u, invalid := s.check(&spec)
	if spec.Secret == "" {
		spec.Secret = store.NewID() + store.NewID()
	}
	h := Hook{ID: store.NewID(), URL: spec.URL, Events: spec.Events, Active: !spec.Paused, Created: now()}
	list, err := json.Marshal(h.Events)
	if err != nil {
		return Hook{}, "", err
	}
	err = s.Catalog.Act(ctx, by, deed(at, "webhook.create", u), func(tx *store.Tx, found catalog.Found) error {
		if invalid != nil { // said only to who may
			return invalid
		}
		h.Owner = found.ID
		var n int
		if err := tx.QueryRow(ctx, "SELECT count(*) FROM webhooks WHERE owner = ?", h.Owner).Scan(&n); err != nil {
			return err
		}
		if n >= maxHooks {
			return fmt.Errorf("there are %d webhooks already, which is the limit: %w", n, errdefs.ErrResourceExhausted)
		}
		_, err := tx.Exec(ctx, "INSERT INTO webhooks (id, owner, url, events, secret, active, created) VALUES (?, ?, ?, ?, ?, ?, ?)",
			h.ID, h.Owner, h.URL, string(list), s.Key.Seal(purpose(h.ID), spec.Secret), store.Bool(h.Active), h.Created.Unix())
		return err
	})
	if err != nil {
		return Hook{}, "", err
	}
	return h, spec.Secret, nil
}

// Update replaces what a user decides.
func (s *Service) Update(ctx context.Context, by account.Principal, at catalog.Place, id string, spec Spec) (h Hook, err error) {
	u, invalid := s.check(&spec)
	list, err := json.Marshal(spec.Events)
	if err != nil {
		return Hook{}, err
	}
	err = s.Catalog.Act(ctx, by, deed(at, "webhook.update", u), func(tx *store.Tx, found catalog.Found) error {
		if invalid != nil {
			return invalid
		}
		old, err := get(ctx, tx, found.ID, id)
		if err != nil {
			return err
		}
		if spec.Secret != "" {
			old.secret = s.Key.Seal(purpose(id), spec.Secret)
		}
		if _, err = tx.Exec(ctx, "UPDATE webhooks SET url = ?, events = ?, active = ?, secret = ? WHERE id = ?",
			spec.URL, string(list), store.Bool(!spec.Paused), old.secret, id); err != nil {
			return err
		}
		h, err = get(ctx, tx, found.ID, id)
		return err
	})
	if err != nil {
		return Hook{}, err
	}
	s.Poke()
	return h, nil
}

// Remove forgets a webhook with its deliveries.
func (s *Service) Remove(ctx context.Context, by account.Principal, at catalog.Place, id string) error {
	return s.Catalog.Act(ctx, by, deed(at, "webhook.delete", nil), func(tx *store.Tx, found catalog.Found) error {
		n, err := tx.Exec(ctx, "DELETE FROM webhooks WHERE id = ? AND owner = ?", id, found.ID)
		if err == nil && n == 0 {
			err = unknown(id)
		}
		return err
	})
}

// Get finds a webhook of a place.
func (s *Service) Get(ctx context.Context, by account.Principal, at catalog.Place, id string) (Hook, error) {
	found, err := s.Catalog.May(ctx, s.DB, by, at, catalog.Admin)
	if err != nil {
		return Hook{}, err
	}
	return get(ctx, s.DB, found.ID, id)
}

// List returns a place's webhooks, oldest first.
func (s *Service) List(ctx context.Context, by account.Principal, at catalog.Place) ([]Hook, error) {
	found, err := s.Catalog.May(ctx, s.DB, by, at, catalog.Admin)
	if err != nil {
		return nil, err
	}
	rows, err := s.DB.Query(ctx, selectHook+" WHERE owner = ? ORDER BY created, id", found.ID)
	return store.Collect(rows, err, scan)
}

const selectHook = "SELECT id, owner, url, events, secret, active, created FROM webhooks"

func get(ctx context.Context, q store.Querier, owner, id string) (Hook, error) {
	h, err := scan(q.QueryRow(ctx, selectHook+" WHERE id = ? AND owner = ?", id, owner))
	if errdefs.IsNotFound(err) {
		err = unknown(id)
	}
	return h, err
}

func scan(row store.Scanner) (Hook, error) {
	var h Hook
	var list string
	var active, created int64
	if err := row.Scan(&h.ID, &h.Owner, &h.URL, &list, &h.secret, &active, &created); err != nil {
		return Hook{}, err
	}
	h.Active, h.Created = active != 0, time.Unix(created, 0).UTC()
	return h, json.Unmarshal([]byte(list), &h.Events)
}

func unknown(id string) error {
	return fmt.Errorf("there is no webhook %q: %w", id, errdefs.ErrNotFound)
}

// Sealed is where webhooks' secrets are.
func Sealed() []seal.Column {
	return []seal.Column{{Table: "webhooks", Key: "id", Name: "secret", Purpose: purpose}}
}

func purpose(id string) string { return "webhook " + id }

// now is in seconds, as the database has it.
func now() time.Time { return time.Now().UTC().Truncate(time.Second) }
