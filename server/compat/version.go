package compat

import (
	"fmt"
	"strconv"
	"strings"
)

// Version is a version of the Engine API.
type Version struct{ Major, Minor int }

var (
	// Oldest is the oldest version that is served.
	Oldest = Version{1, 24}
	// Newest is the newest version, that of the api module this engine is built
	// with; a test compares it with the module's specification.
	Newest = Version{1, 56}
)

// ParseVersion reads a version such as "1.41".
func ParseVersion(s string) (Version, error) {
	major, minor, _ := strings.Cut(s, ".")
	a, err1 := strconv.ParseUint(major, 10, 16)
	b, err2 := strconv.ParseUint(minor, 10, 16)
	if minor == "" {
		b, err2 = 0, nil
	}
	if err1 != nil || err2 != nil {
		return Version{}, fmt.Errorf("invalid API version %q", s)
	}
	return Version{int(a), int(b)}, nil
}

// String is the version as it appears in a path after the v.
func (v Version) String() string { return fmt.Sprintf("%d.%d", v.Major, v.Minor) }

// Less says whether v is older than o.
func (v Version) Less(o Version) bool {
	return v.Major < o.Major || v.Major == o.Major && v.Minor < o.Minor
}

// before says whether v is older than 1.minor.
func (v Version) before(minor int) bool { return v.Less(Version{1, minor}) }

// Has says whether v is 1.minor or newer.
func (v Version) Has(minor int) bool { return !v.before(minor) }
