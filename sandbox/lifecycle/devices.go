package lifecycle

import specs "github.com/opencontainers/runtime-spec/specs-go"

// usual are the rules that every container with rules of its own gets on top
// (config-linux.md, Default Devices): all nodes may be made, and these be
// opened.
func usual() []specs.LinuxDeviceCgroup {
	rules := []specs.LinuxDeviceCgroup{
		{Allow: true, Type: "c", Access: "m"},
		{Allow: true, Type: "b", Access: "m"},
	}
	for _, d := range [][2]int64{
		{1, 3}, {1, 5}, {1, 7}, {1, 8}, {1, 9}, // null zero full random urandom
		{5, 0}, {5, 2}, {136, -1}, // tty ptmx pts
	} {
		rule := specs.LinuxDeviceCgroup{Allow: true, Type: "c", Major: &d[0], Access: "rwm"}
		if d[1] >= 0 {
			rule.Minor = &d[1]
		}
		rules = append(rules, rule)
	}
	return rules
}
