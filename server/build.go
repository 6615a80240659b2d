package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/distribution/reference"
	"github.com/docker/go-units"
	buildtypes "github.com/moby/moby/api/types/build"
	"github.com/moby/moby/api/types/jsonstream"
	"github.com/opencontainers/go-digest"

	"github.com/berth-engine/berth/build"
	"github.com/berth-engine/berth/oci"
	"github.com/berth-engine/berth/server/compat"
)

// Builds is what the server asks of the builder; *build.Engine is the engine's.
type Builds interface {
	Build(ctx context.Context, r *build.Request, progress build.Progress) (string, error)
	Cancel(id string) error
	Session(ctx context.Context, conn net.Conn, header http.Header) error
	Serve(ctx context.Context, conn net.Conn) error
	Records(ctx context.Context) ([]buildtypes.CacheRecord, error)
	Prune(ctx context.Context, o build.PruneOptions) (ids []string, bytes int64, err error)
}

// buildImage answers classic clients, and with version 2 those of BuildKit that
// bring no connection of their own.
func (s *Server) buildImage(w http.ResponseWriter, r *request) error {
	b, err := buildRequest(r)
	if err != nil {
		return err
	}
	ctx, cancel := s.stream(r.Context())
	defer cancel()
	_ = http.NewResponseController(w).EnableFullDuplex() // only HTTP/1 needs it
	out := &progressWriter{w: w, version: r.version}
	if b.Trace {
		id, err := s.o.Builds.Build(ctx, b, build.Trace{Send: out.write})
		if err == nil && id != "" {
			out.aux("moby.image.id", buildtypes.Result{ID: id})
		}
		return out.end(err)
	}
	send := out.write
	if b.Quiet {
		send = func(jsonstream.Message) {}
	}
	id, err := s.o.Builds.Build(ctx, b, &build.Steps{Send: send})
	if failed, ok := errors.AsType[*build.StepError](err); ok {
		out.write(jsonstream.Message{Error: &jsonstream.Error{Message: failed.Error(), Code: failed.Code}})
		return nil
	}
	if err != nil {
		return out.end(err)
	}
	out.aux("", buildtypes.Result{ID: id})
	if b.Quiet {
		out.write(jsonstream.Message{Stream: id + "\n"})
		return nil
	}
	out.write(jsonstream.Message{Stream: "Successfully built " + oci.ShortID(digest.Digest(id)) + "\n"})
	for _, t := range b.Tags {
		if named, err := reference.ParseNormalizedNamed(t); err == nil {
			t = reference.FamiliarString(named)
		}
		out.write(jsonstream.Message{Stream: "Successfully tagged " + t + "\n"})
	}
	return nil
}

func (p *progressWriter) aux(id string, v any) {
	text, err := json.Marshal(v)
	if err != nil {
		return // no note of ours fails to encode
	}
	raw := json.RawMessage(text)
	p.write(jsonstream.Message{ID: id, Aux: &raw})
}

// buildCancel ends a build.
func (s *Server) buildCancel(w http.ResponseWriter, r *request) error {
	id := r.query.Get("id")
	if id == "" {
		return invalid("build ID not provided")
	}
	if err := s.o.Builds.Cancel(id); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// buildPrune removes what builds have cached.
func (s *Server) buildPrune(w http.ResponseWriter, r *request) error {
	filters, err := compat.Filters(r.query.Get("filters"))
	if err != nil {
		return err
	}
	o := build.PruneOptions{All: r.flag("all")}
	if len(filters["label"]) > 0 {
		// `docker system prune` sends its filters to all: nothing here has labels.
		writeJSON(w, http.StatusOK, buildtypes.CachePruneReport{CachesDeleted: []string{}})
		return nil
	}
	delete(filters, "label!")
	for key, values := range filters {
		for value := range values {
			if key == "until" || key == "unused-for" {
				if o.Unused, err = unusedFor(value); err != nil {
					return err
				}
				continue
			}
			f, err := build.PruneFilter(key, value)
			if err != nil {
				return invalid(err.Error())
			}
			o.Filters = append(o.Filters, f)
		}
	}
	for name, into := range map[string]*int64{
		"keep-storage": &o.Reserved, "reserved-space": &o.Reserved, "max-used-space": &o.MaxUsed, "min-free-space": &o.MinFree,
	} {
		if text := r.query.Get(name); text != "" {
			if *into, err = units.RAMInBytes(text); err != nil {
				return invalid(fmt.Sprintf("invalid %s %q: must be a number of bytes", name, text))
			}
		}
	}
	ids, bytes, err := s.o.Builds.Prune(r.Context(), o)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, buildtypes.CachePruneReport{CachesDeleted: append([]string{}, ids...), SpaceReclaimed: uint64(max(bytes, 0))}) //nolint:gosec // not negative
	return nil
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
