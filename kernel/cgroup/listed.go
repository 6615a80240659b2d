package cgroup

import (
	"github.com/moby/sys/userns"
	"github.com/opencontainers/cgroups"
	devices "github.com/opencontainers/cgroups/devices/config"
)

// allowAsListed writes the rules for devices of a new group of v1 in their order,
// as far as that is "nothing" and then what is allowed: devices.list shows them
// so. The library, which sorts what it writes, does the rest and compares the
// result with what was asked for.
func (g *Group) allowAsListed(rules []*devices.Rule) error {
	dir := g.dirs["devices"]
	if g.host.mode == V2 || dir == "" || len(rules) == 0 || userns.RunningInUserNS() {
		return nil
	}
	for i, r := range rules {
		all := r.Type == devices.WildcardDevice
		if first := i == 0; first != all || first == r.Allow {
			return nil
		}
		file := "devices.allow"
		if all {
			file = "devices.deny"
		}
		if err := cgroups.WriteFile(dir, file, r.CgroupString()); err != nil {
			return err
		}
	}
	return nil
}
