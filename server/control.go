package server

import (
	"encoding/json"
	"net/http"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"

	"github.com/berth-engine/berth/api"
	engine "github.com/berth-engine/berth/container"
)

func (s *Server) containerPause(w http.ResponseWriter, r *request) error {
	return noContent(w, s.o.Containers.Pause(r.Context(), r.name))
}

func (s *Server) containerUnpause(w http.ResponseWriter, r *request) error {
	return noContent(w, s.o.Containers.Unpause(r.Context(), r.name))
}

// containerUpdate changes limits and the restart policy, as Docker does, and
// with the fields of api.ContainerEdit or dry-run more than that.
func (s *Server) containerUpdate(w http.ResponseWriter, r *request) error {
	var body struct {
		api.ContainerUpdateRequest
		Init *bool // of the specification; the type does not have it
	}
	if err := readJSON(w, r.Request, &body); err != nil {
		return err
	}
	if body.Init != nil {
		return errdefs.ErrNotImplemented.WithMessage("update: Init cannot be changed: the process 1 of a container stays what it is; make a new container")
	}
	if !r.version.Has(40) {
		body.PidsLimit = nil
	}
	if body.PidsLimit != nil && *body.PidsLimit <= 0 {
		body.PidsLimit = new(int64) // 0 and all negative numbers mean no limit
	}
	dry := r.flag("dry-run")
	if body.Edit != nil || dry {
		resp, err := s.o.Containers.Edit(r.Context(), r.name, &body.ContainerUpdateRequest, dry)
		if err != nil {
			return err
		}
		writeJSON(w, http.StatusOK, resp)
		return nil
	}
	resp, err := s.o.Containers.Update(r.Context(), r.name, &body.UpdateConfig)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, resp)
	return nil
}

// containerStats sends samples as JSON objects, one after the other.
func (s *Server) containerStats(w http.ResponseWriter, r *request) error {
	o := engine.StatsOptions{Stream: true}
	if r.query.Has("stream") {
		o.Stream = r.flag("stream")
	}
	if r.version.Has(41) {
		o.OneShot = r.flag("one-shot")
	}
	ctx, cancel := s.stream(r.Context())
	defer cancel()
	var out *json.Encoder
	begin := func() {
		if out == nil {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusOK)
			out = json.NewEncoder(newFlushWriter(w))
		}
	}
	err := s.o.Containers.Stats(ctx, r.name, o, func(sample *container.StatsResponse) error {
		begin()
		return out.Encode(sample)
	})
	if err == nil && o.Stream {
		begin() // it was removed before the first sample
	}
	return err
}
