package network

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Filters are Docker's decoded filters: key, then values.
type Filters map[string]map[string]bool

func (f Filters) check(known ...string) error {
	for _, key := range slices.Sorted(maps.Keys(f)) {
		if !slices.Contains(known, key) {
			return invalid("invalid filter '%s'", key)
		}
	}
	return nil
}

// one: no value is given, or this one is.
func (f Filters) one(key, value string) bool { return len(f[key]) == 0 || f[key][value] }

// patterns are the values of a key as regular expressions, which Docker takes
// them for: a part of a text matches, ^name$ only all of it. One that is none
// matches itself alone.
func (f Filters) patterns(key string) []*regexp.Regexp {
	var out []*regexp.Regexp
	for v := range f[key] {
		re, err := regexp.Compile(v)
		if err != nil {
			re = regexp.MustCompile("^" + regexp.QuoteMeta(v) + "$")
		}
		out = append(out, re)
	}
	return out
}

// matches: there are no patterns, or one of them fits.
func matches(patterns []*regexp.Regexp, text string) bool {
	return len(patterns) == 0 || slices.ContainsFunc(patterns, func(re *regexp.Regexp) bool { return re.MatchString(text) })
}

func (f Filters) labels(labels map[string]string) bool {
	has := func(want string) bool {
		key, value, exact := strings.Cut(want, "=")
		got, ok := labels[key]
		return ok && (!exact || got == value)
	}
	for want := range f["label"] {
		if !has(want) {
			return false
		}
	}
	for want := range f["label!"] {
		if has(want) {
			return false
		}
	}
	return true
}

func (f Filters) boolean(key string) (value, given bool, err error) {
	for v := range f[key] {
		switch v {
		case "1", "true":
			value, given = true, true
		case "0", "false":
			given = true
		default:
			return false, false, invalid("invalid filter '%s=%s'", key, v)
		}
	}
	if len(f[key]) > 1 {
		return false, false, invalid("invalid filter '%s'", key)
	}
	return value, given, nil
}

// until reads a point in time: a duration back from now, a time, or Unix
// seconds.
func (f Filters) until() (at time.Time, given bool, err error) {
	if len(f["until"]) > 1 {
		return at, false, invalid("more than one until filter specified")
	}
	for v := range f["until"] {
		if d, err := time.ParseDuration(v); err == nil {
			return time.Now().Add(-d), true, nil
		}
		for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02Z07:00", "2006-01-02"} {
			if at, err := time.ParseInLocation(layout, v, time.Local); err == nil {
				return at, true, nil
			}
		}
		if sec, err := strconv.ParseInt(v, 10, 64); err == nil && sec > 0 {
			return time.Unix(sec, 0), true, nil
		}
		return at, false, invalid("invalid until filter: %q", v)
	}
	return at, false, nil
}
