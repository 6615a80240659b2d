package container

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/events"
	mounttypes "github.com/moby/moby/api/types/mount"

	"github.com/berth-engine/berth/volume"
)

// takeVolumes makes the volumes of a container that do not exist yet, names
// the anonymous ones, and marks all as used.
func (s *Service) takeVolumes(ctx context.Context, e *entry, r *Record, u *undo) error {
	for i := range r.Mounts {
		m := &r.Mounts[i]
		if m.Type != mounttypes.TypeVolume {
			continue
		}
		v, err := s.volumes.Resolve(m.VolumeID, m.Name)
		if m.Name == "" || errdefs.IsNotFound(err) {
			if v, err = s.volumes.Create(ctx, volumeRequest(r, m)); err == nil {
				u.push(func(ctx context.Context) { s.report(r.ID, s.volumes.Remove(ctx, v.Name)) })
			}
		}
		if err != nil {
			return err
		}
		m.VolumeID, m.Name = v.ID, v.Name
		release, err := s.volumes.Use(v.ID, v.Name, r.ID)
		if err != nil {
			return err
		}
		e.held = append(e.held, release)
		u.push(func(context.Context) { release() })
	}
	return nil
}

// volumeRequest is the volume that a mount asks for if there is none of its
// name, with the labels and options of --mount.
func volumeRequest(r *Record, m *Mount) volume.CreateOptions {
	o := volume.CreateOptions{Name: m.Name, Driver: r.HostConfig.VolumeDriver}
	for _, a := range r.HostConfig.Mounts {
		// Not by the name, which anonymous ones have not yet.
		if a.Type != mounttypes.TypeVolume || path.Clean(a.Target) != m.Destination || a.VolumeOptions == nil {
			continue
		}
		o.Labels = a.VolumeOptions.Labels
		if d := a.VolumeOptions.DriverConfig; d != nil {
			o.Options = d.Options
			if d.Name != "" {
				o.Driver = d.Name
			}
		}
		break
	}
	return o
}

// holdVolumes tells the volume store of the container's use, after a restart.
// The record follows volumes that were renamed.
func (s *Service) holdVolumes(e *entry) error {
	next := *e.record()
	next.Mounts = slices.Clone(next.Mounts)
	changed := false
	for i := range next.Mounts {
		m := &next.Mounts[i]
		if m.Type != mounttypes.TypeVolume {
			continue
		}
		v, err := s.volumes.Resolve(m.VolumeID, m.Name)
		if err == nil {
			var release func()
			if release, err = s.volumes.Use(v.ID, v.Name, next.ID); err == nil {
				e.held = append(e.held, release)
			}
		}
		if err != nil {
			s.log.Warn("a volume of a container is gone", "container", next.ID, "volume", m.Name, "err", err)
			continue
		}
		changed = changed || m.VolumeID != v.ID || m.Name != v.Name
		m.VolumeID, m.Name = v.ID, v.Name
	}
	if !changed {
		return nil
	}
	return s.save(e, &next)
}

// fillOthers fills the volumes of containers that were never started, whose
// volumes another container is about to use: containers that only hold data
// never are.
func (s *Service) fillOthers(ctx context.Context, list []string) error {
	for _, raw := range list {
		name, _, _ := strings.Cut(raw, ":")
		e, err := s.find(name)
		if err != nil || e.record().Run > 0 {
			continue // it had its chance
		}
		e, use, _, err := s.openFiles(ctx, e.id) // which fills them
		if err != nil {
			return fmt.Errorf("volumes-from: %w", err)
		}
		e.copies.end(use)
	}
	return nil
}

// useVolumes tells the volume store that a run which was adopted uses its
// volumes.
func (s *Service) useVolumes(ctx context.Context, r *Record) {
	for i := range r.Mounts {
		m := &r.Mounts[i]
		if m.Type != mounttypes.TypeVolume {
			continue
		}
		if _, err := s.volumes.Mount(ctx, m.VolumeID, m.Name, r.ID); err != nil {
			s.log.Warn("cannot use a volume", "container", r.ID, "volume", m.Name, "err", err)
		}
	}
}

// mountVolume makes a volume usable for user, a container or who copies its
// files.
func (s *Service) mountVolume(ctx context.Context, r *Record, m *Mount, user string, u *undo) (volume.Volume, error) {
	v, err := s.volumes.Mount(ctx, m.VolumeID, m.Name, user)
	if err != nil {
		return v, err
	}
	u.push(func(context.Context) { s.unmountVolume(r, m, user) })
	if user == r.ID {
		s.volumes.Publish(v, events.ActionMount, "container", r.ID, "destination", m.Destination,
			"read/write", strconv.FormatBool(!m.ReadOnly), "propagation", string(m.Propagation))
	}
	return v, nil
}

