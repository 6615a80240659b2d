package site

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/berth-engine/berth/hub/autobuild"
	"github.com/containerd/errdefs"
)

type sourceBody struct {
	Repo            repoView
	Source          autobuild.Source
	There           bool
	Engines         []string
	Rules           []ruleRow
	Scheme          string
	Secret, Problem string
}

// ruleRow is a rule as the form has it.
type ruleRow struct {
	N                int
	On, Pattern      string // branch or tag
	Context, File    string
	Tags, Parameters string
	Platforms        string
}

func (v *visit) source() error { return v.showSource("", "") }

func (v *visit) showSource(secret, problem string) error {
	repo, err := v.administered()
	if err != nil {
		return err
	}
	body := sourceBody{Repo: repo, Secret: secret, Problem: problem, There: true, Scheme: "http"}
	if v.https() {
		body.Scheme = "https"
	}
	body.Source, err = v.Builds.Source(v.ctx(), v.by, repo.Name)
	if errdefs.IsNotFound(err) {
		body.There, err = false, nil
	}
	if err != nil {
		return err
	}
	for _, e := range v.Builds.Engines {
		body.Engines = append(body.Engines, e.Name)
	}
	for _, r := range body.Source.Rules {
		row := ruleRow{On: "branch", Pattern: r.Branch, Context: r.Context, File: r.Dockerfile, Tags: strings.Join(r.Tags, " "), Platforms: strings.Join(r.Platforms, " ")}
		if r.Tag != "" {
			row.On, row.Pattern = "tag", r.Tag
		}
		for _, k := range slices.Sorted(maps.Keys(r.Args)) {
			row.Parameters += k + "=" + r.Args[k] + "\n"
		}
		body.Rules = append(body.Rules, row)
	}
	first := ruleRow{On: "branch"}
	if len(body.Rules) == 0 {
		first.Pattern = "main"
	}
	body.Rules = append(body.Rules, first) // an empty one to fill in
	for i := range body.Rules {
		body.Rules[i].N = i + 1
	}
	return v.show("source", repo.page("settings", "builds", body))
}

// rules reads the form's; those without a pattern are left out.
func (v *visit) rules() ([]autobuild.Rule, error) {
	f := v.r.PostForm
	on, patterns := f["on"], f["pattern"]
	for _, name := range []string{"context", "file", "tags", "parameters", "platforms", "on"} {
		if len(f[name]) != len(patterns) {
			return nil, errdefs.ErrInvalidArgument.WithMessage("each rule has on, pattern, context, file, tags, platforms and parameters")
		}
	}
	var list []autobuild.Rule
	for i, pattern := range patterns {
		if strings.TrimSpace(pattern) == "" {
			continue
		}
		r := autobuild.Rule{Context: f["context"][i], Dockerfile: f["file"][i], Tags: strings.Fields(f["tags"][i]), Platforms: strings.Fields(f["platforms"][i])}
		switch on[i] {
		case "branch":
			r.Branch = strings.TrimSpace(pattern)
		case "tag":
			r.Tag = strings.TrimSpace(pattern)
		default:
			return nil, errdefs.ErrInvalidArgument.WithMessage("a rule is for a branch or a tag")
		}
		for line := range strings.Lines(f["parameters"][i]) {
			line = strings.TrimRight(line, "\r\n")
			if line == "" {
				continue
			}
			k, value, found := strings.Cut(line, "=")
			if !found {
				return nil, fmt.Errorf("build argument %q: write NAME=VALUE: %w", line, errdefs.ErrInvalidArgument)
			}
			if r.Args == nil {
				r.Args = map[string]string{}
			}
			r.Args[k] = value
		}
		list = append(list, r)
	}
	return list, nil
}

func (v *visit) setSource() error {
	repo, err := v.administered()
	if err != nil {
		return err
	}
	f := v.r.PostForm
	spec := autobuild.Spec{
		Kind: f.Get("kind"), URL: f.Get("url"), Engine: f.Get("engine"), Secret: f.Get("secret"), Username: f.Get("username"), Password: f.Get("password"),
	}
	if spec.Kind == autobuild.Hosted { // the form has these fields all the same
		spec.URL, spec.Username, spec.Password = "", "", ""
	}
	var secret string
	if spec.Rules, err = v.rules(); err == nil {
		_, secret, err = v.Builds.SetSource(v.ctx(), v.by, repo.Name, spec)
	}
	if err != nil {
		return v.again(refusedURL(err), func(text string) error { return v.showSource("", text) })
	}
	if secret != "" {
		return v.showSource(secret, "")
	}
	return v.done(v.settingsPath(repo, "builds"), "Builds are set up.")
}

func (v *visit) removeSource() error {
	repo, err := v.administered()
	if err != nil {
		return err
	}
	if err := v.Builds.RemoveSource(v.ctx(), v.by, repo.Name); err != nil {
		return v.again(err, func(text string) error { return v.showSource("", text) })
	}
	return v.done(v.settingsPath(repo, "builds"), "Pushes no longer start builds.")
}
