package site

import (
	"strings"
	"testing"

	"github.com/berth-engine/berth/hub/audit"
)

// TestShorten: digests get short, what is around them stays text.
func TestShorten(t *testing.T) {
	d := "sha256:" + strings.Repeat("0123456789abcdef", 4)
	for in, want := range map[string]string{
		"":                     "",
		"ann/app:1":            "ann/app:1",
		"<b>" + d + "&":        `&lt;b&gt;<span class="mono" title="` + d + `">0123456789ab</span>&amp;`,
		"x@" + d + " was " + d: `x@<span class="mono" title="` + d + `">0123456789ab</span> was <span class="mono" title="` + d + `">0123456789ab</span>`,
		d[:40] + `"`:           d[:40] + "&#34;",
	} {
		if got := string(shorten(in)); got != want {
			t.Errorf("%s: %s, not %s", in, got, want)
		}
	}
	for _, c := range []struct{ target, detail, want string }{
		{"a/b@" + d, d, ""}, {"a/b:1", d, d}, {"a/b", "", ""},
	} {
		if got := detail(audit.Entry{Target: c.target, Detail: c.detail}); got != c.want {
			t.Errorf("%+v: %q", c, got)
		}
	}
}
