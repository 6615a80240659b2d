package spec

import (
	"slices"
	"strings"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/sys/capability"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// DefaultCapabilities are what a container's root has.
var DefaultCapabilities = []string{
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID",
	"CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE",
}

const allCaps = "ALL"

// normalizeCaps gives names their "CAP_" and checks that they exist. field is
// for the error.
func normalizeCaps(field string, names []string) ([]string, error) {
	out := make([]string, 0, len(names))
	for _, n := range names {
		c := strings.ToUpper(n)
		if c == allCaps {
			out = append(out, c)
			continue
		}
		if !strings.HasPrefix(c, "CAP_") {
			c = "CAP_" + c
		}
		known := slices.ContainsFunc(capability.ListKnown(), func(k capability.Cap) bool {
			return "CAP_"+strings.ToUpper(k.String()) == c
		})
		if !known {
			return nil, invalid("invalid %s: unknown capability: %q", field, n)
		}
		out = append(out, c)
	}
	return out, nil
}

// Capabilities is the bounding set of the container: the defaults, changed by
// CapAdd and CapDrop. supported is what the kernel knows.
func Capabilities(h *container.HostConfig, supported []string) ([]string, error) {
	add, err := normalizeCaps("CapAdd", h.CapAdd)
	if err != nil {
		return nil, err
	}
	drop, err := normalizeCaps("CapDrop", h.CapDrop)
	if err != nil {
		return nil, err
	}
	if h.Privileged {
		return supported, nil
	}
	var set []string
	switch {
	case slices.Contains(add, allCaps):
		set = without(supported, drop)
	case slices.Contains(drop, allCaps):
	default:
		set = without(DefaultCapabilities, drop)
	}
	for _, c := range add {
		if c != allCaps && !slices.Contains(set, c) && (slices.Contains(supported, c) || supported == nil) {
			set = append(set, c)
		}
	}
	return set, nil
}

func without(set, drop []string) []string {
	return slices.DeleteFunc(slices.Clone(set), func(c string) bool { return slices.Contains(drop, c) })
}

// processCaps gives a user other than root none of the set until it executes
// something that has them, as execve itself would do.
func processCaps(set []string, uid uint32) *specs.LinuxCapabilities {
	if uid != 0 {
		return &specs.LinuxCapabilities{Bounding: set}
	}
	return &specs.LinuxCapabilities{Bounding: set, Effective: set, Permitted: set}
}

// CapNames spells capabilities as the OCI specification does.
func CapNames(caps []capability.Cap) []string {
	out := make([]string, 0, len(caps))
	for _, c := range caps {
		out = append(out, "CAP_"+strings.ToUpper(c.String()))
	}
	return out
}
