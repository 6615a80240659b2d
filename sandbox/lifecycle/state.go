package lifecycle

import (
	"errors"
	"os/user"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// State is what is told of a container, in the form and order of runc.
type State struct {
	Version string `json:"ociVersion"`
	ID      string `json:"id"`
	// Pid is process 1 as the host numbers it; zero if there is none.
	Pid         int               `json:"pid"`
	Status      Status            `json:"status"`
	Bundle      string            `json:"bundle"`
	Rootfs      string            `json:"rootfs"`
	Created     time.Time         `json:"created"`
	Annotations map[string]string `json:"annotations,omitempty"`
	// Owner is whose directory the container's is; List says it.
	Owner string `json:"owner"`
}

// State describes one container.
func (r *Root) State(id string) (*State, error) {
	c, err := r.Load(id)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.state()
}

func (c *Container) state() (*State, error) {
	status, err := c.Status()
	if err != nil {
		return nil, err
	}
	s := &State{
		Version: c.OCI, ID: c.ID, Pid: c.Pid, Status: status, Bundle: c.Bundle, Rootfs: c.Rootfs,
		Created: c.Created, Annotations: c.Annotations,
	}
	if status == Stopped {
		s.Pid = 0
	}
	return s, nil
}

// List describes all containers, in the order of their IDs. One that cannot be
// read is left out and warned of. The error is os.ErrNotExist if there is no
// root directory.
func (r *Root) List() ([]State, error) {
	ids, err := r.IDs()
	if err != nil {
		return nil, err
	}
	var list []State
	for _, id := range ids {
		s, err := r.listed(id)
		if errors.Is(err, errNotFound) {
			continue // removed meanwhile, or not there yet
		}
		if err != nil {
			r.warn("container %s: %v", id, err)
			continue
		}
		list = append(list, *s)
	}
	return list, nil
}

func (r *Root) listed(id string) (*State, error) {
	c, err := r.Load(id)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	s, err := c.state()
	if err != nil {
		return nil, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(c.dir.Fd()), &st); err != nil {
		return nil, err
	}
	s.Owner = "#" + strconv.Itoa(int(st.Uid))
	if u, err := user.LookupId(s.Owner[1:]); err == nil {
		s.Owner = u.Username
	}
	return s, nil
}
