package lifecycle

import (
	"fmt"
	"os"
	"path"

	"github.com/containerd/errdefs"

	"github.com/berth-engine/berth/kernel/cgroup"
)

// groupPath says where the cgroup of a container is. A path is relative to the
// hierarchies' roots, with or without a slash in front.
func groupPath(id, cgroupsPath string) (parent, name string, err error) {
	if cgroupsPath == "" {
		return "/", id, nil
	}
	p := path.Clean("/" + cgroupsPath)
	if p == "/" {
		return "", "", fmt.Errorf("linux.cgroupsPath %q names no group: %w", cgroupsPath, errdefs.ErrInvalidArgument)
	}
	return path.Dir(p), path.Base(p), nil
}

// systemdError refuses to have systemd make a cgroup.
func systemdError() error {
	if _, err := os.Stat("/run/systemd/system"); err != nil { // sd_booted(3)
		return fmt.Errorf("systemd not running on this host, cannot use systemd cgroups manager: %w", errdefs.ErrFailedPrecondition)
	}
	return fmt.Errorf("--systemd-cgroup: have the engine make cgroups itself (dockerd --exec-opt native.cgroupdriver=cgroupfs, podman --cgroup-manager=cgroupfs): %w", errdefs.ErrNotImplemented)
}

// group finds the container's cgroup; errdefs.NotFound if it is gone.
func (c *Container) group() (*cgroup.Group, error) {
	if c.CgroupName == "" {
		return nil, fmt.Errorf("container %s has no cgroup: %w", c.ID, errdefs.ErrNotFound)
	}
	return cgroup.Load(c.CgroupParent, c.CgroupName)
}

func (c *Container) paused() (bool, error) {
	g, err := c.group()
	if errdefs.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return g.Frozen()
}
