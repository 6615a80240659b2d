package server

import (
	"io"
	"net/http"

	"github.com/distribution/reference"
	"github.com/moby/moby/api/pkg/authconfig"
	"github.com/moby/moby/api/types/jsonstream"
	"github.com/moby/moby/api/types/registry"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/berth-engine/berth/image"
)

// imagePush sends an image to its registry. Without a tag all tags are sent.
func (s *Server) imagePush(w http.ResponseWriter, r *request) error {
	named, err := reference.ParseNormalizedNamed(r.name)
	if err != nil {
		return invalid(err.Error())
	}
	ref := reference.TrimNamed(named).String() // a tag in the path is ignored
	if tag := r.query.Get("tag"); tag != "" {
		tagged, err := reference.WithTag(reference.TrimNamed(named), tag)
		if err != nil {
			return invalid(err.Error())
		}
		ref = tagged.String()
	}
	var only []ocispec.Platform
	if r.version.Has(46) {
		if only, err = r.platformsJSON("platform"); err != nil {
			return err
		}
	}
	auth, _ := authconfig.Decode(r.Header.Get(registry.AuthHeader))
	out := &progressWriter{w: w, version: r.version}
	return out.end(s.o.Images.Push(r.Context(), ref, image.PushOptions{Platforms: only, Auth: auth, Progress: out.write}))
}

// imageSave sends images as a tar stream.
func (s *Server) imageSave(w http.ResponseWriter, r *request) error {
	names := r.query["names"]
	if r.name != "" {
		names = []string{r.name}
	}
	if len(names) == 0 {
		return invalid("no images to save: name some by the parameter names")
	}
	list, err := r.platforms()
	if err != nil {
		return err
	}
	ctx, cancel := s.stream(r.Context())
	defer cancel()
	return s.o.Images.Save(ctx, names, list, func() io.Writer {
		w.Header().Set("Content-Type", "application/x-tar")
		w.WriteHeader(http.StatusOK)
		return w
	})
}

// imageLoad takes images from a tar stream.
func (s *Server) imageLoad(w http.ResponseWriter, r *request) error {
	list, err := r.platforms()
	if err != nil {
		return err
	}
	ctx, cancel := s.stream(r.Context())
	defer cancel()
	// Progress is sent while the stream is read.
	_ = http.NewResponseController(w).EnableFullDuplex() // only HTTP/1 needs it
	out := &progressWriter{w: w, version: r.version}
	quiet := !r.query.Has("quiet") || r.flag("quiet") // as Docker: progress is for who asks
	return out.end(s.o.Images.Load(ctx, r.Body, image.LoadOptions{Platforms: list, Quiet: quiet, Progress: out.write}))
}

// end finishes a stream: with what failed as its last message, if it has begun.
func (p *progressWriter) end(err error) error {
	if err == nil {
		p.start()
		return nil
	}
	if !p.started {
		return err
	}
	p.write(jsonstream.Message{Error: &jsonstream.Error{Message: err.Error(), Code: errorCode(err)}})
	return err
}
