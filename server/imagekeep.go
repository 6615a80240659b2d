package server

import (
	"net/http"

	"github.com/berth-engine/berth/api"
)

func (s *Server) imagePin(w http.ResponseWriter, r *request) error   { return s.pin(w, r, true) }
func (s *Server) imageUnpin(w http.ResponseWriter, r *request) error { return s.pin(w, r, false) }

func (s *Server) pin(w http.ResponseWriter, r *request, on bool) error {
	if err := s.o.Images.Pin(r.Context(), r.name, on); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *Server) imageCollect(w http.ResponseWriter, r *request) error {
	report, err := s.o.Images.CollectUnused(r.Context(), false)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, report)
	return nil
}

func (s *Server) removalUnused(w http.ResponseWriter, r *request) error {
	report, err := s.o.Images.CollectUnused(r.Context(), true)
	return s.preview(w, api.Removal{Images: report.ImagesDeleted, SpaceReclaimed: report.SpaceReclaimed}, err)
}
