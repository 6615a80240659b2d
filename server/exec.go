package server

import (
	"context"
	"net/http"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"

	engine "github.com/berth-engine/berth/container"
)

func (s *Server) execCreate(w http.ResponseWriter, r *request) error {
	var body container.ExecCreateRequest
	if err := readJSON(w, r.Request, &body); err != nil {
		return err
	}
	if !r.version.Has(42) || !body.Tty {
		body.ConsoleSize = nil
	}
	id, err := s.o.Containers.ExecCreate(r.Context(), r.name, &body)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusCreated, container.ExecCreateResponse{ID: id})
	return nil
}

// execStart runs an exec. Attached, the connection is taken over as attach
// does it.
func (s *Server) execStart(w http.ResponseWriter, r *request) error {
	var body container.ExecStartRequest
	if err := readJSON(w, r.Request, &body); err != nil {
		return err
	}
	if !r.version.Has(42) || !body.Tty {
		body.ConsoleSize = nil
	}
	o := engine.ExecStartOptions{Detach: body.Detach, Tty: body.Tty, ConsoleSize: body.ConsoleSize}
	if o.Detach {
		if err := s.o.Containers.ExecStart(r.Context(), r.name, o, nil); err != nil {
			return err
		}
		w.WriteHeader(http.StatusOK)
		return nil
	}
	// Clients that asked for an upgrade do not show the text of an answer that is
	// none; Docker, too, tells them in the stream.
	o.InStream = r.Header.Get("Upgrade") != ""
	return s.attached(w, r, func(ctx context.Context, hijack engine.Hijack) error {
		err := s.o.Containers.ExecStart(ctx, r.name, o, hijack)
		if errdefs.IsConflict(err) && o.InStream {
			conn, herr := hijack(!o.Tty)
			if herr != nil {
				return err
			}
			_ = engine.TellError(conn, o.Tty, err) // the client may be gone
			return conn.Close()
		}
		return err
	})
}

func (s *Server) execResize(w http.ResponseWriter, r *request) error {
	height, width, err := r.size()
	if err != nil {
		return err
	}
	if err := s.o.Containers.ExecResize(r.Context(), r.name, height, width); err != nil {
		return err
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

func (s *Server) execInspect(w http.ResponseWriter, r *request) error {
	resp, err := s.o.Containers.ExecInspect(r.Context(), r.name)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, resp)
	return nil
}
