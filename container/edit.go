package container

import (
	"context"
	"fmt"
	"slices"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"

	"github.com/berth-engine/berth/api"
	"github.com/berth-engine/berth/fault"
)

// Edit is a change of a record that is under way. It is on disk as long as the
// kernel may have some of it and the record not all, or the other way round: a
// daemon that finds one goes back or goes on, as Phase says, so that a container
// has either its old settings or its new ones.
type Edit struct {
	Phase EditPhase
	settings
}

// EditPhase says how far a change is.
type EditPhase string

const (
	// EditLive says that the settings here are being made those of the run. The next
	// daemon takes them back.
	EditLive EditPhase = "live"
	// EditStop says that the run is being ended for the settings here. The next daemon
	// goes on; they become the record's at the end of the run.
	EditStop EditPhase = "stop"
	// EditStart says that the record has the new settings, and the ones here are what it
	// had before. They come back if it cannot be started with the new.
	EditStart EditPhase = "start"
	// EditBack says that it could not. The record's are the old ones again, and it is to
	// be started with them.
	EditBack EditPhase = "back"
)

// settings are what an update changes of a record.
type settings struct {
	Config        *container.Config     `json:",omitempty"`
	RequestLabels map[string]string     `json:",omitempty"`
	HostConfig    *container.HostConfig `json:",omitempty"`
	Mounts        []Mount               `json:",omitempty"`
}

func (r *Record) settings() settings {
	return settings{Config: r.Config, RequestLabels: r.RequestLabels, HostConfig: r.HostConfig, Mounts: r.Mounts}
}

func (r *Record) use(s settings) {
	r.Config, r.RequestLabels, r.HostConfig, r.Mounts = s.Config, s.RequestLabels, s.HostConfig, s.Mounts
}

// Edit changes what Update does, and more of a container: all of the request or
// nothing. What the kernel can change in a run is changed there; for the rest,
// a container that runs is run anew with its ID, name, addresses, volumes, files
// and logs. If it cannot be run with the changes, it runs as it was before. dry
// tells what would be, and changes nothing.
func (s *Service) Edit(ctx context.Context, ref string, q *api.ContainerUpdateRequest, dry bool) (api.ContainerUpdateResponse, error) {
	resp := api.ContainerUpdateResponse{}
	warnings, err := s.checkUpdate(&q.UpdateConfig)
	resp.Warnings = warnings
	if err != nil {
		return resp, err
	}
	e, err := s.findLocked(ctx, ref)
	if err != nil {
		return resp, err
	}
	unlock := e.release
	defer func() { unlock() }()
	r := e.record()
	refused := func(err error) (api.ContainerUpdateResponse, error) {
		return resp, fmt.Errorf("Cannot update container %s: %w", e.id, err)
	}
	if err := editable(r); err != nil {
		return refused(err)
	}
	next, err := edited(r, q)
	if err != nil {
		return refused(err)
	}
	resp.Changes = changes(r, next, s.liveMounts(e))
	resp.Recreated = slices.ContainsFunc(resp.Changes, func(c api.ContainerChange) bool { return c.Effect == api.EffectRecreate })
	switch {
	case resp.Recreated && r.State == Paused:
		return refused(conflict("what is to be changed needs a new run, and the container is paused: unpause it first"))
	case resp.Recreated && r.State == Stopping:
		return refused(conflict("the container is being stopped"))
	}
	if dry || len(resp.Changes) == 0 {
		return resp, nil
	}
	ctx = context.WithoutCancel(ctx)
	var u undo
	if err := s.takeAdded(ctx, e, r, &next, &u); err != nil {
		u.run(ctx)
		return refused(err)
	}
	switch {
	case e.live == nil:
		err = s.saveEdit(e, next)
	case !resp.Recreated:
		err = s.editLive(ctx, e, next, q)
	default:
		unlock = func() {} // it gives the lock back
		err = s.recreate(ctx, e, next)
	}
	if err != nil {
		u.run(ctx)
		return refused(err)
	}
	s.announce(e.record(), events.ActionUpdate)
	return resp, nil
}

// editable refuses what cannot be changed now.
func editable(r *Record) error {
	switch {
	case r.State == Removing || r.State == Dead:
		return conflict("container is marked for removal and cannot be \"update\"")
	case r.Edit != nil:
		return conflict("another update of the container is under way")
	}
	return nil
}

// saveEdit changes the settings of a container that does not run, or of one
// that runs where nothing but the record has to know.
func (s *Service) saveEdit(e *entry, next settings) error {
	r := *e.record()
	r.use(next)
	if err := fault.Point("container.edit.save"); err != nil {
		return err
	}
	if err := s.save(e, &r); err != nil {
		return err
	}
	s.holdOthers(e)
	return nil
}

// takeAdded makes the volumes of mounts that are added, and finds the images. On an error, u takes
// back those that are new.
func (s *Service) takeAdded(ctx context.Context, e *entry, r *Record, next *settings, u *undo) error {
	added := *r
	added.use(*next)
	added.Mounts = slices.DeleteFunc(slices.Clone(next.Mounts), func(m Mount) bool { return slices.Contains(r.mountKeys(), m.key()) })
	if err := s.resolveImages(ctx, added.Mounts); err != nil {
		return err
	}
	if err := s.takeVolumes(ctx, e, &added, u); err != nil {
		return err
	}
	next.Mounts = slices.Clone(next.Mounts)
	for _, m := range added.Mounts {
		at := slices.IndexFunc(next.Mounts, func(o Mount) bool { return o.Destination == m.Destination })
		next.Mounts[at] = m
	}
	return nil
}

// holdOthers makes what the container holds, its image and volumes, that of
// its record.
func (s *Service) holdOthers(e *entry) {
	before := e.held
	e.held = nil
	s.holdAgain(context.Background(), e)
	for _, release := range before {
		release()
	}
}

// key is what makes a mount the same.
func (m *Mount) key() string {
	c := *m
	c.Name = c.VolumeID // a volume may be renamed
	if c.VolumeID == "" {
		c.Name = m.Name
	}
	return fmt.Sprintf("%+v", c)
}

func (r *Record) mountKeys() []string {
	out := make([]string, len(r.Mounts))
	for i := range r.Mounts {
		out[i] = r.Mounts[i].key()
	}
	return out
}
