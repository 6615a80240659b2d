package main

import (
	"strings"
	"testing"
)

func TestMatches(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"a b", "a b", true},
		{"a b", "a b c", false},
		{"a…", "a b c", true},
		{"a … c", "a b c", true},
		{"a … c", "a b c d", false},
		{"b…", "a b", false},
	} {
		if got := matches(c.pattern, c.name); got != c.want {
			t.Errorf("%q of %q: %v", c.pattern, c.name, got)
		}
	}
}

// TestGoals: a goal takes the newest run that has both of its figures, and a
// target is the same with another version.
func TestGoals(t *testing.T) {
	older := &report{Machine: "x, 4 cores, Linux", Cases: []*result{
		{Name: "run", Unit: "ms", Targets: []string{"berth", "docker 1.2"}, Samples: map[string][]float64{"berth": {4}, "docker 1.2": {100}}},
	}}
	newer := &report{Cases: []*result{{Name: "run", Unit: "ms", Targets: []string{"berth"}, Samples: map[string][]float64{"berth": {9}}}}}
	m := &medians{reports: []*report{newer, older}}
	if got, met := at("run", "berth", "ms", 10)(m); got != "9.00 ms" || !met {
		t.Errorf("%s, %v", got, met)
	}
	if got, met := times("run", "berth", "run", "docker", "×", 0.04)(m); got != "0.04 ×" || !met || m.from != older {
		t.Errorf("%s, %v of %p", got, met, m.from)
	}
	if got, _ := at("exec", "berth", "ms", 10)(m); got != "" {
		t.Errorf("what nobody measured is %s", got)
	}
	if n := coresOf(older); n != 4 {
		t.Errorf("%d cores", n)
	}
	var text strings.Builder
	renderGoals(&text, m.reports)
	if n := strings.Count(text.String(), "not measured"); n != len(goals) {
		t.Errorf("%d of %d goals are not measured:\n%s", n, len(goals), text.String())
	}
}
