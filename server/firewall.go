package server

import (
	"net/http"

	"github.com/containerd/errdefs"
)

func (s *Server) firewall(w http.ResponseWriter, _ *request) error {
	if s.o.Firewall == nil {
		return errdefs.ErrNotImplemented
	}
	f, err := s.o.Firewall()
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, f)
	return nil
}
