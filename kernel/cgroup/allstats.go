package cgroup

import (
	"fmt"
	"maps"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/cgroups"
	"github.com/opencontainers/cgroups/fs"
	"github.com/opencontainers/cgroups/fs2"
)

// AllStats returns every counter that the kernel has of a group, for whoever
// must print what runc does. For what a person or a program looks at all the
// time, Stats is much cheaper. The error is errdefs.NotFound when the group is
// gone.
func (g *Group) AllStats() (*cgroups.Stats, error) {
	config := &cgroups.Cgroup{Path: g.name, Resources: &cgroups.Resources{}}
	var m interface {
		GetStats() (*cgroups.Stats, error)
	}
	var err error
	if g.host.mode == V2 {
		m, err = fs2.NewManager(config, g.dirs[unified])
	} else {
		m, err = fs.NewManager(config, maps.Clone(g.dirs))
	}
	var s *cgroups.Stats
	if err == nil {
		s, err = m.GetStats()
	}
	if gone(err) {
		return nil, fmt.Errorf("statistics of cgroup %s: %w", g.name, errdefs.ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("statistics of cgroup %s: %w", g.name, err)
	}
	return s, nil
}
