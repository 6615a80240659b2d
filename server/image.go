package server

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/moby/moby/api/pkg/authconfig"
	imagetypes "github.com/moby/moby/api/types/image"
	"github.com/moby/moby/api/types/jsonstream"
	"github.com/moby/moby/api/types/registry"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/berth-engine/berth/image"
	"github.com/berth-engine/berth/server/compat"
)

// storageDriver is the name of the only storage driver.
const storageDriver = "overlayfs"

func (s *Server) imagePull(w http.ResponseWriter, r *request) error {
	name, tag := r.query.Get("fromImage"), r.query.Get("tag")
	if name == "" {
		if r.query.Get("fromSrc") == "" {
			return invalid("nothing to make an image of: name an image to pull (fromImage) or a tar to import (fromSrc)")
		}
		return s.imageImport(w, r)
	}
	ref, all, err := pullReference(strings.TrimSuffix(name, ":"), tag)
	if err != nil {
		return err
	}
	var platform *ocispec.Platform
	if r.version.Has(32) {
		if platform, err = r.platform("platform"); err != nil {
			return err
		}
	}
	// As Docker does, a header that does not decode counts as no credentials.
	auth, _ := authconfig.Decode(r.Header.Get(registry.AuthHeader))
	out := &progressWriter{w: w, version: r.version}
	o := image.PullOptions{Platform: platform, Auth: auth, Progress: out.write}
	if all {
		return out.end(s.o.Images.PullAll(r.Context(), ref, o))
	}
	return out.end(s.o.Images.Pull(r.Context(), ref, o))
}

// errorCode is what streams carry in their errors: only 401 means something to
// clients.
func errorCode(err error) int {
	if errdefs.IsUnauthorized(err) {
		return http.StatusUnauthorized
	}
	return 0
}

// pullReference joins what a client gives in two parameters; the tag may be a
// digest. Without either all tags of the repository are meant.
func pullReference(name, tag string) (ref string, all bool, err error) {
	named, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return "", false, invalid(err.Error())
	}
	if tag == "" {
		return name, reference.IsNameOnly(named), nil
	}
	if d, err := digest.Parse(tag); err == nil {
		ref, err := reference.WithDigest(reference.TrimNamed(named), d)
		if err != nil {
			return "", false, invalid(err.Error())
		}
		return ref.String(), false, nil
	}
	tagged, err := reference.WithTag(reference.TrimNamed(named), tag)
	if err != nil {
		return "", false, invalid(err.Error())
	}
	return tagged.String(), false, nil
}

// progressWriter writes a stream of progress; the first message decides that the
// answer is 200.
type progressWriter struct {
	w       http.ResponseWriter
	version compat.Version
	out     *flushWriter
	started bool
}

func (p *progressWriter) start() {
	if p.started {
		return
	}
	p.started = true
	p.w.Header().Set("Content-Type", "application/json")
	p.w.WriteHeader(http.StatusOK)
	p.out = newFlushWriter(p.w)
}

func (p *progressWriter) write(m jsonstream.Message) {
	p.start()
	line, err := json.Marshal(compat.Progress(p.version, m))
	if err != nil {
		return // no message of ours fails to encode
	}
	_, _ = p.out.Write(append(line, '\r', '\n'))
}

func (s *Server) imageList(w http.ResponseWriter, r *request) error {
	filters, err := compat.Filters(r.query.Get("filters"))
	if err != nil {
		return err
	}
	if old := r.query.Get("filter"); old != "" && !r.version.Has(25) && len(filters["reference"]) == 0 {
		filters["reference"] = map[string]bool{old: true}
	}
	if r.version.Has(54) && r.flag("identity") {
		if !r.flag("manifests") {
			return invalid("conflicting options: identity requires manifests=1")
		}
		return errdefs.ErrNotImplemented.WithMessage("identity: where an image came from is not kept; leave it out, or see /images/{name}/attestations")
	}
	list, err := s.o.Images.List(r.Context(), image.ListOptions{
		All: r.flag("all"), Digests: r.flag("digests"),
		SharedSize: r.version.Has(42) && r.flag("shared-size"),
		Manifests:  r.version.Has(47) && r.flag("manifests"),
		Filters:    filters,
	})
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, compat.ListImages(r.version, list))
	return nil
}

func (s *Server) imageInspect(w http.ResponseWriter, r *request) error {
	var o image.InspectOptions
	if r.version.Has(48) {
		o.Manifests = r.flag("manifests")
	}
	if r.version.Has(49) {
		p, err := r.platformJSON("platform")
		if err != nil {
			return err
		}
		o.Platform = p
	}
	if o.Manifests && o.Platform != nil {
		return invalid("conflicting options: manifests and platform options cannot both be set")
	}
	img, err := s.o.Images.Inspect(r.Context(), r.name, o)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, compat.InspectImage(r.version, img, storageDriver))
	return nil
}

func (s *Server) imageHistory(w http.ResponseWriter, r *request) error {
	var platform *ocispec.Platform
	if r.version.Has(48) {
		p, err := r.platformJSON("platform")
		if err != nil {
			return err
		}
		platform = p
	}
	history, err := s.o.Images.History(r.Context(), r.name, platform)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, append([]imagetypes.HistoryResponseItem{}, history...))
	return nil
}

func (s *Server) imageTag(w http.ResponseWriter, r *request) error {
	repo, tag := r.query.Get("repo"), r.query.Get("tag")
	named, err := reference.ParseNormalizedNamed(repo)
	if err != nil {
		return invalid(err.Error())
	}
	if tag != "" {
		if named, err = reference.WithTag(reference.TrimNamed(named), tag); err != nil {
			return invalid(err.Error())
		}
	}
	if _, digested := named.(reference.Digested); digested {
		return invalid("refusing to create a tag with a digest reference")
	}
	if err := s.o.Images.Tag(r.Context(), r.name, reference.TagNameOnly(named).String()); err != nil {
		return err
	}
	w.WriteHeader(http.StatusCreated)
	return nil
}

func (s *Server) imageRemove(w http.ResponseWriter, r *request) error {
	if strings.TrimSpace(r.name) == "" {
		return invalid("image name cannot be blank")
	}
	if r.version.Has(50) {
		only, err := r.platformsJSON("platforms")
		if err != nil {
			return err
		}
		if len(only) > 0 {
			removed, _, err := s.o.Images.RemovePlatforms(r.Context(), r.name, only, r.flag("force"), false)
			if err != nil {
				return err
			}
			writeJSON(w, http.StatusOK, removed)
			return nil
		}
	}
	removed, err := s.o.Images.Remove(r.Context(), r.name, r.flag("force"), !r.flag("noprune"))
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, append([]imagetypes.DeleteResponse{}, removed...))
	return nil
}
