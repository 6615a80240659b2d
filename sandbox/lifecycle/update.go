package lifecycle

import (
	"context"

	"github.com/berth-engine/berth/kernel/cgroup"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Update changes limits of a container that is not stopped. What r does not
// mention stays as it is.
func (r *Root) Update(_ context.Context, id string, limits *specs.LinuxResources) error {
	c, err := r.holdIn(id, "update", Created, Running, Paused)
	if err != nil {
		return err
	}
	defer c.Close()
	if c.Unit != nil {
		return cgroup.UpdateUnit(c.Unit, limits)
	}
	g, err := c.group()
	if err != nil {
		return err
	}
	return g.Update(limits)
}
