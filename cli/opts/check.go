package opts

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/docker/go-units"
	"github.com/moby/moby/api/types/container"
)

// CheckIP accepts an IP address.
func CheckIP(s string) (string, error) {
	a, err := netip.ParseAddr(strings.TrimSpace(s))
	if err != nil {
		return "", fmt.Errorf("IP address is not correctly formatted: %s", s)
	}
	return a.String(), nil
}

// CheckLabel refuses labels without a usable name.
func CheckLabel(s string) (string, error) {
	key, _, _ := strings.Cut(s, "=")
	key = strings.TrimLeft(key, " \t")
	if key == "" {
		return "", fmt.Errorf("invalid label '%s': empty name", s)
	}
	if strings.ContainsAny(key, " \t") {
		return "", fmt.Errorf("label '%s' contains whitespaces", key)
	}
	return s, nil
}

// CheckAttach accepts stdin, stdout and stderr in any case.
func CheckAttach(s string) (string, error) {
	l := strings.ToLower(s)
	if l != "stdin" && l != "stdout" && l != "stderr" {
		return s, errors.New("valid streams are STDIN, STDOUT and STDERR")
	}
	return l, nil
}

// CheckSysctl accepts the namespaced kernel parameters.
func CheckSysctl(s string) (string, error) {
	k, _, ok := strings.Cut(s, "=")
	allowed := []string{
		"kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shmall",
		"kernel.shmmax", "kernel.shmmni", "kernel.shm_rmid_forced",
	}
	if ok && (slices.Contains(allowed, k) || strings.HasPrefix(k, "net.") || strings.HasPrefix(k, "fs.mqueue.")) {
		return s, nil
	}
	return "", fmt.Errorf("sysctl '%s' is not allowed", s)
}

// CheckLink accepts container[:alias].
func CheckLink(s string) (string, error) {
	switch {
	case s == "":
		return "", errors.New("empty string specified for links")
	case strings.Count(s, ":") > 1:
		return "", errors.New("bad format for links: " + s)
	}
	return s, nil
}

// CheckHostEntry accepts name:ip and name=ip for --add-host, and sends the
// former. "host-gateway" is a name for the host's own address.
func CheckHostEntry(s string) (string, error) {
	k, v, ok := strings.Cut(s, "=")
	if !ok {
		k, v, ok = strings.Cut(s, ":")
	}
	if !ok || k == "" || strings.Contains(k, ":") {
		return "", fmt.Errorf("bad format for add-host: %q", s)
	}
	if v != "host-gateway" {
		if len(v) > 2 && v[0] == '[' && v[len(v)-1] == ']' {
			v = v[1 : len(v)-1]
		}
		if _, err := netip.ParseAddr(v); err != nil {
			return "", fmt.Errorf("invalid IP address in add-host: %q", v)
		}
	}
	return k + ":" + v, nil
}

var domain = sync.OnceValue(func() *regexp.Regexp {
	label := `[a-zA-Z0-9](?:[a-zA-Z0-9\-]*[a-zA-Z0-9])?`
	return regexp.MustCompile(`^(` + label + `(?:\.` + label + `)*)\.?\s*$`)
})

// CheckDomain accepts a search domain, or "." for none.
func CheckDomain(s string) (string, error) {
	t := strings.Trim(s, " ")
	if t == "." {
		return t, nil
	}
	m := domain().FindStringSubmatch(t)
	letters := strings.ContainsFunc(t, func(r rune) bool { return r|0x20 >= 'a' && r|0x20 <= 'z' })
	if m == nil || !letters || len(m[1]) >= 255 {
		return "", fmt.Errorf("%s is not a valid domain", s)
	}
	return m[1], nil
}

// Ulimits collects --ulimit flags; a later one of the same name wins.
type Ulimits struct{ values map[string]*units.Ulimit }

// Set parses name=soft[:hard].
func (u *Ulimits) Set(s string) error {
	l, err := units.ParseUlimit(s)
	if err != nil {
		return err
	}
	if u.values == nil {
		u.values = map[string]*units.Ulimit{}
	}
	u.values[l.Name] = l
	return nil
}

// List is all limits by name.
func (u *Ulimits) List() []*units.Ulimit {
	out := make([]*units.Ulimit, 0, len(u.values))
	for _, l := range u.values {
		out = append(out, l)
	}
	slices.SortFunc(out, func(a, b *units.Ulimit) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// String shows the limits as Docker's help does.
func (u *Ulimits) String() string { return fmt.Sprint(u.List()) }

// Type names the value in help texts.
func (*Ulimits) Type() string { return "ulimit" }

// ParseRestart parses no, always, unless-stopped and on-failure[:n]. The
// daemon judges the name.
func ParseRestart(s string) (container.RestartPolicy, error) {
	name, count, hasCount := strings.Cut(s, ":")
	if hasCount && name == "" {
		return container.RestartPolicy{}, errors.New("invalid restart policy format: no policy provided before colon")
	}
	p := container.RestartPolicy{Name: container.RestartPolicyMode(name)}
	if count != "" {
		n, err := strconv.Atoi(count)
		if err != nil {
			return container.RestartPolicy{}, errors.New("invalid restart policy format: maximum retry count must be an integer")
		}
		p.MaximumRetryCount = n
	}
	return p, nil
}

// Security checks --security-opt values. A seccomp profile's file is read
// here, because the daemon may not see it. unconfined tells that
// systempaths=unconfined was among them, which is the client's to carry out.
func Security(in []string) (out []string, unconfined bool, err error) {
	for _, opt := range in {
		if opt == "systempaths=unconfined" {
			unconfined = true
			continue
		}
		k, v, ok := strings.Cut(opt, "=")
		if !ok && k != "no-new-privileges" {
			k, v, ok = strings.Cut(opt, ":")
		}
		if (!ok || v == "") && k != "no-new-privileges" {
			return nil, false, fmt.Errorf("Invalid --security-opt: %q", opt)
		}
		if k == "seccomp" && v != "unconfined" && v != "builtin" {
			data, err := os.ReadFile(v)
			if err != nil {
				return nil, false, fmt.Errorf("opening seccomp profile (%s) failed: %w", v, err)
			}
			var b bytes.Buffer
			if err := json.Compact(&b, data); err != nil {
				return nil, false, fmt.Errorf("compacting json for seccomp profile (%s) failed: %w", v, err)
			}
			opt = "seccomp=" + b.String()
		}
		out = append(out, opt)
	}
	return out, unconfined, nil
}
