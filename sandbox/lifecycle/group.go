package lifecycle

import (
	"fmt"
	"path"
	"strings"

	"github.com/containerd/errdefs"

	"github.com/berth-engine/berth/kernel/cgroup"
)

// groupPath says where the cgroup of a container is. A path is relative to the
// hierarchies' roots, with or without a slash in front.
func groupPath(id, cgroupsPath string) (parent, name string, err error) {
	if strings.Contains(cgroupsPath, ":") {
		return "", "", fmt.Errorf("linux.cgroupsPath %q has systemd's form, and --systemd-cgroup is not given: %w", cgroupsPath, errdefs.ErrInvalidArgument)
	}
	if cgroupsPath == "" {
		return "/", id, nil
	}
	p := path.Clean("/" + cgroupsPath)
	if p == "/" {
		return "", "", fmt.Errorf("linux.cgroupsPath %q names no group: %w", cgroupsPath, errdefs.ErrInvalidArgument)
	}
	return path.Dir(p), path.Base(p), nil
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
