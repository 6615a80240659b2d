package volume

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/events"

	"github.com/berth-engine/berth/fault"
	"github.com/berth-engine/berth/kernel/file"
)

// CreateOptions describes a volume to make.
type CreateOptions struct {
	Name    string // "": an anonymous volume with a random name
	Driver  string // "": local; else the name of a plugin
	Labels  map[string]string
	Options map[string]string // of the driver; of the local one, see checkOptions
}

// Create makes a volume, or returns the one that has this name already, here or,
// if no driver is named, with one.
func (s *Store) Create(ctx context.Context, o CreateOptions) (Volume, error) {
	if o.Driver == "" && o.Name != "" {
		if _, err := s.Get(o.Name); errdefs.IsNotFound(err) {
			if there, err := s.found(ctx, o.Name); err == nil {
				o.Driver = there.Driver
			}
		}
	}
	v, err := o.volume()
	if err != nil {
		return Volume{}, err
	}
	if old, err := s.Get(v.Name); err == nil || !errdefs.IsNotFound(err) {
		if err == nil && o.Driver != "" && o.Driver != old.Driver {
			return old, fail(errdefs.ErrConflict, "create %s: conflict: volume name must be unique: a volume of the driver %q has this name", v.Name, old.Driver)
		}
		return old, err
	}
	undo := func() {}
	if v.remote() {
		if undo, err = s.createRemote(ctx, v); err != nil {
			return Volume{}, err
		}
	}
	made, err := s.make(ctx, v, nil)
	if err != nil && !errdefs.IsConflict(err) {
		undo()
	}
	if errdefs.IsConflict(err) {
		return s.Get(v.Name) // somebody was quicker
	}
	return made, err
}

// Fill makes a new volume with what fill puts into its directory. The volume
// is there when all of it is; a name that is taken is a conflict.
func (s *Store) Fill(ctx context.Context, o CreateOptions, fill func(dir *os.File) error) (Volume, error) {
	v, err := o.volume()
	if err != nil {
		return Volume{}, err
	}
	if v.hasDevice() || v.remote() {
		return Volume{}, fail(errdefs.ErrInvalidArgument, "create %s: a volume with a device is filled by its device", v.Name)
	}
	if _, err := s.Get(v.Name); err == nil {
		return Volume{}, taken(v.Name)
	}
	return s.make(ctx, v, fill)
}

func taken(name string) error {
	return fail(errdefs.ErrConflict, "A volume named %s already exists", name)
}

// volume checks what is asked for.
func (o *CreateOptions) volume() (*Volume, error) {
	if o.Driver == "" {
		o.Driver = LocalDriver
	}
	if o.Driver == LocalDriver {
		if err := checkOptions(o.Options); err != nil {
			return nil, fmt.Errorf("create %s: %w", o.Name, err)
		}
	}
	v := &Volume{
		Version: recordVersion, ID: newID(), Name: o.Name, Driver: o.Driver, Labels: maps.Clone(o.Labels), Options: maps.Clone(o.Options),
		CreatedAt: time.Now().UTC(),
	}
	if v.Name == "" {
		v.Name, v.Anonymous = newID(), true
		if v.Labels == nil {
			v.Labels = map[string]string{}
		}
		v.Labels[AnonymousLabel] = ""
	}
	if err := CheckName(v.Name); err != nil {
		return nil, fmt.Errorf("create %s: %w", v.Name, err)
	}
	return v, nil
}

// make makes a volume under a hidden name and renames it into place.
func (s *Store) make(ctx context.Context, v *Volume, fill func(dir *os.File) error) (_ Volume, err error) {
	hidden, err := os.MkdirTemp(s.root, halfMade)
	if err != nil {
		return Volume{}, fmt.Errorf("create volume %s: %w", v.Name, err)
	}
	unlimit := func() {}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.discard(filepath.Base(hidden)))
			unlimit()
		}
	}()
	fail := func(err error) (Volume, error) { return Volume{}, fmt.Errorf("create volume %s: %w", v.Name, err) }
	data := filepath.Join(hidden, dataDir)
	if err := os.Chmod(hidden, 0o701); err != nil {
		return fail(err)
	}
	if !v.remote() {
		if err := errors.Join(os.Mkdir(data, 0o755), os.Chmod(data, 0o755)); err != nil {
			return fail(err)
		}
	}
	if err := s.limitNew(v, data); err != nil {
		return fail(err)
	}
	unlimit = func() { s.dropLimit(v) }
	if fill != nil {
		if err := fillDir(data, fill); err != nil {
			return fail(err)
		}
	}
	if err := v.save(hidden); err != nil {
		return fail(err)
	}
	if err := fault.Point("volume.create.rename"); err != nil {
		return fail(err)
	}
	if ctx.Err() != nil {
		return fail(context.Cause(ctx))
	}
	if !v.remote() {
		v.Path = filepath.Join(s.dir(v.Name), dataDir)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.claim(filepath.Base(hidden), v.Name); err != nil {
		if errors.Is(err, os.ErrExist) {
			return Volume{}, taken(v.Name)
		}
		return fail(err)
	}
	s.add(v)
	s.Publish(*v, events.ActionCreate)
	return *v, nil
}

func fillDir(path string, fill func(dir *os.File) error) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	defer dir.Close()
	return fill(dir)
}

// claim renames a directory of the store to a name that is free.
func (s *Store) claim(from, to string) error {
	return s.inRoot(func(root *os.File) error { return file.Claim(root, from, to) })
}

// discard deletes a directory of the store with a hidden name. It never enters
// what is mounted there.
func (s *Store) discard(name string) error {
	return s.inRoot(func(root *os.File) error { return file.Remove(root, name) })
}

func (s *Store) inRoot(fn func(root *os.File) error) error {
	root, err := os.Open(s.root)
	if err != nil {
		return err
	}
	defer root.Close()
	return fn(root)
}

// createRemote has the driver make a volume, unless it has one of that name: then
// that is meant, as in Docker.
func (s *Store) createRemote(ctx context.Context, v *Volume) (undo func(), err error) {
	d, err := s.driver(ctx, v.Driver)
	if err != nil {
		return nil, fmt.Errorf("create %s: %w", v.Name, err)
	}
	v.Scope = d.scope(ctx)
	if old, err := d.get(ctx, v.Name); err == nil {
		v.Path = old.Mountpoint
		return func() {}, nil
	}
	if err := d.create(ctx, v.Name, v.Options); err != nil {
		return nil, fmt.Errorf("create %s: %w", v.Name, err)
	}
	return func() {
		if err := d.remove(context.WithoutCancel(ctx), v.Name); err != nil {
			s.log.Warn("cannot take back a volume of a driver", "volume", v.Name, "driver", v.Driver, "err", err)
		}
	}, nil
}
