package site

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/berth-engine/berth/hub/retention"
	"github.com/containerd/errdefs"
)

func (s *Site) retentionRoutes(at func(pattern string, h func(*visit) error)) {
	at("GET /settings/retention", (*visit).retention)
	at("POST /settings/retention", (*visit).setRetention)
	at("POST /settings/retention/apply", (*visit).applyRetention)
}

type retentionBody struct {
	Repo         repoView
	Status       retention.Status
	Rules        []keepRow
	UntaggedDays int
	Immutable    string
	Plan         *retention.Plan
	Going        int
	Problem      string
}

// keepRow is a rule as the form has it; zeros are empty fields.
type keepRow struct {
	N                  int
	Tags, Except       string
	Last, Days, Pulled int
}

func (v *visit) retention() error { return v.showRetention(nil, false, "") }

// showRetention shows the policy that is in force, or one that was typed, with
// what it would do when preview asks for that.
func (v *visit) showRetention(typed *retention.Policy, preview bool, problem string) error {
	repo, err := v.administered()
	if err != nil {
		return err
	}
	body := retentionBody{Repo: repo, Problem: problem}
	if body.Status, err = v.Retention.Get(v.ctx(), v.by, repo.Name); err != nil {
		return err
	}
	policy := body.Status.Policy
	if typed != nil {
		policy = *typed
	}
	body.UntaggedDays, body.Immutable = policy.UntaggedDays, strings.Join(policy.Immutable, " ")
	for _, r := range policy.Rules {
		body.Rules = append(body.Rules, keepRow{Tags: r.Tags, Except: strings.Join(r.Except, " "), Last: r.KeepLast, Days: r.KeepDays, Pulled: r.KeepPulledDays})
	}
	body.Rules = append(body.Rules, keepRow{})
	for i := range body.Rules {
		body.Rules[i].N = i + 1
	}
	if preview {
		plan, err := v.Retention.Plan(v.ctx(), v.by, repo.Name, policy)
		if err != nil {
			return v.again(err, func(text string) error { return v.showRetention(typed, false, text) })
		}
		body.Plan = &plan
		body.Going = len(plan.Manifests)
		for _, d := range plan.Tags {
			if !d.Keep {
				body.Going++
			}
		}
	}
	return v.show("retention", repo.page("settings", "retention", body))
}

// policy reads the form. Rules without a number are left out.
func (v *visit) policy() (retention.Policy, error) {
	f := v.r.PostForm
	p := retention.Policy{Immutable: strings.Fields(f.Get("immutable"))}
	var err error
	if p.UntaggedDays, err = numeral("untagged", f.Get("untagged")); err != nil {
		return p, err
	}
	for i, tags := range f["tags"] {
		for _, name := range []string{"except", "last", "days", "pulled"} {
			if i >= len(f[name]) {
				return p, errdefs.ErrInvalidArgument.WithMessage("each rule has tags, except, last, days and pulled")
			}
		}
		r := retention.Rule{Tags: strings.TrimSpace(tags), Except: strings.Fields(f["except"][i])}
		for name, into := range map[string]*int{"last": &r.KeepLast, "days": &r.KeepDays, "pulled": &r.KeepPulledDays} {
			if *into, err = numeral(name, f[name][i]); err != nil {
				return p, err
			}
		}
		if r.KeepLast+r.KeepDays+r.KeepPulledDays > 0 {
			p.Rules = append(p.Rules, r)
		} else if r.Tags != "" {
			return p, fmt.Errorf("the rule for %q says what to keep by no number: %w", r.Tags, errdefs.ErrInvalidArgument)
		}
	}
	return p, nil
}

// numeral reads a field that holds a number or, for 0, nothing.
func numeral(name, text string) (int, error) {
	if text = strings.TrimSpace(text); text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > 100_000 {
		return 0, fmt.Errorf("%s: %q is not a number from 0 to 100000: %w", name, text, errdefs.ErrInvalidArgument)
	}
	return n, nil
}

func (v *visit) setRetention() error {
	repo, err := v.administered()
	if err != nil {
		return err
	}
	p, err := v.policy()
	if err != nil {
		return v.again(err, func(text string) error { return v.showRetention(nil, false, text) })
	}
	if v.r.PostForm.Get("do") == "preview" {
		return v.showRetention(&p, true, "")
	}
	if err := v.Retention.Set(v.ctx(), v.by, repo.Name, p); err != nil {
		return v.again(err, func(text string) error { return v.showRetention(&p, false, text) })
	}
	return v.done(v.settingsPath(repo, "retention"), "The policy is saved. It is applied once a day.")
}

func (v *visit) applyRetention() error {
	repo, err := v.administered()
	if err != nil {
		return err
	}
	result, err := v.Retention.Apply(v.ctx(), v.by, repo.Name)
	if err != nil {
		return v.again(err, func(text string) error { return v.showRetention(nil, false, text) })
	}
	said := fmt.Sprintf("removed %d tags and %d manifests", result.Tags, result.Manifests)
	return v.done(v.settingsPath(repo, "retention"), "The policy was applied: it "+said+".")
}
