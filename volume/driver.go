package volume

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/containerd/errdefs"

	"github.com/berth-engine/berth/plugin"
)

// capability is what a plugin implements that is a volume driver.
const capability = "VolumeDriver"

// remote tells whether a volume is a plugin's.
func (v *Volume) remote() bool { return v.Driver != LocalDriver }

// driver speaks Docker's protocol of volume drivers
// (docs.docker.com/engine/extend/plugins_volume).
type driver struct{ p *plugin.Plugin }

// driver returns a plugin that is a volume driver, or an error in Docker's
// words.
func (s *Store) driver(ctx context.Context, name string) (driver, error) {
	if s.plugins == nil {
		return driver{}, fail(errdefs.ErrNotFound, "error looking up volume plugin %s: plugin %q not found", name, name)
	}
	p, err := s.plugins.Get(ctx, name, capability)
	if err != nil {
		return driver{}, fmt.Errorf("error looking up volume plugin %s: %w", name, err)
	}
	return driver{p}, nil
}

// remoteVolume is a volume as its driver tells.
type remoteVolume struct {
	Name       string
	Mountpoint string
	CreatedAt  string
	Status     map[string]any
}

func (d driver) call(ctx context.Context, verb string, args, ret any, failed *string) error {
	err := d.p.Call(ctx, capability+"."+verb, args, ret)
	if err != nil {
		return err
	}
	if *failed != "" {
		return fmt.Errorf("%s.%s: %s", capability, verb, *failed)
	}
	return nil
}

type named struct{ Name string }

type use struct{ Name, ID string }

func (d driver) create(ctx context.Context, name string, options map[string]string) error {
	var a struct{ Err string }
	return d.call(ctx, "Create", struct {
		Name string
		Opts map[string]string
	}{name, options}, &a, &a.Err)
}

func (d driver) remove(ctx context.Context, name string) error {
	var a struct{ Err string }
	return d.call(ctx, "Remove", named{name}, &a, &a.Err)
}

func (d driver) mount(ctx context.Context, name, id string) (string, error) {
	var a struct{ Mountpoint, Err string }
	if err := d.call(ctx, "Mount", use{name, id}, &a, &a.Err); err != nil {
		return "", err
	}
	if !filepath.IsAbs(a.Mountpoint) {
		return "", fmt.Errorf("%s.Mount: %q is no absolute path", capability, a.Mountpoint)
	}
	return a.Mountpoint, nil
}

func (d driver) unmount(ctx context.Context, name, id string) error {
	var a struct{ Err string }
	return d.call(ctx, "Unmount", use{name, id}, &a, &a.Err)
}

func (d driver) get(ctx context.Context, name string) (remoteVolume, error) {
	var a struct {
		Volume remoteVolume
		Err    string
	}
	err := d.call(ctx, "Get", named{name}, &a, &a.Err)
	if err == nil && a.Volume.Name != name {
		err = fail(errdefs.ErrNotFound, "get %s: no such volume", name)
	}
	return a.Volume, err
}

func (d driver) list(ctx context.Context) ([]remoteVolume, error) {
	var a struct {
		Volumes []remoteVolume
		Err     string
	}
	err := d.call(ctx, "List", nil, &a, &a.Err)
	return a.Volumes, err
}

// scope is "local" or "global"; drivers of before 1.12 do not tell.
func (d driver) scope(ctx context.Context) string {
	var a struct {
		Capabilities struct{ Scope string }
		Err          string
	}
	err := d.call(ctx, "Capabilities", nil, &a, &a.Err)
	var ce *plugin.CallError
	if err != nil && !errors.As(err, &ce) || a.Capabilities.Scope != "global" {
		return "local"
	}
	return "global"
}

// describeTime bounds what is asked only to be shown.
const describeTime = 10 * time.Second

// Describe is Get with what the volume's driver tells of it now, or its quota. A
// volume that only a driver knows is described by that alone.
func (s *Store) Describe(ctx context.Context, name string) (Volume, error) {
	v, err := s.Get(name)
	if errdefs.IsNotFound(err) {
		return s.found(ctx, name)
	}
	if err != nil {
		return v, err
	}
	if !v.remote() {
		v.Status = s.quotaStatus(&v)
		return v, nil
	}
	ctx, cancel := context.WithTimeout(ctx, describeTime)
	defer cancel()
	d, err := s.driver(ctx, v.Driver)
	if err != nil {
		return v, fmt.Errorf("get %s: %w", name, err)
	}
	told, err := d.get(ctx, name)
	if err != nil {
		return v, fmt.Errorf("get %s: %w", name, err)
	}
	v.Status = told.Status
	if told.Mountpoint != "" {
		v.Path = told.Mountpoint
	}
	return v, nil
}

// Drivers are the names of the volume drivers that there are.
func (s *Store) Drivers() []string {
	names := []string{LocalDriver}
	if s.plugins == nil {
		return names
	}
	for _, name := range s.plugins.Active(capability) {
		if name != LocalDriver {
			names = append(names, name)
		}
	}
	return names
}

// ofDriver refuses what the protocol of drivers has no call for.
func ofDriver(verb string, v *Volume) error {
	return fail(errdefs.ErrNotImplemented, "%s %s: not possible with a volume of the driver %q", verb, v.Name, v.Driver)
}
