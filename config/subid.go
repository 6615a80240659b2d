package config

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"strconv"
	"strings"
)

// Remapped is the user whom root of containers is on the host, and what the
// others are. A zero Name: nobody is remapped.
type Remapped struct {
	Name       string
	UIDs, GIDs []IDRange
}

// IDRange says that Size ids of containers from Inside on are those of the host
// from Outside on.
type IDRange struct{ Inside, Outside, Size uint32 }

// defaultRemap is the user that "default" means (dockerd's userns-remap).
const defaultRemap = "dockremap"

// Remapped resolves UsernsRemap: USER or USER:GROUP, by name or number, or
// "default". The user's subordinate ids, in /etc/subuid and /etc/subgid
// (subuid(5)), become those of containers, from 0 on.
func (c *Config) Remapped() (r Remapped, err error) {
	if c.UsernsRemap == "" {
		return r, nil
	}
	name, group, hasGroup := strings.Cut(c.UsernsRemap, ":")
	if name == "default" && !hasGroup {
		name = defaultRemap
	}
	u, err := user.Lookup(name)
	if _, bad := strconv.ParseUint(name, 10, 32); err != nil && bad == nil {
		u, err = user.LookupId(name)
	}
	if err != nil {
		return r, fmt.Errorf("userns-remap %q: there is no user %s: make it (useradd --system %s) and give it ranges in /etc/subuid and /etc/subgid", c.UsernsRemap, name, name)
	}
	if hasGroup {
		_, err := user.LookupGroup(group)
		if _, bad := strconv.ParseUint(group, 10, 32); err != nil && bad == nil {
			_, err = user.LookupGroupId(group)
		}
		if err != nil {
			return r, fmt.Errorf("userns-remap %q: there is no group %q", c.UsernsRemap, group)
		}
	}
	r.Name = u.Username
	if r.UIDs, err = readRanges("/etc/subuid", u); err == nil {
		r.GIDs, err = readRanges("/etc/subgid", u)
	}
	if err != nil {
		return Remapped{}, fmt.Errorf("userns-remap %q: %w", c.UsernsRemap, err)
	}
	return r, nil
}

func readRanges(path string, u *user.User) ([]IDRange, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	list, err := parseRanges(f, u.Username, u.Uid)
	if err == nil && len(list) == 0 {
		err = fmt.Errorf("it has no entry for %s (for example %s:100000:65536)", u.Username, u.Username)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return list, nil
}

// maxRanges is how many the kernel takes (user_namespaces(7)).
const maxRanges = 340

// parseRanges reads the ranges of a user, who is named or numbered, in their
// order.
func parseRanges(r io.Reader, name, uid string) (list []IDRange, err error) {
	inside := uint64(0)
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		fields := strings.Split(strings.TrimSpace(lines.Text()), ":")
		if len(fields) != 3 || fields[0] != name && fields[0] != uid {
			continue
		}
		first, err1 := strconv.ParseUint(fields[1], 10, 32)
		size, err2 := strconv.ParseUint(fields[2], 10, 32)
		// The last number means "no id".
		if errors.Join(err1, err2) != nil || size == 0 || first == 0 || first+size > 1<<32-1 || inside+size > 1<<32-1 {
			return nil, fmt.Errorf("%q is not a range of ids", lines.Text())
		}
		list = append(list, IDRange{uint32(inside), uint32(first), uint32(size)})
		inside += size
		if len(list) > maxRanges {
			return nil, fmt.Errorf("more than %d ranges for %s", maxRanges, name)
		}
	}
	return list, lines.Err()
}
