package server

import "net/http"

// migrateDocker answers when everything is done: it may take long.
func (s *Server) migrateDocker(w http.ResponseWriter, r *request) error {
	out, err := s.o.Containers.MigrateDocker(r.Context(), r.query.Get("path"), r.query.Get("containerd"))
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, out)
	return nil
}
