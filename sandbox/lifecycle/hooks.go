package lifecycle

import (
	"context"

	"github.com/berth-engine/berth/sandbox/hook"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// later are those of a container's hooks that run when it has been made.
func later(h *specs.Hooks) *specs.Hooks {
	if h == nil || len(h.Poststart)+len(h.Poststop) == 0 {
		return nil
	}
	return &specs.Hooks{Poststart: h.Poststart, Poststop: h.Poststop}
}

// oci is what hooks are told.
func (c *Container) oci(status specs.ContainerState, pid int) *specs.State {
	return &specs.State{Version: c.OCI, ID: c.ID, Status: status, Pid: pid, Bundle: c.Bundle, Annotations: c.Annotations}
}

// poststart runs the hooks that follow the start. One that fails takes the
// container with it, as runc has it.
func (c *Container) poststart(ctx context.Context) error {
	if c.Hooks == nil {
		return nil
	}
	return new(hook.Runner).Run(ctx, hook.Poststart, c.Hooks, c.oci(specs.StateRunning, c.Pid))
}

// poststop runs the hooks that follow the end. What goes wrong is a warning.
func (c *Container) poststop(ctx context.Context) {
	if c.Hooks == nil {
		return
	}
	if err := new(hook.Runner).RunEach(ctx, hook.Poststop, c.Hooks, c.oci(specs.StateStopped, 0)); err != nil {
		c.root.warn("%v", err)
	}
}
