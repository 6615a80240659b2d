package server

import (
	"context"
	"net/http"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
	nettypes "github.com/moby/moby/api/types/network"

	engine "github.com/berth-engine/berth/container"
	"github.com/berth-engine/berth/network"
	"github.com/berth-engine/berth/server/compat"
)

// Networks is what the server asks of the networks; *network.Manager is the
// engine's.
type Networks interface {
	Create(ctx context.Context, r *nettypes.CreateRequest) (nettypes.CreateResponse, error)
	List(f network.Filters) ([]nettypes.Network, error)
	Inspect(ref string) (nettypes.Inspect, error)
	Remove(ctx context.Context, ref string) error
	PruneUnused(ctx context.Context, f network.Filters) (nettypes.PruneReport, error)
	WouldPrune(f network.Filters) (nettypes.PruneReport, error)
	WouldRemove(ref string) (name string, err error)
}

func (s *Server) networkList(w http.ResponseWriter, r *request) error {
	filters, err := compat.Filters(r.query.Get("filters"))
	if err != nil {
		return err
	}
	list, err := s.o.Networks.List(filters)
	if err != nil {
		return err
	}
	out := make([]any, 0, len(list))
	for i := range list {
		full := nettypes.Inspect{Network: list[i]}
		if !r.version.Has(28) { // the list told who is on the network, too
			if full, err = s.o.Networks.Inspect(list[i].ID); err != nil {
				continue // it has just been removed
			}
		}
		out = append(out, compat.Network(r.version, full, false))
	}
	writeJSON(w, http.StatusOK, out)
	return nil
}

func (s *Server) networkInspect(w http.ResponseWriter, r *request) error {
	n, err := s.o.Networks.Inspect(r.name)
	if err != nil {
		return err
	}
	// What it adds, Docker has only of networks of a swarm.
	if text := r.query.Get("verbose"); text != "" {
		if _, err := strconv.ParseBool(text); err != nil {
			return invalid("invalid value for verbose: " + text)
		}
	}
	if scope := r.query.Get("scope"); scope != "" && scope != n.Scope {
		return errdefs.ErrNotFound.WithMessage("network " + r.name + " not found")
	}
	if n.Name == nettypes.NetworkHost || n.Name == nettypes.NetworkNone {
		// Nothing attaches to them, so only containers know who they are.
		on, err := s.o.Containers.List(r.Context(), engine.ListOptions{Filters: engine.Filters{"network": {n.Name: true}}})
		if err != nil {
			return err
		}
		for i := range on {
			n.Containers[on[i].ID] = nettypes.EndpointResource{Name: strings.TrimPrefix(on[i].Names[0], "/")}
		}
	}
	writeJSON(w, http.StatusOK, compat.Network(r.version, n, true))
	return nil
}

func (s *Server) networkCreate(w http.ResponseWriter, r *request) error {
	var body nettypes.CreateRequest
	if err := readJSON(w, r.Request, &body); err != nil {
		return err
	}
	if !r.version.Has(48) {
		body.EnableIPv4 = nil // the field did not exist
	}
	resp, err := s.o.Networks.Create(r.Context(), &body)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusCreated, resp)
	return nil
}

func (s *Server) networkRemove(w http.ResponseWriter, r *request) error {
	return noContent(w, s.o.Networks.Remove(r.Context(), r.name))
}

func (s *Server) networkPrune(w http.ResponseWriter, r *request) error {
	filters, err := compat.Filters(r.query.Get("filters"))
	if err != nil {
		return err
	}
	report, err := s.o.Networks.PruneUnused(r.Context(), filters)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, report)
	return nil
}

func (s *Server) networkConnect(w http.ResponseWriter, r *request) error {
	var body nettypes.ConnectRequest
	if err := readJSON(w, r.Request, &body); err != nil {
		return err
	}
	if ep := body.EndpointConfig; ep != nil {
		if !r.version.Has(44) {
			ep.MacAddress = nil
		}
		if !r.version.Has(48) {
			ep.GwPriority = 0
		}
	}
	if err := s.o.Containers.ConnectNetwork(r.Context(), body.Container, r.name, body.EndpointConfig); err != nil {
		return err
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

func (s *Server) networkDisconnect(w http.ResponseWriter, r *request) error {
	var body nettypes.DisconnectRequest
	if err := readJSON(w, r.Request, &body); err != nil {
		return err
	}
	if err := s.o.Containers.DisconnectNetwork(r.Context(), body.Container, r.name, body.Force); err != nil {
		return err
	}
	w.WriteHeader(http.StatusOK)
	return nil
}
