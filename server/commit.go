package server

import (
	"net/http"

	"github.com/distribution/reference"
	"github.com/moby/moby/api/types/container"

	engine "github.com/berth-engine/berth/container"
)

// commit makes an image of a container. The body, which may be absent or null,
// is what the image is to say.
func (s *Server) commit(w http.ResponseWriter, r *request) error {
	o := engine.CommitOptions{
		Author: r.query.Get("author"), Comment: r.query.Get("comment"), Changes: r.query["changes"],
		Pause: r.query.Get("pause") == "" || r.flag("pause"),
	}
	var err error
	if o.Name, err = newName(r.query.Get("repo"), r.query.Get("tag")); err != nil {
		return err
	}
	if err := readJSON(w, r.Request, &o.Config); err != nil {
		return err
	}
	id, err := s.o.Containers.Commit(r.Context(), r.query.Get("container"), o)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusCreated, container.CommitResponse{ID: id})
	return nil
}

// newName joins the two parameters by which an image is given a name; without a
// repository it gets none.
func newName(repo, tag string) (string, error) {
	if repo == "" {
		return "", nil
	}
	named, err := reference.ParseNormalizedNamed(repo)
	if err != nil {
		return "", invalid(err.Error())
	}
	if _, digested := named.(reference.Digested); digested {
		return "", invalid("cannot import digest reference")
	}
	if tag != "" {
		if named, err = reference.WithTag(reference.TrimNamed(named), tag); err != nil {
			return "", invalid(err.Error())
		}
	}
	return reference.FamiliarString(reference.TagNameOnly(named)), nil
}
