package lifecycle

import (
	"context"
	"errors"
	"syscall"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/kernel/ns"
)

// Kill sends a signal to process 1; with all, to every process of the
// container, also when process 1 has ended. A SIGKILL always means all where
// the container's processes do not end with process 1.
func (r *Root) Kill(ctx context.Context, id string, sig syscall.Signal, all bool) error {
	c, err := r.Load(id)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := ctx.Err(); err != nil {
		return err
	}
	if all || sig == syscall.SIGKILL && !c.OwnPids {
		return c.killAll(sig)
	}
	p, err := c.process()
	if err != nil {
		return err
	}
	defer p.Close()
	if err := ns.PidfdSignal(p, sig); !errors.Is(err, unix.ESRCH) {
		return err
	}
	return errNotRunning
}

func (c *Container) killAll(sig syscall.Signal) error {
	g, err := c.group()
	if errdefs.IsNotFound(err) {
		return errNotRunning
	}
	if err != nil {
		return err
	}
	if sig == syscall.SIGKILL {
		return g.Kill()
	}
	return g.Signal(sig)
}
