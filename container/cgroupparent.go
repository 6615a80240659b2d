package container

import (
	"path"
	"strings"

	"github.com/moby/moby/api/types/container"
)

// checkCgroupParent: systemd's groups are in slices, and the engine's own are
// not.
func (s *Service) checkCgroupParent(h *container.HostConfig) error {
	slice := strings.HasSuffix(h.CgroupParent, ".slice") && !strings.Contains(h.CgroupParent, "/")
	switch {
	case h.CgroupParent == "":
		return nil
	case s.defaults.Slices && !slice:
		return invalid("cgroup-parent for systemd cgroup should be a valid slice named as \"xxx.slice\"")
	case !s.defaults.Slices && slice:
		return invalid("cgroup-parent %q is a slice of systemd's, which needs a daemon with --exec-opt native.cgroupdriver=systemd", h.CgroupParent)
	}
	return nil
}

// cgroupsPath is where the record's group is asked to be; "": as usual.
func (s *Service) cgroupsPath(r *Record) string {
	parent := r.HostConfig.CgroupParent
	if s.defaults.Slices {
		if parent == "" {
			return ""
		}
		return parent + ":berth:" + r.ID
	}
	if parent == "" {
		parent = s.defaults.CgroupParent
	}
	if parent == "" {
		return ""
	}
	return path.Join("/", parent, r.ID)
}
