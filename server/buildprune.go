package server

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	buildtypes "github.com/moby/moby/api/types/build"
	"github.com/moby/moby/api/types/events"

	"github.com/berth-engine/berth/api"
	"github.com/berth-engine/berth/build"
	"github.com/berth-engine/berth/server/compat"
)

// buildPrune removes what builds have cached.
func (s *Server) buildPrune(w http.ResponseWriter, r *request) error {
	o, nothing, err := pruneOptions(r)
	if err != nil {
		return err
	}
	report := buildtypes.CachePruneReport{CachesDeleted: []string{}}
	if !nothing {
		ids, bytes, err := s.o.Builds.Prune(r.Context(), o)
		if err != nil {
			return err
		}
		report.CachesDeleted = append(report.CachesDeleted, ids...)
		report.SpaceReclaimed = uint64(max(bytes, 0)) //nolint:gosec // not negative
		s.o.Events.Publish(events.Message{Type: events.BuilderEventType, Action: events.ActionPrune, Actor: events.Actor{
			Attributes: map[string]string{"reclaimed": strconv.FormatUint(report.SpaceReclaimed, 10)},
		}})
	}
	writeJSON(w, http.StatusOK, report)
	return nil
}

// removalBuildCache tells what buildPrune would remove.
func (s *Server) removalBuildCache(w http.ResponseWriter, r *request) error {
	o, nothing, err := pruneOptions(r)
	if err != nil || nothing || s.o.Builds == nil {
		return s.preview(w, api.Removal{}, err)
	}
	var out api.Removal
	out.BuildCache, err = s.o.Builds.WouldPrune(r.Context(), o)
	for _, c := range out.BuildCache {
		out.SpaceReclaimed += uint64(max(c.Size, 0)) //nolint:gosec // not negative
	}
	return s.preview(w, out, err)
}

// pruneOptions reads the parameters of a prune. nothing tells that its filters
// cannot select anything.
func pruneOptions(r *request) (o build.PruneOptions, nothing bool, err error) {
	filters, err := compat.Filters(r.query.Get("filters"))
	if err != nil {
		return o, false, err
	}
	o.All = r.flag("all")
	if len(filters["label"]) > 0 {
		return o, true, nil // `docker system prune` sends its filters to all: nothing here has labels
	}
	delete(filters, "label!")
	for key, values := range filters {
		if len(values) > 1 {
			return o, false, invalid(fmt.Sprintf("invalid filter '%s': it may be given once", key))
		}
		for value := range values {
			if key == "until" || key == "unused-for" {
				if o.Unused, err = unusedFor(value); err != nil {
					return o, false, err
				}
				continue
			}
			f, err := build.PruneFilter(key, value)
			if err != nil {
				return o, false, invalid("failed to prune build cache: " + err.Error())
			}
			o.Filters = append(o.Filters, f)
		}
	}
	for _, p := range []struct {
		name string
		into *int64
	}{
		// The last of a pair counts: keep-storage is what reserved-space was called before.
		{"keep-storage", &o.Reserved}, {"reserved-space", &o.Reserved}, {"max-used-space", &o.MaxUsed}, {"min-free-space", &o.MinFree},
	} {
		text := r.query.Get(p.name)
		if text == "" {
			continue
		}
		n, err := strconv.Atoi(text)
		if err != nil {
			return o, false, invalid(fmt.Sprintf("%s is in bytes and expects an integer, got %s: %v", p.name, text, err))
		}
		if n != 0 {
			*p.into = int64(n)
		}
	}
	return o, false, nil
}

// unusedFor reads a duration, or a moment as the time since then.
func unusedFor(text string) (time.Duration, error) {
	if d, err := time.ParseDuration(text); err == nil {
		return d, nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02"} {
		if at, err := time.ParseInLocation(layout, text, time.Local); err == nil { //nolint:gosmopolitan // as Docker reads it
			return time.Since(at), nil
		}
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return time.Since(time.Unix(n, 0)), nil
	}
	return 0, invalid(fmt.Sprintf("invalid filter 'until=%s': a duration or a time", text))
}
