package retention

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/berth-engine/berth/hub/account"
	"github.com/berth-engine/berth/hub/catalog"
	"github.com/berth-engine/berth/hub/gc"
	"github.com/berth-engine/berth/hub/store"
	"github.com/opencontainers/go-digest"
)

// Decision is what becomes of a tag or manifest.
type Decision struct {
	Tag    string `json:"tag,omitempty"` // empty for a manifest
	Digest string `json:"digest"`
	Keep   bool   `json:"keep"`
	Reason string `json:"reason"`
}

// Plan is what a policy would do now: all tags, in order, and the manifests
// that would go.
type Plan struct {
	Tags      []Decision `json:"tags"`
	Manifests []Decision `json:"manifests"`
}

// Plan says what a policy would do with a repository, for who may push to it;
// nothing changes.
func (s *Service) Plan(ctx context.Context, by account.Principal, repository string, p Policy) (Plan, error) {
	found, err := s.Catalog.May(ctx, s.DB, by, catalog.Place{Repository: repository}, catalog.Write)
	if err != nil {
		return Plan{}, err
	}
	if err := p.check(); err != nil {
		return Plan{}, err
	}
	return s.plan(ctx, found.Repository, p)
}

func (s *Service) plan(ctx context.Context, r catalog.Repository, p Policy) (Plan, error) {
	tags, err := s.Catalog.Tags(ctx, r, "", 0)
	if err != nil {
		return Plan{}, err
	}
	plan := Plan{Tags: decide(tags, p, s.Now()), Manifests: []Decision{}}
	if p.UntaggedDays == 0 {
		return plan, nil
	}
	tagged := map[string]bool{}
	for _, d := range plan.Tags {
		// What loses its tag now has been without one for no time.
		tagged[d.Digest] = true
	}
	plan.Manifests, err = s.untagged(ctx, r, tagged, s.Now().AddDate(0, 0, -p.UntaggedDays))
	return plan, err
}

// decide is the policy itself.
func decide(tags []catalog.Tag, p Policy, now time.Time) []Decision {
	newest := slices.Clone(tags)
	slices.SortFunc(newest, func(a, b catalog.Tag) int {
		return cmp.Or(b.Pushed.Compare(a.Pushed), cmp.Compare(a.Name, b.Name))
	})
	keep, match := map[string]string{}, map[string]bool{}
	for _, r := range p.Rules {
		place := 0
		for _, t := range newest {
			if !r.isFor(t.Name) {
				continue
			}
			place++
			match[t.Name] = true
			switch {
			case keep[t.Name] != "":
			case place <= r.KeepLast:
				keep[t.Name] = fmt.Sprintf("number %d of the newest %d", place, r.KeepLast)
			case r.KeepDays > 0 && t.Pushed.After(now.AddDate(0, 0, -r.KeepDays)):
				keep[t.Name] = fmt.Sprintf("pushed within %d days", r.KeepDays)
			case r.KeepPulledDays > 0 && t.Pulled.After(now.AddDate(0, 0, -r.KeepPulledDays)):
				keep[t.Name] = fmt.Sprintf("pulled within %d days", r.KeepPulledDays)
			}
		}
	}
	list := []Decision{}
	for _, t := range tags {
		d := Decision{Tag: t.Name, Digest: t.Digest, Keep: true, Reason: keep[t.Name]}
		switch {
		case matchesAny(p.Immutable, t.Name):
			d.Reason = "immutable"
		case !match[t.Name]:
			d.Reason = "no rule is for it"
		case d.Reason == "":
			d.Keep, d.Reason = false, "no rule keeps it"
		}
		list = append(list, d)
	}
	return list
}

// untagged lists manifests that no tag leads to, not even by way of an index or
// as a referrer of what one leads to, and that were pushed, and lost their last
// tag, before then.
func (s *Service) untagged(ctx context.Context, r catalog.Repository, tagged map[string]bool, before time.Time) ([]Decision, error) {
	rows, err := s.DB.Query(ctx, `SELECT m.digest, m.subject, m.pushed, coalesce((SELECT max(h.time) FROM tag_history h WHERE h.repository = m.repository AND h.previous = m.digest), 0)
		FROM manifests m WHERE m.repository = ? ORDER BY m.digest`, r.ID)
	type entry struct {
		digest, subject string
		last            int64
	}
	all, err := store.Collect(rows, err, func(row store.Scanner) (e entry, err error) {
		var pushed, untagged int64
		err = row.Scan(&e.digest, &e.subject, &pushed, &untagged)
		e.last = max(pushed, untagged)
		return e, err
	})
	if err != nil {
		return nil, err
	}
	content, err := s.Registry.Repository(ctx, r)
	if err != nil {
		return nil, err
	}
	manifests, err := content.Manifests(ctx)
	if err != nil {
		return nil, err
	}
	subject, known := map[string]string{}, map[string]bool{}
	for _, e := range all {
		known[e.digest], subject[e.digest] = true, e.subject
	}
	kept := map[string]bool{}
	var keep func(d string) error
	keep = func(d string) error {
		if kept[d] || !known[d] {
			return nil
		}
		kept[d] = true
		m, err := manifests.Get(ctx, digest.Digest(d))
		if err != nil {
			return fmt.Errorf("manifest %s: %w", d, err)
		}
		_, payload, err := m.Payload()
		if err != nil {
			return err
		}
		for _, part := range gc.References(payload) {
			if err := keep(part.String()); err != nil {
				return err
			}
		}
		for _, e := range all {
			if e.subject == d {
				if err := keep(e.digest); err != nil {
					return err
				}
			}
		}
		return nil
	}
	for _, e := range all {
		// What is young keeps its parts, too: it may be about to be tagged.
		if tagged[e.digest] || e.last >= before.Unix() {
			if err := keep(e.digest); err != nil {
				return nil, err
			}
		}
	}
	list := []Decision{}
	for _, e := range all {
		if !kept[e.digest] {
			list = append(list, Decision{Digest: e.digest, Reason: "without a tag since " + time.Unix(e.last, 0).UTC().Format(time.DateOnly)})
		}
	}
	return list, nil
}
