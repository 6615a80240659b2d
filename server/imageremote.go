package server

import (
	"fmt"
	"net/http"
	"strconv"

	"github.com/moby/moby/api/pkg/authconfig"
	"github.com/moby/moby/api/types/registry"

	"github.com/berth-engine/berth/image"
	"github.com/berth-engine/berth/server/compat"
)

// defaultHits is how many results a search has unless another limit is given.
const defaultHits = 25

// imageSearch asks a registry's index.
func (s *Server) imageSearch(w http.ResponseWriter, r *request) error {
	filters, err := compat.Filters(r.query.Get("filters"))
	if err != nil {
		return err
	}
	keep, err := searchFilter(filters)
	if err != nil {
		return err
	}
	limit := defaultHits
	if text := r.query.Get("limit"); text != "" && text != "0" {
		if limit, err = strconv.Atoi(text); err != nil {
			return invalid(fmt.Sprintf("invalid limit %q: must be a number", text))
		}
	}
	auth, _ := authconfig.Decode(r.Header.Get(registry.AuthHeader))
	found, err := s.o.Images.Search(r.Context(), r.query.Get("term"), limit, auth)
	if err != nil {
		return err
	}
	list := []registry.SearchResult{}
	for _, f := range found {
		if keep(f.StarCount, f.IsOfficial) {
			list = append(list, f)
		}
	}
	writeJSON(w, http.StatusOK, list)
	return nil
}

// distributionInspect asks a registry about an image.
func (s *Server) distributionInspect(w http.ResponseWriter, r *request) error {
	auth, _ := authconfig.Decode(r.Header.Get(registry.AuthHeader))
	answer, err := s.o.Images.InspectRemote(r.Context(), r.name, auth)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, answer)
	return nil
}

// imageAttestations lists what is attested of an image.
func (s *Server) imageAttestations(w http.ResponseWriter, r *request) error {
	list, err := r.platforms()
	if err != nil {
		return err
	}
	o := image.AttestationOptions{Types: r.query["type"], Statement: r.flag("statement")}
	switch len(list) {
	case 0:
	case 1:
		o.Platform = &list[0]
	default:
		return invalid("only one platform may be given")
	}
	found, err := s.o.Images.Attestations(r.Context(), r.name, o)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, found)
	return nil
}

// searchFilter tells which hits to keep.
func searchFilter(filters map[string]map[string]bool) (func(stars int, official bool) bool, error) {
	var official *bool
	least := 0
	for name, values := range filters {
		for value := range values {
			var err error
			switch name {
			case "is-official":
				var b bool
				b, err = strconv.ParseBool(value)
				official = &b
			case "stars":
				var n int
				n, err = strconv.Atoi(value)
				least = max(least, n)
			case "is-automated": // nothing is any more
				var b bool
				if b, err = strconv.ParseBool(value); err == nil && b {
					return func(int, bool) bool { return false }, nil
				}
			default:
				return nil, invalid(fmt.Sprintf("invalid filter '%s'", name))
			}
			if err != nil {
				return nil, invalid(fmt.Sprintf("invalid filter '%s=[%s]'", name, value))
			}
		}
	}
	return func(stars int, isOfficial bool) bool {
		return stars >= least && (official == nil || *official == isOfficial)
	}, nil
}
