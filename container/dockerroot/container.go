package dockerroot

import (
	"os"
	"strings"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
)

// Container is a container with what it was made with.
type Container struct {
	ID         string
	Name       string // without a slash
	Image      string // Docker's ID of it
	Config     *container.Config
	HostConfig *container.HostConfig
	Networks   map[string]*network.EndpointSettings
	// Written is what it wrote; without a directory there is nothing. Where it is
	// Whole, it began as a copy of Began.
	Written Files
	Began   string
}

// Containers lists the containers that can be read; failed has the others.
func (r *Root) Containers() (list []Container, failed map[string]error, err error) {
	entries, err := os.ReadDir(r.in("containers"))
	if missing(err) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	failed = map[string]error{}
	for _, e := range entries {
		if !hexID.MatchString(e.Name()) {
			continue
		}
		c, err := r.container(e.Name())
		if err != nil {
			failed[e.Name()[:12]] = err
			continue
		}
		list = append(list, *c)
	}
	return list, failed, nil
}

func (r *Root) container(id string) (*Container, error) {
	var state struct {
		ID, Name, Image, Driver string
		Config                  *container.Config
		NetworkSettings         struct {
			Networks map[string]*struct{ Aliases []string }
		}
		MountPoints map[string]struct {
			Type, Name, Destination string
			RW                      bool
		}
	}
	if err := r.readJSON(&state, "containers", id, "config.v2.json"); err != nil {
		return nil, err
	}
	c := &Container{ID: id, Name: strings.TrimPrefix(state.Name, "/"), Image: state.Image, Config: state.Config, HostConfig: &container.HostConfig{}}
	if err := r.readJSON(c.HostConfig, "containers", id, "hostconfig.json"); err != nil {
		return nil, err
	}
	if c.Config == nil {
		c.Config = &container.Config{}
	}
	if c.Config.Hostname == id[:12] {
		c.Config.Hostname = "" // Docker chose it
	}
	// Volumes without a name of their own are only found by their mount points.
	for dst, m := range state.MountPoints {
		if m.Type != "volume" || m.Name == "" || mounted(c.HostConfig, dst) {
			continue
		}
		bind := m.Name + ":" + dst
		if !m.RW {
			bind += ":ro"
		}
		c.HostConfig.Binds = append(c.HostConfig.Binds, bind)
	}
	for name, n := range state.NetworkSettings.Networks {
		if c.Networks == nil {
			c.Networks = map[string]*network.EndpointSettings{}
		}
		c.Networks[name] = &network.EndpointSettings{}
		if n != nil {
			c.Networks[name].Aliases = n.Aliases
		}
	}
	if err := r.written(c, state.Driver); err != nil {
		return nil, err
	}
	return c, nil
}

// written finds what a container wrote.
func (r *Root) written(c *Container, store string) (err error) {
	d, known := driverOf(store)
	if !known {
		return r.containerd.written(c, store)
	}
	c.Written, err = r.kept(d, "mounts", c.ID, "mount-id")
	if missing(err) {
		return nil
	}
	if err != nil || !d.whole {
		return err
	}
	began, err := r.kept(d, "mounts", c.ID, "init-id")
	c.Began = began.Dir
	return err
}

// mounted tells whether the host configuration has a mount at a place.
func mounted(h *container.HostConfig, dst string) bool {
	for _, b := range h.Binds {
		if parts := strings.Split(b, ":"); len(parts) > 1 && parts[1] == dst {
			return true
		}
	}
	for _, m := range h.Mounts {
		if m.Target == dst {
			return true
		}
	}
	return false
}
