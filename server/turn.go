package server

import (
	"fmt"
	"net/http"
	"strconv"
	"time"
)

func (s *Server) containerTurn(w http.ResponseWriter, r *request) error {
	turn, err := s.o.Containers.Turn(r.Context(), r.name)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, turn)
	return nil
}

func (s *Server) containerDrain(w http.ResponseWriter, r *request) error {
	var wait time.Duration
	if text := r.query.Get("wait"); text != "" {
		seconds, err := strconv.ParseUint(text, 10, 31)
		if err != nil {
			return invalid(fmt.Sprintf("invalid value %q for wait: it is a number of seconds", text))
		}
		wait = time.Duration(seconds) * time.Second
	}
	return s.drain(w, r, true, wait)
}

func (s *Server) containerUndrain(w http.ResponseWriter, r *request) error {
	return s.drain(w, r, false, 0)
}

func (s *Server) drain(w http.ResponseWriter, r *request, drained bool, wait time.Duration) error {
	turn, err := s.o.Containers.Drain(r.Context(), r.name, drained, wait)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, turn)
	return nil
}
