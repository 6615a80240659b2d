package spec

import (
	"cmp"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/moby/profiles/seccomp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Names of seccomp profiles besides JSON: none, and that of moby/profiles.
const (
	unconfined = "unconfined"
	builtin    = "builtin"
)

// Security is what the security options of a request say.
type Security struct {
	NoNewPrivs *bool
	// Seccomp is "" (the daemon's choice), "builtin", "unconfined", or a profile
	// as JSON.
	Seccomp string
	// AppArmor is the profile of process 1; "": none is chosen.
	AppArmor string
	// WritableCgroups lets the container change its own control groups.
	WritableCgroups bool
}

// ParseSecurity reads HostConfig.SecurityOpt. SELinux labels, which this engine
// does not set, are refused: silence would promise a confinement that is not
// there. For the same reason the sandbox refuses an AppArmor profile on a host
// without AppArmor.
func ParseSecurity(opts []string) (Security, error) {
	var s Security
	for _, o := range opts {
		if o == "no-new-privileges" {
			yes := true
			s.NoNewPrivs = &yes
			continue
		}
		key, value, ok := strings.Cut(o, "=")
		if !ok {
			key, value, ok = strings.Cut(o, ":")
		}
		if !ok {
			return s, invalid("invalid --security-opt 1: %q", o)
		}
		switch key {
		case "no-new-privileges":
			b, err := strconv.ParseBool(value)
			if err != nil {
				return s, invalid("invalid --security-opt 2: %q", o)
			}
			s.NoNewPrivs = &b
		case "seccomp":
			s.Seccomp = value
			if value != "" && value != unconfined && value != builtin && !json.Valid([]byte(value)) {
				return s, invalid("Decoding seccomp profile failed: not JSON")
			}
		case "apparmor":
			s.AppArmor = value
		case "label":
			// Without SELinux there is nothing to disable.
			if value != "disable" {
				return s, &unsupportedError{"SecurityOpt: SELinux labels are not supported yet; label=disable is"}
			}
		case "writable-cgroups":
			b, err := strconv.ParseBool(value)
			if err != nil {
				return s, invalid("invalid --security-opt 2: %q", o)
			}
			s.WritableCgroups = b
		default:
			return s, invalid("invalid --security-opt 2: %q", o)
		}
	}
	return s, nil
}

// AppArmor is the profile that was asked for, or else the daemon's default. That
// is "" on a host without AppArmor, where only a profile that was asked for
// counts.
func AppArmor(asked, daemon string, privileged bool) string {
	if asked == "" && daemon != "" && privileged {
		return unconfined
	}
	return cmp.Or(asked, daemon)
}

// defaults remembers the default profile by bounding set: making it costs more
// than the rest of the specification. The profiles are shared and not changed.
var defaults sync.Map // string → *specs.LinuxSeccomp

// seccompProfile is what was asked for, or else the daemon's choice.
func seccompProfile(asked, daemon string, privileged bool, s *specs.Spec) (*specs.LinuxSeccomp, error) {
	if asked == "" && privileged {
		return nil, nil
	}
	switch asked = cmp.Or(asked, daemon, builtin); asked {
	case unconfined:
		return nil, nil
	case builtin:
	default:
		p, err := seccomp.LoadProfile(asked, s)
		if err != nil {
			return nil, invalid("%v", err)
		}
		return p, nil
	}
	set := slices.Sorted(slices.Values(s.Process.Capabilities.Bounding))
	key := strings.Join(set, " ")
	if p, ok := defaults.Load(key); ok {
		return p.(*specs.LinuxSeccomp), nil
	}
	p, err := seccomp.GetDefaultProfile(s)
	if err != nil {
		return nil, err
	}
	defaults.Store(key, p)
	return p, nil
}
