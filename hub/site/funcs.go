package site

import (
	"fmt"
	"html/template"
	"net/url"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/berth-engine/berth/hub/audit"
	"github.com/berth-engine/berth/oci"
	"github.com/docker/go-units"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// funcs are what templates call.
func (s *Site) funcs() template.FuncMap {
	return template.FuncMap{
		"asset": func(name string) (string, error) {
			a, found := s.assets[name]
			if !found {
				return "", fmt.Errorf("no asset %q", name)
			}
			return a.Path, nil
		},
		"has": s.has,
		"ref": func(name string) string { // as people say it
			if tag, found := strings.CutPrefix(name, "refs/tags/"); found {
				return "tag " + tag
			}
			return strings.TrimPrefix(name, "refs/heads/")
		},
		"repo":     repoPath,
		"bytes":    func(n int64) string { return size(n) },
		"signed":   signed,
		"count":    count,
		"ago":      ago,
		"short":    short,
		"shorten":  shorten,
		"detail":   detail,
		"platform": platform,
		"initial":  initial,
		"plural": func(n int, word string) string {
			if n != 1 {
				word += "s"
			}
			return fmt.Sprintf("%d %s", n, word)
		},
	}
}

var digests = regexp.MustCompile(`sha256:[0-9a-f]{64}`)

// shorten has digests in a text as short as tables have them, and whole where one
// points at them.
func shorten(text string) template.HTML {
	var b strings.Builder
	at := 0
	for _, m := range digests.FindAllStringIndex(text, -1) {
		d := text[m[0]:m[1]]
		b.WriteString(template.HTMLEscapeString(text[at:m[0]]))
		fmt.Fprintf(&b, `<span class="mono" title="%s">%s</span>`, d, short(digest.Digest(d)))
		at = m[1]
	}
	b.WriteString(template.HTMLEscapeString(text[at:]))
	return template.HTML(b.String()) //nolint:gosec // all of it is escaped, or a digest
}

// detail is what an entry of the audit log says beside its target.
func detail(e audit.Entry) string {
	if strings.HasSuffix(e.Target, e.Detail) {
		return ""
	}
	return e.Detail
}

// repoPath is the address of a repository's page.
func repoPath(name string) string {
	u := url.URL{Path: "/r/" + name}
	return u.EscapedPath()
}

// size writes bytes as "12.3 MB".
func size(n int64) string {
	s := units.HumanSizeWithPrecision(float64(n), 3)
	i := strings.IndexFunc(s, unicode.IsLetter)
	return s[:i] + "\u00a0" + s[i:]
}

func signed(n int64) string {
	if n > 0 {
		return "+" + size(n)
	}
	if n < 0 {
		return "−" + size(-n)
	}
	return "0"
}

// count shortens a number of pulls.
func count(n int64) string {
	switch {
	case n >= 10_000_000:
		return fmt.Sprintf("%dM", n/1_000_000)
	case n >= 1_000_000:
		return fmt.Sprintf("%.1fM", float64(n)/1e6)
	case n >= 10_000:
		return fmt.Sprintf("%dk", n/1000)
	case n >= 1000:
		return fmt.Sprintf("%.1fk", float64(n)/1e3)
	}
	return fmt.Sprint(n)
}

// ago says how far a time is from now; the exact one is there to be read, too.
func ago(t time.Time) template.HTML {
	if t.IsZero() {
		return "—"
	}
	exact := t.UTC().Format(time.RFC3339)
	d := time.Since(t)
	words := units.HumanDuration(d.Abs()) + " ago"
	switch {
	case d < -time.Second:
		words = "in " + units.HumanDuration(-d)
	case d < 5*time.Second:
		words = "just now"
	}
	words = strings.ToLower(words[:1]) + words[1:]
	// Both are of digits and words that are made here.
	return template.HTML(fmt.Sprintf(`<time datetime="%s" title="%s">%s</time>`, exact, exact, template.HTMLEscapeString(words))) //nolint:gosec // escaped
}

func short(d any) string {
	switch d := d.(type) {
	case digest.Digest:
		if d.Validate() == nil {
			return oci.ShortID(d)
		}
		return string(d)
	case string:
		return short(digest.Digest(d))
	}
	return fmt.Sprint(d)
}

// platform writes linux/arm64/v8 as everybody does.
func platform(p ocispec.Platform) string {
	if p.OS == "" && p.Architecture == "" {
		return "unknown"
	}
	s := p.OS + "/" + p.Architecture
	if p.Variant != "" {
		s += "/" + p.Variant
	}
	if p.OSVersion != "" {
		s += " (" + p.OSVersion + ")"
	}
	return s
}

func initial(name string) string {
	r, _ := utf8.DecodeRuneInString(name)
	return string(r)
}
