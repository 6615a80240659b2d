package spec

import (
	"regexp"
	"strconv"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

var deviceRule = regexp.MustCompile(`^([acb]) ([0-9]+|\*):([0-9]+|\*) ([rwm]{1,3})$`)

// ParseDeviceRule reads one rule as in "c 42:* rmw".
func ParseDeviceRule(text string) (specs.LinuxDeviceCgroup, error) {
	m := deviceRule.FindStringSubmatch(text)
	if m == nil {
		return specs.LinuxDeviceCgroup{}, invalid("invalid device cgroup rule format: '%s'", text)
	}
	r := specs.LinuxDeviceCgroup{Allow: true, Type: m[1], Access: m[4]}
	for i, dst := range []**int64{&r.Major, &r.Minor} {
		if m[2+i] == "*" {
			continue
		}
		n, err := strconv.ParseInt(m[2+i], 10, 32)
		if err != nil {
			return r, invalid("invalid device cgroup rule format: '%s'", text)
		}
		*dst = &n
	}
	return r, nil
}
