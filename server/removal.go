package server

import (
	"net/http"

	"github.com/containerd/errdefs"

	"github.com/berth-engine/berth/api"
	engine "github.com/berth-engine/berth/container"
	"github.com/berth-engine/berth/server/compat"
)

// The operations below /removal/ tell what a removal would do. They have paths
// of their own because a parameter on Docker's would be ignored by a daemon that
// does not know it, which would then remove.

func (s *Server) removalContainer(w http.ResponseWriter, r *request) error {
	out, err := s.o.Containers.WouldRemove(r.Context(), r.name, engine.RemoveOptions{Force: r.flag("force"), Volumes: r.flag("v"), Link: r.flag("link")})
	return s.preview(w, out, err)
}

func (s *Server) removalContainers(w http.ResponseWriter, r *request) error {
	filters, err := compat.Filters(r.query.Get("filters"))
	if err != nil {
		return err
	}
	out, err := s.o.Containers.WouldPrune(r.Context(), filters)
	return s.preview(w, out, err)
}

func (s *Server) removalImage(w http.ResponseWriter, r *request) error {
	only, err := r.platformsJSON("platforms")
	if err != nil {
		return err
	}
	if len(only) > 0 {
		list, size, err := s.o.Images.RemovePlatforms(r.Context(), r.name, only, r.flag("force"), true)
		return s.preview(w, api.Removal{Images: list, SpaceReclaimed: uint64(size)}, err)
	}
	list, size, err := s.o.Images.WouldRemove(r.Context(), r.name, r.flag("force"))
	return s.preview(w, api.Removal{Images: list, SpaceReclaimed: uint64(size)}, err)
}

func (s *Server) removalImages(w http.ResponseWriter, r *request) error {
	filters, err := compat.Filters(r.query.Get("filters"))
	if err != nil {
		return err
	}
	report, err := s.o.Images.Prune(r.Context(), filters, true)
	return s.preview(w, api.Removal{Images: report.ImagesDeleted, SpaceReclaimed: report.SpaceReclaimed}, err)
}

func (s *Server) removalVolume(w http.ResponseWriter, r *request) error {
	size, err := s.o.Volumes.WouldRemove(r.Context(), r.name)
	if r.flag("force") && errdefs.IsNotFound(err) {
		return s.preview(w, api.Removal{}, nil)
	}
	return s.preview(w, api.Removal{Volumes: []string{r.name}, SpaceReclaimed: uint64(size)}, err)
}

func (s *Server) removalVolumes(w http.ResponseWriter, r *request) error {
	filters, err := compat.Filters(r.query.Get("filters"))
	if err != nil {
		return err
	}
	report, err := s.o.Volumes.WouldPrune(r.Context(), filters)
	return s.preview(w, api.Removal{Volumes: report.VolumesDeleted, SpaceReclaimed: report.SpaceReclaimed}, err)
}

func (s *Server) removalNetwork(w http.ResponseWriter, r *request) error {
	name, err := s.o.Networks.WouldRemove(r.name)
	if r.flag("force") && errdefs.IsNotFound(err) {
		return s.preview(w, api.Removal{}, nil)
	}
	return s.preview(w, api.Removal{Networks: []string{name}}, err)
}

func (s *Server) removalNetworks(w http.ResponseWriter, r *request) error {
	filters, err := compat.Filters(r.query.Get("filters"))
	if err != nil {
		return err
	}
	report, err := s.o.Networks.WouldPrune(filters)
	return s.preview(w, api.Removal{Networks: report.NetworksDeleted}, err)
}

func (s *Server) preview(w http.ResponseWriter, out api.Removal, err error) error {
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, out)
	return nil
}

func (s *Server) imagePrune(w http.ResponseWriter, r *request) error {
	filters, err := compat.Filters(r.query.Get("filters"))
	if err != nil {
		return err
	}
	report, err := s.o.Images.Prune(r.Context(), filters, false)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, report)
	return nil
}
