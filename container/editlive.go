package container

import (
	"context"
	"errors"
	"os"
	"reflect"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	mounttypes "github.com/moby/moby/api/types/mount"

	"github.com/berth-engine/berth/api"
	"github.com/berth-engine/berth/container/spec"
	"github.com/berth-engine/berth/fault"
	"github.com/berth-engine/berth/kernel/mount"
)

// liveMounts tells whether mounts of what runs can be changed: not in a user
// namespace of its own, which cannot be given mounts of ours.
func (s *Service) liveMounts(e *entry) bool {
	if e.live == nil {
		return false
	}
	_, err := e.live.box.Mounted(context.Background(), "/")
	return !errdefs.IsNotImplemented(err)
}

// editLive makes next the settings of a container that runs. The record says on
// disk that it is being done before the kernel has any of it. The caller holds
// the lock.
func (s *Service) editLive(ctx context.Context, e *entry, next settings, q *api.ContainerUpdateRequest) error {
	before := *e.record()
	gone, added := differ(before.Mounts, next.Mounts)
	ports := !reflect.DeepEqual(before.HostConfig.PortBindings, next.HostConfig.PortBindings)
	limits := spec.Limits(next.HostConfig, &q.Resources)
	if len(gone)+len(added) > 0 || ports || limits != nil {
		noted := before
		noted.Edit = &Edit{Phase: EditLive, settings: next}
		if err := s.save(e, &noted); err != nil {
			return err
		}
	}
	var u undo
	r := before
	r.use(next)
	err := fault.Point("container.edit.noted")
	if err == nil {
		err = s.applyLimits(ctx, e, &r, &q.Resources, &u)
	}
	if err == nil && ports {
		err = s.republish(ctx, e, &r, &u)
	}
	if err == nil {
		err = s.swapMounts(ctx, e, &r, gone, added, &u)
	}
	if err == nil {
		err = fault.Point("container.edit.applied")
	}
	if err == nil {
		err = s.save(e, &r)
	}
	if err != nil {
		u.run(ctx)
		return errors.Join(err, s.dropEdit(e))
	}
	for i := range gone {
		if m := &gone[i]; m.Type == mounttypes.TypeVolume {
			s.unmountVolume(&r, m, e.id)
		}
	}
	s.holdOthers(e)
	s.followRun(ctx, e, &before, &r)
	return nil
}

// dropEdit takes the note of a change off the record.
func (s *Service) dropEdit(e *entry) error {
	if e.record().Edit == nil {
		return nil
	}
	r := *e.record()
	r.Edit = nil
	return s.save(e, &r)
}

// applyLimits changes the limits of what runs.
func (s *Service) applyLimits(ctx context.Context, e *entry, r *Record, asked *container.Resources, u *undo) error {
	limits := spec.Limits(r.HostConfig, asked)
	if limits == nil {
		return nil
	}
	back, err := e.live.box.Update(ctx, limits)
	if errdefs.IsFailedPrecondition(err) {
		return nil // it has just ended
	}
	if err == nil {
		u.push(func(context.Context) { s.report(e.id, back()) })
	}
	return err
}

// republish changes the published ports of what runs, and says in r what they
// are.
func (s *Service) republish(ctx context.Context, e *entry, r *Record, u *undo) error {
	if r.Network == nil {
		return nil
	}
	specs, err := portSpecs(r.Config, r.HostConfig)
	if err != nil {
		return err
	}
	old := e.record()
	was, err := portSpecs(old.Config, old.HostConfig)
	if err != nil {
		return err
	}
	ns, err := e.netNamespace()
	if err != nil {
		return err
	}
	defer ns.Close()
	result, err := s.networks.Republish(ctx, e.id, ns, specs)
	if err != nil {
		return networkError(err)
	}
	r.Network = &result
	u.push(func(ctx context.Context) {
		ns, err := e.netNamespace()
		if err == nil {
			_, err = s.networks.Republish(ctx, e.id, ns, was)
			err = errors.Join(err, ns.Close())
		}
		s.report(e.id, err)
	})
	return nil
}

