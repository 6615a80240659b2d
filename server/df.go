package server

import (
	"fmt"
	"net/http"

	"github.com/moby/moby/api/types/build"
	"github.com/moby/moby/api/types/container"
	imagetypes "github.com/moby/moby/api/types/image"
	"github.com/moby/moby/api/types/system"
	volumetypes "github.com/moby/moby/api/types/volume"

	"github.com/berth-engine/berth/api"
	engine "github.com/berth-engine/berth/container"
	"github.com/berth-engine/berth/image"
	"github.com/berth-engine/berth/server/compat"
)

// diskUsage measures what the parameter type names, or everything.
func (s *Server) diskUsage(w http.ResponseWriter, r *request) error {
	wanted := map[system.DiskUsageObject]bool{}
	if !r.version.Has(42) || len(r.query["type"]) == 0 {
		for _, t := range []system.DiskUsageObject{system.ContainerObject, system.ImageObject, system.VolumeObject, system.BuildCacheObject} {
			wanted[t] = true
		}
	} else {
		for _, text := range r.query["type"] {
			switch t := system.DiskUsageObject(text); t {
			case system.ContainerObject, system.ImageObject, system.VolumeObject, system.BuildCacheObject:
				wanted[t] = true
			default:
				return invalid(fmt.Sprintf("unknown object type: %s", text))
			}
		}
	}
	var du system.DiskUsage
	var err error
	if wanted[system.ImageObject] {
		if du.ImageUsage, err = s.imageUsage(r); err != nil {
			return err
		}
	}
	if wanted[system.ContainerObject] {
		if du.ContainerUsage, err = s.containerUsage(r); err != nil {
			return err
		}
	}
	if wanted[system.VolumeObject] {
		if du.VolumeUsage, err = s.volumeUsage(r); err != nil {
			return err
		}
	}
	if wanted[system.BuildCacheObject] {
		if du.BuildCacheUsage, err = s.buildUsage(r); err != nil {
			return err
		}
	}
	writeJSON(w, http.StatusOK, compat.DiskUsage(r.version, du, r.flag("verbose")))
	return nil
}

func (s *Server) imageUsage(r *request) (*imagetypes.DiskUsage, error) {
	list, err := s.o.Images.List(r.Context(), image.ListOptions{SharedSize: true})
	if err != nil {
		return nil, err
	}
	total, free, err := s.o.Images.DiskUsage(r.Context())
	if err != nil {
		return nil, err
	}
	u := &imagetypes.DiskUsage{Items: list, TotalCount: int64(len(list)), TotalSize: total, Reclaimable: free}
	for i := range list {
		if list[i].Containers > 0 {
			u.ActiveCount++
		}
	}
	return u, nil
}

func (s *Server) containerUsage(r *request) (*container.DiskUsage, error) {
	list, err := s.o.Containers.List(r.Context(), engine.ListOptions{All: true, Size: true})
	if err != nil {
		return nil, err
	}
	u := &container.DiskUsage{Items: list, TotalCount: int64(len(list))}
	for i := range list {
		u.TotalSize += list[i].SizeRw
		switch list[i].State {
		case container.StateRunning, container.StatePaused, container.StateRestarting:
			u.ActiveCount++
		default:
			u.Reclaimable += list[i].SizeRw
		}
	}
	return u, nil
}

func (s *Server) volumeUsage(r *request) (*volumetypes.DiskUsage, error) {
	list, err := s.o.Volumes.DiskUsage(r.Context())
	if err != nil {
		return nil, err
	}
	u := &volumetypes.DiskUsage{Items: []volumetypes.Volume{}, TotalCount: int64(len(list))}
	for i := range list {
		v := shownVolume(&list[i].Volume)
		v.UsageData = &volumetypes.UsageData{RefCount: int64(list[i].Users), Size: list[i].Size}
		u.Items = append(u.Items, v)
		u.TotalSize += max(list[i].Size, 0)
		if list[i].Users > 0 {
			u.ActiveCount++
		} else {
			u.Reclaimable += max(list[i].Size, 0)
		}
	}
	return u, nil
}

// space tells where the bytes below the data-root are: nothing is left out, what
// no part of the engine knows is there as "other".
func (s *Server) space(w http.ResponseWriter, r *request) error {
	ctx := r.Context()
	report := api.SpaceReport{DataRoot: s.o.About.DataRoot, Items: []api.Space{}}
	known := int64(0)
	add := func(what, path string, n int64) {
		known += n
		for i := range report.Items {
			if report.Items[i].What == what {
				report.Items[i].Bytes += n
				return
			}
		}
		report.Items = append(report.Items, api.Space{What: what, Path: path, Bytes: n})
	}
	images, err := s.o.Images.Space(ctx)
	if err != nil {
		return err
	}
	for _, p := range images {
		add(p.What, p.Path, p.Bytes)
	}
	containers, err := s.o.Containers.Space(ctx)
	if err != nil {
		return err
	}
	for _, p := range containers {
		add(p.What, p.Path, p.Bytes)
	}
	volumes, err := s.o.Volumes.Space(ctx)
	if err != nil {
		return err
	}
	for _, p := range volumes {
		add(p.What, p.Path, p.Bytes)
	}
	if s.o.Measure != nil {
		if report.Total, err = s.o.Measure(ctx, s.o.About.DataRoot); err != nil {
			return err
		}
	}
	// Parts are measured one after the other, so their sum may be beyond the total.
	add("other", s.o.About.DataRoot, max(report.Total-known, 0))
	report.Total = max(report.Total, known)
	writeJSON(w, http.StatusOK, report)
	return nil
}

// buildUsage does not count what images share with the cache: it is theirs.
func (s *Server) buildUsage(r *request) (*build.DiskUsage, error) {
	u := &build.DiskUsage{Items: []build.CacheRecord{}}
	if s.o.Builds == nil {
		return u, nil
	}
	list, err := s.o.Builds.Records(r.Context())
	if err != nil {
		return nil, err
	}
	u.Items, u.TotalCount = list, int64(len(list))
	for _, c := range list {
		if c.InUse {
			u.ActiveCount++
		}
		if c.Shared {
			continue
		}
		u.TotalSize += c.Size
		if !c.InUse {
			u.Reclaimable += c.Size
		}
	}
	return u, nil
}
