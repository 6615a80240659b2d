package container

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// only refuses filters that are not named.
func (f Filters) only(names ...string) error {
	for key := range f {
		if !slices.Contains(names, key) {
			return invalid("invalid filter '%s'", key)
		}
	}
	return nil
}

// values of a filter that are switched on.
func (f Filters) values(key string) []string {
	if len(f) == 0 { // asked a dozen times for each container of a list
		return nil
	}
	var out []string
	for v, on := range f[key] {
		if on {
			out = append(out, v)
		}
	}
	slices.Sort(out)
	return out
}

// labels reports whether labels have all that "label" asks for and nothing of
// "label!".
func (f Filters) labels(labels map[string]string) bool {
	has := func(want string) bool {
		key, value, exact := strings.Cut(want, "=")
		got, ok := labels[key]
		return ok && (!exact || got == value)
	}
	for _, want := range f.values("label") {
		if !has(want) {
			return false
		}
	}
	return !slices.ContainsFunc(f.values("label!"), has)
}

// until reads the filter "until": a duration back from now, a time, or Unix
// seconds.
func (f Filters) until(now time.Time) (at time.Time, set bool, err error) {
	values := f.values("until")
	switch len(values) {
	case 0:
		return at, false, nil
	case 1:
	default:
		return at, false, invalid("more than one until filter specified")
	}
	v := values[0]
	if d, err := time.ParseDuration(v); err == nil {
		return now.Add(-d), true, nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02Z07:00", "2006-01-02"} {
		if t, err := time.ParseInLocation(layout, v, time.Local); err == nil {
			return t, true, nil
		}
	}
	if sec, err := strconv.ParseFloat(v, 64); err == nil && sec > 0 && sec < 1<<40 {
		return time.Unix(0, int64(sec*1e9)), true, nil
	}
	return at, false, invalid("invalid until filter: %q", v)
}

// matchAny reports whether one of values matches; no values match everything.
func matchAny(values []string, match func(string) bool) bool {
	return len(values) == 0 || slices.ContainsFunc(values, match)
}
