package server

import (
	"context"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	volumetypes "github.com/moby/moby/api/types/volume"

	"github.com/berth-engine/berth/server/compat"
	"github.com/berth-engine/berth/volume"
)

// Volumes is what the server asks of the volumes; *volume.Store is the
// engine's.
type Volumes interface {
	Create(ctx context.Context, o volume.CreateOptions) (volume.Volume, error)
	Fill(ctx context.Context, o volume.CreateOptions, fill func(dir *os.File) error) (volume.Volume, error)
	Get(name string) (volume.Volume, error)
	ListAll(ctx context.Context, f volume.Filters) (list []volume.Volume, warnings []string, err error)
	Remove(ctx context.Context, name string) error
	ForceRemove(ctx context.Context, name string) error
	Describe(ctx context.Context, name string) (volume.Volume, error)
	Drivers() []string
	Prune(ctx context.Context, f volume.Filters) (volumetypes.PruneReport, error)
	WouldRemove(ctx context.Context, name string) (int64, error)
	WouldPrune(ctx context.Context, f volume.Filters) (volumetypes.PruneReport, error)
	DiskUsage(ctx context.Context) ([]volume.Usage, error)
	Space(ctx context.Context) ([]Space, error)
	Copy(ctx context.Context, name string, o volume.CreateOptions) (volume.Volume, error)
	OpenData(ctx context.Context, name string) (dir *os.File, release func(), err error)
	Snapshot(ctx context.Context, name, snapshot string) (volume.Snapshot, error)
	Snapshots(name string) ([]volume.Snapshot, error)
	Restore(ctx context.Context, name, snapshot string) error
	RemoveSnapshot(name, snapshot string) error
	Running(name string) []string
}

// shownVolume is a volume as the API has it.
func shownVolume(v *volume.Volume) volumetypes.Volume {
	scope := v.Scope
	if scope == "" {
		scope = "local"
	}
	created := ""
	if !v.CreatedAt.IsZero() { // a driver may not tell
		created = v.CreatedAt.Format(time.RFC3339)
	}
	return volumetypes.Volume{
		Name: v.Name, Driver: v.Driver, Mountpoint: v.Path, CreatedAt: created,
		Labels: v.Labels, Options: v.Options, Scope: scope, Status: v.Status,
	}
}

func (s *Server) volumeList(w http.ResponseWriter, r *request) error {
	filters, err := compat.Filters(r.query.Get("filters"))
	if err != nil {
		return err
	}
	list, warnings, err := s.o.Volumes.ListAll(r.Context(), filters)
	if err != nil {
		return err
	}
	resp := volumetypes.ListResponse{Volumes: []volumetypes.Volume{}, Warnings: warnings}
	for i := range list {
		resp.Volumes = append(resp.Volumes, shownVolume(&list[i]))
	}
	writeJSON(w, http.StatusOK, resp)
	return nil
}

func (s *Server) volumeInspect(w http.ResponseWriter, r *request) error {
	v, err := s.o.Volumes.Describe(r.Context(), r.name)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, shownVolume(&v))
	return nil
}

func (s *Server) volumeCreate(w http.ResponseWriter, r *request) error {
	var body volumetypes.CreateRequest
	if err := readJSON(w, r.Request, &body); err != nil {
		return err
	}
	if body.ClusterVolumeSpec != nil {
		return outsideSwarm(r.URL.Path)(w, r)
	}
	v, err := s.o.Volumes.Create(r.Context(), volume.CreateOptions{
		Name: body.Name, Driver: body.Driver, Labels: body.Labels, Options: body.DriverOpts,
	})
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusCreated, shownVolume(&v))
	return nil
}

func (s *Server) volumeRemove(w http.ResponseWriter, r *request) error {
	remove := s.o.Volumes.Remove
	if r.flag("force") {
		remove = s.o.Volumes.ForceRemove
	}
	err := remove(r.Context(), r.name)
	if r.flag("force") && errdefs.IsNotFound(err) {
		err = nil
	}
	return noContent(w, err)
}

func (s *Server) volumePrune(w http.ResponseWriter, r *request) error {
	filters, err := compat.Filters(r.query.Get("filters"))
	if err != nil {
		return err
	}
	if !r.version.Has(42) {
		// Before, those with names went, too, and there was no such filter.
		filters["all"] = map[string]bool{"true": true}
	}
	report, err := s.o.Volumes.Prune(r.Context(), filters)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, report)
	return nil
}

// warnRunning tells that containers may have written meanwhile.
func (s *Server) warnRunning(name string) string {
	users := s.o.Volumes.Running(name)
	if len(users) == 0 {
		return ""
	}
	return "volume " + name + " is in use by running containers, which may have written meanwhile: " + strings.Join(users, ", ")
}
