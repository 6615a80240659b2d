package cgroup

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/cgroups"
	"github.com/opencontainers/cgroups/systemd"
)

// A Unit is a group that systemd makes: a transient scope in a slice. systemd
// keeps the group's limits as properties of the unit, and removes it when its
// last process has ended.
type Unit struct {
	Slice  string `json:"slice"`  // "system.slice"
	Prefix string `json:"prefix"` // "docker"
	Name   string `json:"name"`   // the scope is PREFIX-NAME.scope
}

// Systemd tells whether systemd is there to make groups.
func Systemd() bool { return systemd.IsRunningSystemd() }

// ParseUnit reads the form slice:prefix:name that cgroup paths have with
// systemd. Empty: id in system.slice.
func ParseUnit(text, id string) (*Unit, error) {
	if text == "" {
		return &Unit{Slice: "system.slice", Prefix: "berth", Name: id}, nil
	}
	parts := strings.Split(text, ":")
	if len(parts) != 3 || parts[2] == "" || strings.ContainsAny(text, "/\n\x00") {
		return nil, fmt.Errorf("expected cgroupsPath to be of format \"slice:prefix:name\" for systemd cgroups, got %q instead: %w", text, errdefs.ErrInvalidArgument)
	}
	u := &Unit{Slice: parts[0], Prefix: parts[1], Name: parts[2]}
	if u.Slice == "" {
		u.Slice = "system.slice"
	}
	return u, nil
}

// Place returns the group's parent and id, by which Load finds it.
func (u *Unit) Place() (parent, id string, err error) {
	parent, err = systemd.ExpandSlice(u.Slice)
	if err != nil {
		return "", "", fmt.Errorf("slice %q: %w: %w", u.Slice, err, errdefs.ErrInvalidArgument)
	}
	id = u.Name
	if !strings.HasSuffix(id, ".slice") {
		if u.Prefix != "" {
			id = u.Prefix + "-" + id
		}
		id += ".scope"
	}
	return path.Clean("/" + parent), id, nil
}

// CreateUnit is Create by systemd, with one process in the group from the
// start: a scope without processes does not last. Without systemd, the error
// is errdefs.FailedPrecondition.
func CreateUnit(u *Unit, r *Resources, pid int) (*Group, error) {
	g, m, c, err := u.manager(r)
	if err != nil {
		return nil, err
	}
	if len(c.Devices) == 0 {
		c.Devices = defaultDevices()
	}
	if err = m.Apply(pid); err == nil {
		err = m.Set(c)
	}
	if err == nil {
		err = g.weighDevices(c)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("cgroup %s by systemd: %w", g.name, err), m.Destroy())
	}
	g.unit = u
	return g, nil
}

// LoadUnit is Load for a group that systemd has made. Its limits are changed by
// systemd, too, and its removal stops the unit. A group that is gone is no error:
// systemd removes it as soon as nothing is in it.
func LoadUnit(u *Unit) (*Group, error) {
	parent, id, err := u.Place()
	if err != nil {
		return nil, err
	}
	g, err := newGroup(parent, id)
	if err != nil {
		return nil, err
	}
	g.unit = u
	return g, nil
}

// set has systemd change limits, which would otherwise set them back when it
// is reloaded.
func (u *Unit) set(c *cgroups.Resources) error {
	g, m, _, err := u.manager(nil)
	if err != nil {
		return err
	}
	if err := m.Set(c); err != nil {
		return fmt.Errorf("cgroup %s by systemd: %w", g.name, err)
	}
	return g.weighDevices(c)
}

// UpdateBy is g.Update, or, of a group that systemd made as u, UpdateUnit, for which
// g may be nil.
func UpdateBy(u *Unit, g *Group, r *Resources) error {
	if u != nil {
		return UpdateUnit(u, r)
	}
	return g.Update(r)
}

// UpdateUnit is Update by systemd, which would otherwise set the limits back
// when it is reloaded.
func UpdateUnit(u *Unit, r *Resources) error {
	g, m, c, err := u.manager(r)
	if err != nil {
		return err
	}
	if g.host.mode == V2 {
		completeV2(c, g.dirs[unified])
	}
	c.SkipDevices = len(c.Devices) == 0
	if err := m.Set(c); err != nil {
		return fmt.Errorf("cgroup %s by systemd: %w", g.name, err)
	}
	return g.weighDevices(c)
}

// DestroyUnit stops the unit and removes the group. One that is gone is no
// error.
func DestroyUnit(u *Unit) error {
	g, m, _, err := u.manager(nil)
	if err != nil {
		return err
	}
	return errors.Join(m.Destroy(), g.Destroy())
}

func (u *Unit) manager(r *Resources) (*Group, cgroups.Manager, *cgroups.Resources, error) {
	if !Systemd() {
		return nil, nil, nil, fmt.Errorf("systemd not running on this host, cannot use systemd cgroups manager: %w", errdefs.ErrFailedPrecondition)
	}
	parent, id, err := u.Place()
	if err != nil {
		return nil, nil, nil, err
	}
	g, err := newGroup(parent, id)
	if err != nil {
		return nil, nil, nil, err
	}
	c, err := g.resources(r)
	if err != nil {
		return nil, nil, nil, err
	}
	config := &cgroups.Cgroup{Parent: u.Slice, ScopePrefix: u.Prefix, Name: u.Name, Resources: c, Systemd: true}
	var m cgroups.Manager
	if g.host.mode == V2 {
		m, err = systemd.NewUnifiedManager(config, g.dirs[unified])
	} else {
		m, err = systemd.NewLegacyManager(config, nil)
	}
	if err != nil {
		return nil, nil, nil, fmt.Errorf("cgroup %s by systemd: %w", g.name, err)
	}
	return g, m, c, nil
}
