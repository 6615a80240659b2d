package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/kernel/cgroup"
	"github.com/berth-engine/berth/kernel/mount"
	"github.com/berth-engine/berth/kernel/ns"
)

// endWait bounds how long processes that were killed may take to end.
const endWait = 10 * time.Second

// Delete removes a container that is stopped, or created and never started.
// With force, one that runs is killed first, and one that does not exist is no
// error.
func (r *Root) Delete(ctx context.Context, id string, force bool) error {
	c, err := r.lock(id)
	if err == nil {
		defer c.Close()
		if err = c.read(); errors.Is(err, errNotFound) {
			// Nobody is making it any more, since we have the lock: there is
			// nothing of it yet but its directory.
			err = errors.Join(err, c.remove())
		}
	}
	if force && errors.Is(err, errNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	status, err := c.Status()
	if err != nil {
		return err
	}
	if status != Stopped && status != Created && !force {
		return fmt.Errorf("cannot delete container %s that is not stopped: %s: %w", id, status, errdefs.ErrFailedPrecondition)
	}
	return c.destroy(ctx)
}

// destroy kills what lives of the container and removes all of it.
func (c *Container) destroy(ctx context.Context) error {
	g, err := c.group()
	if err != nil && !errdefs.IsNotFound(err) {
		return err
	}
	// With process 1, all in its pid namespace have ended.
	alive, aerr := c.alive()
	if err == nil && (alive || aerr != nil || !c.OwnPids || c.Pid == 0) {
		if err := g.Kill(); err != nil {
			return err
		}
	}
	if err := c.end(); err != nil {
		return err
	}
	switch {
	case c.Unit != nil:
		err = cgroup.DestroyUnit(c.Unit)
	case g != nil:
		if err = g.Destroy(); errors.Is(err, unix.EBUSY) { // somebody else is in it
			err = errors.Join(g.Kill(), g.Destroy())
		}
	}
	if err != nil && !errdefs.IsNotFound(err) {
		return err
	}
	if err := c.unmount(); err != nil {
		return err
	}
	if err := c.remove(); err != nil {
		return err
	}
	c.poststop(ctx)
	return nil
}

// unmount takes away what a container without a mount namespace of its own has
// left in the caller's. Nobody is in it any more who could mount something.
func (c *Container) unmount() error {
	if c.Mount == nil {
		return nil
	}
	return mount.Remove(*c.Mount)
}

// end kills process 1 and waits for its end.
func (c *Container) end() error {
	p, err := c.process()
	if errors.Is(err, errNotRunning) {
		return nil
	}
	if err != nil {
		return err
	}
	defer p.Close()
	if err := ns.PidfdSignal(p, unix.SIGKILL); errors.Is(err, unix.ESRCH) {
		return nil
	} else if err != nil {
		return err
	}
	return waitEnd(p, endWait)
}

// waitEnd waits for the end of a process that need not be a child.
func waitEnd(pidfd *os.File, most time.Duration) error {
	deadline := time.Now().Add(most)
	for {
		left := time.Until(deadline)
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(pidfd.Fd()), Events: unix.POLLIN}}, int(max(left, 0).Milliseconds()))
		switch {
		case err != nil && !errors.Is(err, unix.EINTR):
			return os.NewSyscallError("poll", err)
		case n > 0:
			return nil
		case left <= 0:
			return fmt.Errorf("process 1 does not end although it was killed: %w", errdefs.ErrAborted)
		}
	}
}
