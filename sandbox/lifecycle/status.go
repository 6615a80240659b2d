package lifecycle

import (
	"errors"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/kernel/ns"
	"github.com/berth-engine/berth/sandbox/stage"
)

// Status is one of the states of the OCI specification, or Paused.
type Status string

// The states.
const (
	Creating Status = "creating"
	Created  Status = "created"
	Running  Status = "running"
	Paused   Status = "paused"
	Stopped  Status = "stopped"
)

// Status asks the kernel what the container does.
func (c *Container) Status() (Status, error) {
	alive, err := c.alive()
	switch {
	case err != nil:
		return "", err
	case !c.Ready && (alive || c.locked()):
		return Creating, nil
	case !alive:
		return Stopped, nil
	}
	if paused, err := c.paused(); err != nil || paused {
		return Paused, err
	}
	// Start removes the file. Who was killed just before has left one that
	// nobody listens at: the program's execution has closed it.
	if stage.Waits(c.path(startFile)) {
		return Created, nil
	}
	return Running, nil
}

// alive tells whether process 1 exists and has not ended.
func (c *Container) alive() (bool, error) {
	if c.Pid == 0 {
		return false, nil
	}
	start, ended, err := ns.ProcessState(c.Pid)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return err == nil && start == c.StartTime && !ended, err
}

// process opens process 1; errNotRunning if it has ended.
func (c *Container) process() (*os.File, error) {
	// First, since a container that has ended is to be removed also where a filter
	// around this program refuses pidfd_open.
	if alive, err := c.alive(); err != nil || !alive {
		return nil, errors.Join(errNotRunning, err)
	}
	f, err := ns.PidfdOpen(c.Pid)
	if errors.Is(err, unix.ESRCH) {
		return nil, errNotRunning
	}
	if err != nil {
		return nil, err
	}
	// Of two processes with this number only one has this start time, and the
	// descriptor was there before we looked.
	if alive, err := c.alive(); err != nil || !alive {
		f.Close()
		return nil, errors.Join(errNotRunning, err)
	}
	return f, nil
}

// NotRunning tells whether err says that there is no process left.
func NotRunning(err error) bool {
	return err != nil && (errors.Is(err, errNotRunning) || strings.Contains(err.Error(), "no such process"))
}
