package volume

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/containerd/errdefs"
)

// ListAll is List with the volumes that drivers have beside those that were made
// here. A driver that does not answer is a warning.
func (s *Store) ListAll(ctx context.Context, f Filters) (list []Volume, warnings []string, err error) {
	if list, err = s.List(f); err != nil {
		return nil, nil, err
	}
	dangling, asked, err := f.boolean("dangling")
	if err != nil || asked && !dangling {
		return list, nil, err // nobody here uses what was not made here
	}
	for _, name := range s.Drivers() {
		if name == LocalDriver || !f.any("driver", name) {
			continue
		}
		more, err := s.listDriver(ctx, name)
		if err != nil {
			warnings = append(warnings, fmt.Sprintf("volumes of the driver %s: %v", name, err))
			continue
		}
		for _, v := range more {
			if _, err := s.Get(v.Name); errdefs.IsNotFound(err) && f.names(v.Name) && f.labels(nil) {
				list = append(list, v)
			}
		}
	}
	slices.SortStableFunc(list, func(a, b Volume) int { return strings.Compare(a.Name, b.Name) })
	return list, warnings, nil
}

func (s *Store) listDriver(ctx context.Context, name string) ([]Volume, error) {
	ctx, cancel := context.WithTimeout(ctx, describeTime)
	defer cancel()
	d, err := s.driver(ctx, name)
	if err != nil {
		return nil, err
	}
	told, err := d.list(ctx)
	if err != nil {
		return nil, err
	}
	scope := d.scope(ctx)
	var out []Volume
	for _, r := range told {
		out = append(out, r.volume(name, scope))
	}
	return out, nil
}

// volume is a driver's volume that was not made here.
func (r *remoteVolume) volume(driver, scope string) Volume {
	created, _ := time.Parse(time.RFC3339, r.CreatedAt) // not all drivers tell
	return Volume{Name: r.Name, Driver: driver, Scope: scope, Path: r.Mountpoint, CreatedAt: created, Status: r.Status}
}

// found asks the drivers for a volume that was not made here: the first that has
// it is meant, as in Docker. The error is NotFound if none has.
func (s *Store) found(ctx context.Context, name string) (Volume, error) {
	ctx, cancel := context.WithTimeout(ctx, describeTime)
	defer cancel()
	for _, driver := range s.Drivers() {
		if driver == LocalDriver {
			continue
		}
		d, err := s.driver(ctx, driver)
		if err != nil {
			continue // it is not there now
		}
		if told, err := d.get(ctx, name); err == nil {
			return told.volume(driver, d.scope(ctx)), nil
		}
	}
	return Volume{}, fail(errdefs.ErrNotFound, "get %s: no such volume", name)
}

// removeFound removes a volume that was not made here.
func (s *Store) removeFound(ctx context.Context, name string) error {
	v, err := s.found(ctx, name)
	if err != nil {
		return err
	}
	d, err := s.driver(ctx, v.Driver)
	if err != nil {
		return err
	}
	return d.remove(ctx, name)
}
