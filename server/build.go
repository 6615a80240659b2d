package server

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"

	"github.com/distribution/reference"
	buildtypes "github.com/moby/moby/api/types/build"
	"github.com/moby/moby/api/types/jsonstream"
	"github.com/opencontainers/go-digest"

	"github.com/berth-engine/berth/build"
	"github.com/berth-engine/berth/image"
	"github.com/berth-engine/berth/oci"
)

// Builds is what the server asks of the builder; *build.Engine is the engine's.
type Builds interface {
	Build(ctx context.Context, r *build.Request, progress build.Progress) (string, error)
	Cancel(id string)
	Session(ctx context.Context, conn net.Conn, header http.Header) error
	Serve(ctx context.Context, conn net.Conn) error
	Records(ctx context.Context) ([]buildtypes.CacheRecord, error)
	Prune(ctx context.Context, o build.PruneOptions) (ids []string, bytes int64, err error)
	WouldPrune(ctx context.Context, o build.PruneOptions) ([]buildtypes.CacheRecord, error)
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
	id, err := s.o.Builds.Build(ctx, b, &build.Steps{Send: send, Here: func(id digest.Digest) bool {
		_, err := s.o.Images.Inspect(ctx, id.String(), image.InspectOptions{})
		return err == nil
	}})
	if failed, ok := errors.AsType[*build.StepError](err); ok {
		out.write(jsonstream.Message{Error: &jsonstream.Error{Message: failed.Error(), Code: failed.Code}})
		return nil
	}
	if err != nil {
		return out.end(err)
	}
	if !b.Quiet {
		out.write(jsonstream.Message{Stream: build.Arrow(digest.Digest(id))})
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

// buildCancel ends a build. As in Docker it is no error if that has ended.
func (s *Server) buildCancel(w http.ResponseWriter, r *request) error {
	id := r.query.Get("id")
	if id == "" {
		return invalid("build ID not provided")
	}
	s.o.Builds.Cancel(id)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	return nil
}
