package server

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"

	"github.com/moby/moby/api/types/container"

	engine "github.com/berth-engine/berth/container"
	"github.com/berth-engine/berth/server/compat"
)

func (s *Server) containerCreate(w http.ResponseWriter, r *request) error {
	platform, err := r.platform("platform")
	if err != nil {
		return err
	}
	if !r.version.Has(41) {
		platform = nil
	}
	var body compat.CreateBody
	if err := readJSON(w, r.Request, &body); err != nil {
		return err
	}
	req, warnings, err := body.Lift(r.version, compat.Host{
		CgroupV2: s.o.About.CgroupVersion == "2", Client: r.UserAgent(),
		Log: container.LogConfig{Type: s.o.About.LogDriver, Config: s.o.About.LogOpts},
	})
	if err != nil {
		return err
	}
	resp, err := s.o.Containers.Create(r.Context(), engine.CreateOptions{
		Name: r.query.Get("name"), Platform: platform, Request: req, APIVersion: compat.Newest.String(),
	})
	if err != nil {
		return err
	}
	resp.Warnings = append(append([]string{}, resp.Warnings...), warnings...) // never null
	writeJSON(w, http.StatusCreated, resp)
	return nil
}

func (s *Server) containerList(w http.ResponseWriter, r *request) error {
	filters, err := compat.Filters(r.query.Get("filters"))
	if err != nil {
		return err
	}
	o := engine.ListOptions{All: r.flag("all"), Size: r.flag("size"), Filters: filters}
	if l := r.query.Get("limit"); l != "" {
		if o.Limit, err = strconv.Atoi(l); err != nil {
			return invalid(fmt.Sprintf("invalid value %q for limit: must be a number", l))
		}
		o.Limit = max(o.Limit, 0)
	}
	for _, old := range []string{"since", "before"} { // parameters before they were filters
		if v := r.query.Get(old); v != "" {
			filters[old] = map[string]bool{v: true}
		}
	}
	if r.flag("brief") {
		rows, err := s.o.Containers.ListBrief(r.Context(), o)
		if err != nil {
			return err
		}
		writeRows(w, rows)
		return nil
	}
	list, err := s.o.Containers.List(r.Context(), o)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, compat.ListContainers(r.version, list))
	return nil
}

func (s *Server) containerInspect(w http.ResponseWriter, r *request) error {
	c, err := s.o.Containers.Inspect(r.Context(), r.name, r.flag("size"))
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, compat.InspectContainer(r.version, c))
	return nil
}

func (s *Server) containerTop(w http.ResponseWriter, r *request) error {
	top, err := s.o.Containers.Top(r.Context(), r.name, r.query.Get("ps_args"))
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, top)
	return nil
}

func (s *Server) containerStart(w http.ResponseWriter, r *request) error {
	// Shorter than any JSON object with a member: what clients send as nothing.
	if r.ContentLength > 7 || r.ContentLength == -1 {
		return invalid("starting container with non-empty request body was deprecated since API v1.22 and removed in v1.24")
	}
	if r.query.Get("checkpoint") != "" {
		return notImplemented(r.Method, r.URL.Path+"?checkpoint")(w, r)
	}
	// Nobody is attached by a start: keys for detaching have only to be good ones.
	if err := engine.CheckDetachKeys(r.query.Get("detachKeys")); err != nil {
		return err
	}
	return noContent(w, s.o.Containers.Start(r.Context(), r.name))
}

func (s *Server) containerStop(w http.ResponseWriter, r *request) error {
	signal, timeout, err := stopParameters(r)
	if err != nil {
		return err
	}
	return noContent(w, s.o.Containers.Stop(r.Context(), r.name, signal, timeout))
}

func (s *Server) containerRestart(w http.ResponseWriter, r *request) error {
	signal, timeout, err := stopParameters(r)
	if err != nil {
		return err
	}
	return noContent(w, s.o.Containers.Restart(r.Context(), r.name, signal, timeout))
}

func stopParameters(r *request) (signal string, timeout *int, err error) {
	if r.version.Has(42) {
		signal = r.query.Get("signal")
	}
	timeout, err = r.seconds("t")
	return signal, timeout, err
}

func (s *Server) containerKill(w http.ResponseWriter, r *request) error {
	if err := s.o.Containers.Kill(r.Context(), r.name, r.query.Get("signal")); err != nil {
		return fmt.Errorf("cannot kill container: %s: %w", r.name, err)
	}
	return noContent(w, nil)
}

func (s *Server) containerRename(w http.ResponseWriter, r *request) error {
	return noContent(w, s.o.Containers.Rename(r.Context(), r.name, r.query.Get("name")))
}

func (s *Server) containerResize(w http.ResponseWriter, r *request) error {
	height, width, err := r.size()
	if err != nil {
		return err
	}
	if err := s.o.Containers.Resize(r.Context(), r.name, height, width); err != nil {
		return err
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

// size reads the size of a terminal.
func (r *request) size() (height, width uint, err error) {
	h, err := strconv.ParseUint(r.query.Get("h"), 10, 32)
	if err != nil {
		return 0, 0, invalid(fmt.Sprintf("invalid resize height %q: %v", r.query.Get("h"), err))
	}
	w, err := strconv.ParseUint(r.query.Get("w"), 10, 32)
	if err != nil {
		return 0, 0, invalid(fmt.Sprintf("invalid resize width %q: %v", r.query.Get("w"), err))
	}
	return uint(h), uint(w), nil
}

func (s *Server) containerRemove(w http.ResponseWriter, r *request) error {
	return noContent(w, s.o.Containers.Remove(r.Context(), r.name, engine.RemoveOptions{
		Force: r.flag("force"), Volumes: r.flag("v"), Link: r.flag("link"),
	}))
}

func (s *Server) containerPrune(w http.ResponseWriter, r *request) error {
	filters, err := compat.Filters(r.query.Get("filters"))
	if err != nil {
		return err
	}
	report, err := s.o.Containers.Prune(r.Context(), filters)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, report)
	return nil
}

func (s *Server) containerWait(w http.ResponseWriter, r *request) error {
	cond := container.WaitConditionNotRunning
	if c := container.WaitCondition(r.query.Get("condition")); c != "" && r.version.Has(30) {
		switch c {
		case container.WaitConditionNotRunning, container.WaitConditionNextExit, container.WaitConditionRemoved:
			cond = c
		default:
			return invalid(fmt.Sprintf("invalid condition: %q", c))
		}
	}
	ctx, cancel := s.stream(r.Context())
	defer cancel()
	result, err := s.o.Containers.Wait(ctx, r.name, cond)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	if r.version.Has(30) {
		// The client starts the container when it sees that we wait.
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case res, ok := <-result:
		if !ok {
			return ctx.Err()
		}
		if res.Error != nil && cond == container.WaitConditionRemoved && !r.version.Has(34) {
			return nil // an empty answer was how failure was told
		}
		return json.NewEncoder(w).Encode(res)
	}
}

func noContent(w http.ResponseWriter, err error) error {
	if err == nil {
		w.WriteHeader(http.StatusNoContent)
	}
	return err
}
