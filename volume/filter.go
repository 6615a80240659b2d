package volume

import (
	"strings"

	"github.com/containerd/errdefs"
)

// Filters are those of the Engine API: by name, the values asked for. The
// values of one filter are alternatives, but for labels, of which each must
// match.
type Filters map[string]map[string]bool

func (f Filters) only(known ...string) error {
	for name := range f {
		ok := false
		for _, k := range known {
			ok = ok || k == name
		}
		if !ok {
			return fail(errdefs.ErrInvalidArgument, "invalid filter '%s'", name)
		}
	}
	return nil
}

// boolean reads a filter that is true or false.
func (f Filters) boolean(name string) (value, given bool, err error) {
	for v := range f[name] {
		switch v {
		case "1", "true":
			value = true
		case "0", "false":
		default:
			return false, false, fail(errdefs.ErrInvalidArgument, "invalid filter '%s=[%s]'", name, v)
		}
		if given {
			return false, false, fail(errdefs.ErrInvalidArgument, "invalid filter '%s': it has several values", name)
		}
		given = true
	}
	return value, given, nil
}

func (f Filters) any(name, value string) bool { return len(f[name]) == 0 || f[name][value] }

// names matches a part of the name, as Docker does.
func (f Filters) names(name string) bool {
	for part := range f["name"] {
		if strings.Contains(name, part) {
			return true
		}
	}
	return len(f["name"]) == 0
}

func (f Filters) labels(labels map[string]string) bool {
	for want := range f["label"] {
		if !hasLabel(labels, want) {
			return false
		}
	}
	for not := range f["label!"] {
		if hasLabel(labels, not) {
			return false
		}
	}
	return true
}

// hasLabel matches "key" and "key=value".
func hasLabel(labels map[string]string, want string) bool {
	key, value, exact := strings.Cut(want, "=")
	have, ok := labels[key]
	return ok && (!exact || have == value)
}