// swapMounts takes mounts off what runs and adds others. Those that leave are taken last
// where the place is not needed: what is in a tmpfs does not come back.
func (s *Service) swapMounts(ctx context.Context, e *entry, r *Record, gone, added []Mount, u *undo) error {
	replaced := func(m *Mount) bool {
		for i := range added {
			if added[i].Destination == m.Destination {
				return true
			}
		}
		return false
	}
	for _, first := range []bool{true, false} {
		for i := range gone {
			if m := &gone[i]; replaced(m) == first {
				if err := s.takeOff(ctx, e, m, u); err != nil {
					return err
				}
			}
		}
		if first {
			if err := s.putOn(ctx, e, r, added, u); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Service) takeOff(ctx context.Context, e *entry, m *Mount, u *undo) error {
	err := e.live.box.Unmount(ctx, m.Destination)
	if errdefs.IsNotFound(err) {
		return nil // the container has taken it off itself
	}
	if err == nil {
		old := e.record()
		u.push(func(ctx context.Context) {
			var again undo
			if err := s.putOn(ctx, e, old, []Mount{*m}, &again); err != nil {
				again.run(ctx)
				s.report(e.id, err)
			}
		})
	}
	return err
}

// putOn mounts more in what runs.
func (s *Service) putOn(ctx context.Context, e *entry, r *Record, added []Mount, u *undo) error {
	if len(added) == 0 {
		return nil
	}
	ns, err := e.live.box.Namespace("mnt")
	if err != nil {
		return err
	}
	view, err := mount.OpenView(ns)
	if err != nil {
		return err
	}
	defer view.Close()
	part := *r
	part.Mounts = added
	mounts, err := s.hostMounts(ctx, view.Root, &part, e.id, u)
	if err != nil {
		return err
	}
	defer mounts.close()
	if len(mounts.sources) > 0 {
		return notImplemented("mounting an image or a part of a volume in a container that runs")
	}
	for i := range mounts.specs {
		m := &mounts.specs[i]
		err := e.live.box.Mount(ctx, m)
		if mount.ReadOnly(err) {
			err = conflict("%s does not exist in the container, whose root file system is read-only: %w", m.Destination, err)
		} else if errors.Is(err, os.ErrNotExist) {
			err = invalid("%w", err)
		}
		if err != nil {
			return err
		}
		u.push(func(ctx context.Context) { s.report(e.id, e.live.box.Unmount(ctx, m.Destination)) })
	}
	return nil
}

// followRun tells those who watch the run of its new settings. Nothing of it
// can fail the update: the record has them.
func (s *Service) followRun(ctx context.Context, e *entry, before, r *Record) {
	if shownJSON(before.Config.Healthcheck) != shownJSON(r.Config.Healthcheck) {
		e.pauseHealth()
		s.watchHealth(e)
		if r.State == Paused {
			e.pauseHealth()
		}
	}
	s.limitLog(ctx, e, before)
}

// limitLog has the monitor bound the log as the record says.
func (s *Service) limitLog(ctx context.Context, e *entry, before *Record) {
	r := e.record()
	size, files, err := logLimits(&r.HostConfig.LogConfig)
	oldSize, oldFiles, oldErr := logLimits(&before.HostConfig.LogConfig)
	if err != nil || e.live == nil || oldErr == nil && size == oldSize && files == oldFiles {
		return
	}
	if err := e.live.box.LimitLog(ctx, size, files); err != nil {
		s.log.Warn("the log's new limits hold from the next start on", "container", e.id, "err", err)
	}
}

// takeBack undoes what an earlier daemon may have done to a run before it was
// killed: the record has the old settings, and so shall the kernel. Ports are
// put right by those who adopt the network. The caller holds the lock.
func (s *Service) takeBack(ctx context.Context, e *entry) error {
	r := e.record()
	gone, added := differ(r.Mounts, r.Edit.Mounts)
	var errs []error
	box := e.live.box
	for i := range added {
		if err := box.Unmount(ctx, added[i].Destination); err != nil && !errdefs.IsNotFound(err) {
			errs = append(errs, err)
		}
	}
	for i := range gone {
		m := &gone[i]
		mounted, err := box.Mounted(ctx, m.Destination)
		if err == nil && !mounted {
			var u undo
			if err = s.putOn(ctx, e, r, []Mount{*m}, &u); err != nil {
				u.run(ctx)
			}
		}
		errs = append(errs, err)
	}
	if limits := spec.Limits(r.HostConfig, differentLimits(r.HostConfig, r.Edit.HostConfig)); limits != nil {
		_, err := box.Update(ctx, limits)
		errs = append(errs, err)
	}
	return errors.Join(append(errs, s.dropEdit(e))...)
}

// differentLimits is a request about those limits that differ.
func differentLimits(a, b *container.HostConfig) *container.Resources {
	asked := &container.Resources{}
	x, y, out := reflect.ValueOf(a.Resources), reflect.ValueOf(b.Resources), reflect.ValueOf(asked).Elem()
	for i := range x.NumField() {
		if reflect.DeepEqual(x.Field(i).Interface(), y.Field(i).Interface()) {
			continue
		}
		if out.Field(i).Set(x.Field(i)); x.Field(i).IsZero() {
			out.Field(i).Set(y.Field(i)) // that it is asked about is what counts
		}
	}
	return asked
}
