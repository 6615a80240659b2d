package driver

import (
	"bytes"
	"regexp"
	"strings"
	"text/template"
)

// Attrs are the labels and variables of the container that the options labels,
// labels-regex, env and env-regex name, and the tag if there is one: what `logs
// --details` shows and what drivers add to each line.
func Attrs(i *Info) (map[string]string, error) {
	attrs, err := newAttrs(i)
	if err != nil {
		return nil, err
	}
	if i.Options["tag"] != "" {
		if attrs["tag"], err = Tag(i, ""); err != nil {
			return nil, err
		}
	}
	return attrs, nil
}

func newAttrs(i *Info) (map[string]string, error) {
	attrs := map[string]string{}
	env := map[string]string{}
	for _, e := range i.Env {
		if k, v, ok := strings.Cut(e, "="); ok {
			env[k] = v
		}
	}
	for option, from := range map[string]map[string]string{"labels": i.Labels, "env": env} {
		for key := range strings.SplitSeq(i.Options[option], ",") {
			if v, ok := from[strings.TrimSpace(key)]; ok {
				attrs[strings.TrimSpace(key)] = v
			}
		}
		text := i.Options[option+"-regex"]
		if text == "" {
			continue
		}
		re, err := regexp.Compile(text)
		if err != nil {
			return nil, bad("invalid value for log opt '%s-regex': %v", option, err)
		}
		for k, v := range from {
			if re.MatchString(k) {
				attrs[k] = v
			}
		}
	}
	return attrs, nil
}

// tagged is what a tag's template may name.
type tagged struct{ i *Info }

func (t tagged) ID() string                { return t.i.ID[:min(12, len(t.i.ID))] }
func (t tagged) FullID() string            { return t.i.ID }
func (t tagged) Name() string              { return t.i.Name }
func (t tagged) ImageFullID() string       { return t.i.ImageID }
func (t tagged) ImageName() string         { return t.i.ImageName }
func (t tagged) DaemonName() string        { return "berth" }
func (t tagged) Command() string           { return t.i.Command }
func (t tagged) ContainerID() string       { return t.i.ID }
func (t tagged) Hostname() (string, error) { return t.i.Hostname, nil }
func (t tagged) ImageID() string {
	_, id, ok := strings.Cut(t.i.ImageID, ":")
	if !ok {
		id = t.i.ImageID
	}
	return id[:min(12, len(id))]
}

// ExtraAttributes are the attributes that the options name.
func (t tagged) ExtraAttributes(func(string) string) (map[string]string, error) { return newAttrs(t.i) }

var tagFunctions = template.FuncMap{
	"split": strings.Split, "join": strings.Join, "lower": strings.ToLower, "upper": strings.ToUpper,
	"truncate": func(s string, n int) string { return s[:min(len(s), max(n, 0))] },
}

// Tag is the option tag as Docker's template of the container's properties, or
// the template otherwise if the option is not set.
func Tag(i *Info, otherwise string) (string, error) {
	text := i.Options["tag"]
	if text == "" {
		text = otherwise
	}
	t, err := template.New("log-tag").Funcs(tagFunctions).Parse(text)
	if err != nil {
		return "", bad("invalid value for log opt 'tag': %v", err)
	}
	var b bytes.Buffer
	if err := t.Execute(&b, tagged{i}); err != nil {
		return "", bad("invalid value for log opt 'tag': %v", err)
	}
	return b.String(), nil
}
