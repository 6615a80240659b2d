package lifecycle

import (
	"context"

	"github.com/berth-engine/berth/kernel/cgroup"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// warnVoid tells of limits that the kernel does not have any more, or not with
// this version of control groups. They are no error: the specification declares
// the first two void, and has the third for v1.
func (r *Root) warnVoid(limits *specs.LinuxResources) {
	if limits == nil || limits.Memory == nil {
		return
	}
	m := limits.Memory
	if m.Kernel != nil && *m.Kernel > 0 { //nolint:staticcheck // deprecated, and hence the warning
		r.warn("memory.kernel has no effect: since 5.16 Linux does not limit kernel memory by itself")
	}
	if m.UseHierarchy != nil && !*m.UseHierarchy {
		r.warn("memory.useHierarchy has no effect: since 5.11 Linux counts the memory of groups below in any case")
	}
	if m.KernelTCP != nil && *m.KernelTCP > 0 && cgroup.Detect() == cgroup.V2 {
		r.warn("memory.kernelTCP has no effect: cgroup v2 counts the buffers of TCP with all other memory")
	}
}

// Update changes limits of a container that is not stopped. What r does not
// mention stays as it is.
func (r *Root) Update(_ context.Context, id string, limits *specs.LinuxResources) error {
	c, err := r.holdIn(id, "update", Created, Running, Paused)
	if err != nil {
		return err
	}
	defer c.Close()
	r.warnVoid(limits)
	if c.Unit != nil {
		return cgroup.UpdateUnit(c.Unit, limits)
	}
	g, err := c.group()
	if err != nil {
		return err
	}
	return g.Update(limits)
}
