package config

import (
	"fmt"
	"strings"
)

// CgroupDriver says who makes the containers' control groups: "cgroupfs", the
// engine itself, or "systemd". The configuration is valid.
func (c *Config) CgroupDriver() string {
	driver := "cgroupfs"
	for _, o := range c.ExecOpts {
		if _, v, _ := strings.Cut(o, "="); v != "" {
			driver = v
		}
	}
	return driver
}

// Slice is the slice of containers that name none; empty unless systemd makes
// the groups.
func (c *Config) Slice() string {
	switch {
	case c.CgroupDriver() != "systemd":
		return ""
	case c.CgroupParent == "":
		return "system.slice"
	}
	return c.CgroupParent
}

func (c *Config) checkExecOpts() error {
	for _, o := range c.ExecOpts {
		name, value, ok := strings.Cut(o, "=")
		switch {
		case !ok || name == "":
			return fmt.Errorf("exec-opts: %q is not of the form NAME=VALUE", o)
		case name != "native.cgroupdriver":
			return fmt.Errorf("exec-opts: unknown option %s", name)
		case value != "cgroupfs" && value != "systemd":
			return fmt.Errorf("exec-opts: native.cgroupdriver is cgroupfs or systemd, not %q", value)
		}
	}
	// Where systemd makes groups, they are in slices, and nowhere else.
	if slice := strings.HasSuffix(c.CgroupParent, ".slice"); c.CgroupParent != "" && slice != (c.CgroupDriver() == "systemd") {
		return fmt.Errorf("cgroup-parent: %q does not go with native.cgroupdriver=%s: systemd's are slices (NAME.slice)", c.CgroupParent, c.CgroupDriver())
	}
	return nil
}