func (s *Service) unmountVolume(r *Record, m *Mount, user string) {
	v, err := s.volumes.Unmount(m.VolumeID, m.Name, user)
	if errdefs.IsNotFound(err) {
		return
	}
	s.report(r.ID, err)
	if user == r.ID {
		s.volumes.Publish(v, events.ActionUnmount, "container", r.ID)
	}
}

// unmountVolumes ends a run's use of its volumes.
func (s *Service) unmountVolumes(r *Record) {
	for i := range r.Mounts {
		if m := &r.Mounts[i]; m.Type == mounttypes.TypeVolume {
			s.unmountVolume(r, m, r.ID)
		}
	}
}

// removeVolumes removes the anonymous volumes that nobody else uses.
func (s *Service) removeVolumes(ctx context.Context, r *Record) {
	for _, v := range s.ownVolumes(r) {
		err := s.volumes.Remove(ctx, v.Name)
		if err != nil && !errdefs.IsConflict(err) && !errdefs.IsNotFound(err) {
			s.log.Warn("cannot remove a volume", "container", r.ID, "volume", v.Name, "err", err)
		}
	}
}

// ownVolumes are the volumes that were made for a container and that nobody has
// given a name since.
func (s *Service) ownVolumes(r *Record) []volume.Volume {
	var list []volume.Volume
	for _, m := range r.Mounts {
		if m.Type != mounttypes.TypeVolume || !m.Anonymous {
			continue
		}
		if v, err := s.volumes.Resolve(m.VolumeID, m.Name); err == nil && v.Anonymous {
			list = append(list, v)
		}
	}
	return list
}

// RenameVolume renames a volume, also while containers run with it, and the
// records of those that refer to it. A record that cannot be changed now is
// when the daemon starts next; the container finds the volume by its ID anyway.
func (s *Service) RenameVolume(ctx context.Context, name, newName string) (volume.Volume, error) {
	v, err := s.volumes.Rename(name, newName)
	if err != nil {
		return v, err
	}
	ctx = context.WithoutCancel(ctx)
	var errs []error
	for _, e := range s.index.all() {
		errs = append(errs, s.followVolume(ctx, e, &v))
	}
	if err := errors.Join(errs...); err != nil {
		s.log.Warn("not all containers know the new name of a volume", "volume", newName, "err", err)
	}
	return v, nil
}

func (s *Service) followVolume(ctx context.Context, e *entry, v *volume.Volume) error {
	refers := func(m Mount) bool { return m.Type == mounttypes.TypeVolume && m.VolumeID == v.ID && m.Name != v.Name }
	if !slices.ContainsFunc(e.record().Mounts, refers) {
		return nil
	}
	if err := e.acquire(ctx); err != nil {
		return err
	}
	defer e.release()
	if e.gone {
		return nil
	}
	next := *e.record()
	next.Mounts = slices.Clone(next.Mounts)
	for i := range next.Mounts {
		if refers(next.Mounts[i]) {
			next.Mounts[i].Name = v.Name
		}
	}
	return s.save(e, &next)
}

// volumesFrom are the volumes and binds of other containers, as a request lists
// them: CONTAINER or CONTAINER:MODE.
func (s *Service) volumesFrom(list []string) ([]Mount, error) {
	var out []Mount
	for _, raw := range list {
		name, mode, _ := strings.Cut(raw, ":")
		if name == "" {
			return nil, invalid("invalid volumes-from specification: %q", raw)
		}
		if mode != "" && mode != "rw" && mode != "ro" && mode != "z" && mode != "Z" {
			return nil, invalid("invalid mode: %s", mode)
		}
		// Not "not found": clients take that for the image.
		e, err := s.find(name)
		if err != nil {
			return nil, invalid("volumes-from: %w", err)
		}
		for _, m := range e.record().Mounts {
			if m.Type != mounttypes.TypeVolume && m.Type != mounttypes.TypeBind {
				continue
			}
			m.ReadOnly = m.ReadOnly || mode == "ro"
			m.NoCopy = true
			out = slices.DeleteFunc(out, func(o Mount) bool { return o.Destination == m.Destination })
			out = append(out, m)
		}
	}
	return out, nil
}
