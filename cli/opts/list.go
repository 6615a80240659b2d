package opts

import (
	"fmt"
	"slices"
	"strings"
)

// List is a flag that may be given more than once. The zero value accepts any
// string; Check may normalise or refuse one.
type List struct {
	Values []string
	Check  func(string) (string, error)
}

// Set adds one value.
func (l *List) Set(s string) error {
	if l.Check != nil {
		var err error
		if s, err = l.Check(s); err != nil {
			return err
		}
	}
	l.Values = append(l.Values, s)
	return nil
}

// String shows the values; empty when there are none, so that help texts
// print no default.
func (l *List) String() string {
	if len(l.Values) == 0 {
		return ""
	}
	return fmt.Sprint(l.Values)
}

// Type names the value in help texts.
func (*List) Type() string { return "list" }

// Has tells whether s was given.
func (l *List) Has(s string) bool { return slices.Contains(l.Values, s) }

// Map is a repeatable KEY=VALUE flag.
type Map struct {
	Values map[string]string
	Check  func(string) (string, error)
}

// Set adds one pair; a missing "=" means an empty value.
func (m *Map) Set(s string) error {
	if m.Check != nil {
		var err error
		if s, err = m.Check(s); err != nil {
			return err
		}
	}
	if m.Values == nil {
		m.Values = map[string]string{}
	}
	k, v, _ := strings.Cut(s, "=")
	m.Values[k] = v
	return nil
}

// String shows the pairs as Go prints a map, as Docker's help does.
func (m *Map) String() string { return fmt.Sprint(m.Values) }

// Type names the value in help texts.
func (*Map) Type() string { return "map" }

// Filter collects --filter name=value flags into the form the API wants.
type Filter struct {
	Values map[string]map[string]bool
}

// Set adds one condition. An empty string is no condition.
func (f *Filter) Set(s string) error {
	if s == "" {
		return nil
	}
	name, value, ok := strings.Cut(s, "=")
	if !ok {
		return fmt.Errorf("bad format of filter (expected name=value)")
	}
	f.Add(strings.ToLower(strings.TrimSpace(name)), strings.TrimSpace(value))
	return nil
}

// Add adds one condition that needs no parsing.
func (f *Filter) Add(name, value string) {
	if f.Values == nil {
		f.Values = map[string]map[string]bool{}
	}
	if f.Values[name] == nil {
		f.Values[name] = map[string]bool{}
	}
	f.Values[name][value] = true
}

// String is empty: help texts show no default.
func (*Filter) String() string { return "" }

// Type names the value in help texts.
func (*Filter) Type() string { return "filter" }

// PairsToMap splits KEY=VALUE strings; a later one wins.
func PairsToMap(pairs []string) map[string]string {
	m := make(map[string]string, len(pairs))
	for _, p := range pairs {
		k, v, _ := strings.Cut(p, "=")
		m[k] = v
	}
	return m
}
