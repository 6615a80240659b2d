package sandbox

import (
	"errors"
	"fmt"
	"path"

	"github.com/containerd/errdefs"

	"github.com/berth-engine/berth/kernel/cgroup"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// place says in i where b's cgroup is to be. own tells that it is where
// everybody would look for it.
func (r *Runtime) place(b *Bundle, i *instance) (own bool, err error) {
	p := b.Spec.Linux.CgroupsPath
	if r.o.Slice != "" {
		if b.Runtime != nil {
			return false, fmt.Errorf("another runtime than Berth's own in systemd's control groups: %w", errdefs.ErrNotImplemented)
		}
		if p == "" {
			p = r.o.Slice + ":berth:" + b.ID
		}
		if i.Unit, err = cgroup.ParseUnit(p, b.ID); err == nil {
			i.CgroupParent, i.CgroupName, err = i.Unit.Place()
		}
		return false, err
	}
	i.CgroupParent, i.CgroupName = r.o.CgroupParent, b.ID
	if p == "" {
		return true, nil
	}
	if !path.IsAbs(p) || path.Clean(p) != p || path.Dir(p) == "/" && path.Base(p) == "/" {
		return false, fmt.Errorf("cgroup path %q is not absolute and clean: %w", p, errdefs.ErrInvalidArgument)
	}
	i.CgroupParent, i.CgroupName = path.Dir(p), path.Base(p)
	return i.CgroupParent == r.o.CgroupParent && i.CgroupName == b.ID, nil
}

// makeGroup makes i's group. made is called when the container is in it.
func (r *Runtime) makeGroup(i *instance, limits *specs.LinuxResources, u *undo) (g *cgroup.Group, made func() error, err error) {
	made = func() error { return nil }
	if i.Unit == nil {
		g, err = cgroup.Create(i.CgroupParent, i.CgroupName, limits)
	} else {
		// A scope without processes does not last. Until the container has some,
		// one that does nothing keeps the place: a monitor that was started ahead.
		var keeper *process
		if keeper, err = r.monitor(); err != nil {
			return nil, nil, err
		}
		made = func() error { return keeper.end(false) }
		u.push(made)
		g, err = cgroup.CreateUnit(i.Unit, limits, keeper.pid)
	}
	if err != nil {
		return nil, nil, err
	}
	u.push(func() error { return errors.Join(g.Kill(), g.Destroy()) })
	return g, made, nil
}

// group finds the group.
func (i *instance) group() (*cgroup.Group, error) {
	if i.Unit != nil {
		return cgroup.LoadUnit(i.Unit)
	}
	return cgroup.Load(i.CgroupParent, i.CgroupName)
}
