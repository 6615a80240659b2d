// Package retention removes tags and manifests that a repository's policy does
// not keep, and holds on to those that must not change.
//
// A rule is for the tags of a pattern, and keeps the newest, those pushed or
// those pulled lately. A tag that a rule is for goes when no rule keeps it; a
// tag that no rule is for stays. Manifests without a tag stay, so that a tag can
// be put back to what it was, as long as the policy says. Plan says what would
// go, and why; Apply removes just that, and nothing that was pushed since.
//
// A tag of an immutable pattern can neither be moved nor removed once it is
// there, by nobody and nothing; who administers the repository may change the
// pattern.
package retention

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"path"
	"slices"
	"time"

	"github.com/berth-engine/berth/hub/account"
	"github.com/berth-engine/berth/hub/catalog"
	"github.com/berth-engine/berth/hub/gc"
	"github.com/berth-engine/berth/hub/registry"
	"github.com/berth-engine/berth/hub/store"
	"github.com/containerd/errdefs"
)

// Policy is what a repository keeps.
type Policy struct {
	Rules []Rule `json:"rules,omitempty"`
	// UntaggedDays is how long a manifest without a tag stays; 0 is for ever.
	UntaggedDays int `json:"untagged_days,omitempty"`
	// Immutable are patterns of tags that do not change once they are there.
	Immutable []string `json:"immutable,omitempty"`
}

// Rule keeps tags. At least one of its numbers is given.
type Rule struct {
	// Tags is a pattern (path.Match); "" is all. Except are patterns that the
	// rule is not for.
	Tags   string   `json:"tags,omitempty"`
	Except []string `json:"except,omitempty"`
	// KeepLast keeps that many of the newest pushed.
	KeepLast int `json:"keep_last,omitempty"`
	// KeepDays keeps what was pushed within so many days, KeepPulledDays what
	// was pulled within.
	KeepDays       int `json:"keep_days,omitempty"`
	KeepPulledDays int `json:"keep_pulled_days,omitempty"`
}

// Options configure a Service.
type Options struct {
	DB       *store.DB
	Catalog  *catalog.Service
	Registry *registry.Registry
	Gate     *gc.Gate
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	Log *slog.Logger // nil means slog.Default
}

// Service keeps policies. Its Hook belongs to the catalogue; Run it.
type Service struct{ Options }

// New makes a Service.
func New(o Options) *Service {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	return &Service{o}
}

const (
	maxRules = 50
	maxDays  = 36500
	maxCount = 1_000_000
)

func (p Policy) check() error {
	bad := func(format string, a ...any) error {
		return fmt.Errorf(format+": %w", append(a, errdefs.ErrInvalidArgument)...)
	}
	patterns := func(list []string) error {
		for _, s := range list {
			if _, err := path.Match(s, "x"); err != nil || s == "" || len(s) > 128 {
				return bad("%q is no pattern of tags", s)
			}
		}
		return nil
	}
	if len(p.Rules) > maxRules || len(p.Immutable) > maxRules {
		return bad("at most %d rules and patterns", maxRules)
	}
	if p.UntaggedDays < 0 || p.UntaggedDays > maxDays {
		return bad("untagged_days is 0 to %d", maxDays)
	}
	for i, r := range p.Rules {
		switch {
		case r.KeepLast < 0 || r.KeepLast > maxCount, r.KeepDays < 0 || r.KeepDays > maxDays, r.KeepPulledDays < 0 || r.KeepPulledDays > maxDays:
			return bad("rule %d: a number is out of range", i+1)
		case r.KeepLast+r.KeepDays+r.KeepPulledDays == 0:
			return bad("rule %d keeps nothing: give keep_last, keep_days or keep_pulled_days", i+1)
		}
		if r.Tags != "" {
			if err := patterns([]string{r.Tags}); err != nil {
				return err
			}
		}
		if err := patterns(r.Except); err != nil {
			return err
		}
	}
	return patterns(p.Immutable)
}

// matchesAny reports whether a tag is of one of the patterns.
func matchesAny(patterns []string, tag string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		ok, err := path.Match(p, tag)
		return ok && err == nil
	})
}

func (r Rule) isFor(tag string) bool {
	return (r.Tags == "" || matchesAny([]string{r.Tags}, tag)) && !matchesAny(r.Except, tag)
}

// Status is a repository's policy and what it did last.
type Status struct {
	Policy  Policy    `json:"policy"`
	Updated time.Time `json:"updated,omitzero"`
	Ran     time.Time `json:"ran,omitzero"`
	Result  *Result   `json:"result,omitempty"`
}

// Get returns a repository's policy, for who may push to it; without one, it
// keeps all.
func (s *Service) Get(ctx context.Context, by account.Principal, repository string) (Status, error) {
	found, err := s.Catalog.May(ctx, s.DB, by, catalog.Place{Repository: repository}, catalog.Write)
	if err != nil {
		return Status{}, err
	}
	return get(ctx, s.DB, found.ID)
}

func get(ctx context.Context, q store.Querier, repository string) (st Status, err error) {
	var policy, result string
	var updated, ran int64
	err = q.QueryRow(ctx, "SELECT policy, updated, ran, result FROM retention_policies WHERE repository = ?", repository).Scan(&policy, &updated, &ran, &result)
	if errdefs.IsNotFound(err) {
		return Status{}, nil
	}
	if err != nil {
		return Status{}, err
	}
	st.Updated = time.Unix(updated, 0).UTC()
	if ran != 0 {
		st.Ran = time.Unix(ran, 0).UTC()
		if err := json.Unmarshal([]byte(result), &st.Result); err != nil {
			return Status{}, err
		}
	}
	return st, json.Unmarshal([]byte(policy), &st.Policy)
}

// Set replaces a repository's policy, for who administers it. It is first applied
// within a day.
func (s *Service) Set(ctx context.Context, by account.Principal, repository string, p Policy) error {
	text, err := json.Marshal(p)
	if err != nil {
		return err
	}
	d := catalog.Deed{Place: catalog.Place{Repository: repository}, Least: catalog.Admin, Action: "retention.set", Detail: fmt.Sprintf("%d rules", len(p.Rules))}
	return s.Catalog.Act(ctx, by, d, func(tx *store.Tx, found catalog.Found) error {
		if err := p.check(); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `INSERT INTO retention_policies (repository, policy, updated, ran, result) VALUES (?, ?, ?, 0, '')
			ON CONFLICT (repository) DO UPDATE SET policy = excluded.policy, updated = excluded.updated`, found.ID, string(text), s.Now().Unix())
		return err
	})
}

// Hook refuses changes of tags that are immutable. It belongs to
// catalog.Service.OnChange.
func (s *Service) Hook(ctx context.Context, tx *store.Tx, c catalog.Change) error {
	if c.Tag == "" || c.Previous == "" || c.Previous == c.Digest {
		return nil // new, or nothing changes
	}
	st, err := get(ctx, tx, c.Repository.ID)
	if err != nil {
		return err
	}
	if matchesAny(st.Policy.Immutable, c.Tag) {
		return fmt.Errorf("the tag %s is immutable: push another one, or change the repository's retention: %w", c.Tag, errdefs.ErrPermissionDenied)
	}
	return nil
}
