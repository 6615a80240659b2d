package registry

import (
	"encoding/json"
	"net/http"

	"github.com/berth-engine/berth/hub/catalog"
	"github.com/berth-engine/berth/hub/status"
	"github.com/berth-engine/berth/hub/token"
	"github.com/containerd/errdefs"
	"github.com/distribution/distribution/v3/registry/api/errcode"
	"github.com/distribution/distribution/v3/registry/auth"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// referrers answers GET /v2/NAME/referrers/DIGEST: the manifests whose subject
// the digest is, whether or not that is there.
func (r *Registry) referrers(w http.ResponseWriter, req *http.Request, name, subject string) {
	w.Header().Set("Docker-Distribution-API-Version", "registry/2.0")
	if req.Method != http.MethodGet && req.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		token.Fail(w, http.StatusMethodNotAllowed, "UNSUPPORTED", "referrers can only be listed")
		return
	}
	if err := catalog.ValidName(name); err != nil {
		token.Fail(w, http.StatusBadRequest, "NAME_INVALID", err.Error())
		return
	}
	if err := digest.Digest(subject).Validate(); err != nil {
		token.Fail(w, http.StatusBadRequest, "DIGEST_INVALID", err.Error())
		return
	}
	_, err := controller{r}.Authorized(req, auth.Access{Resource: auth.Resource{Type: "repository", Name: name}, Action: "pull"})
	if refusal, ok := err.(*challenge); ok { //nolint:errorlint // Authorized returns it as it is
		refusal.SetHeaders(req, w)
		_ = errcode.ServeJSON(w, errcode.ErrorCodeUnauthorized) // dropped when SetHeaders has answered
		return
	}
	var list []catalog.Manifest
	artifactType := req.URL.Query().Get("artifactType")
	found, _, err := r.o.Catalog.Find(req.Context(), requestOf(req.Context()).identity.Principal, name)
	if err == nil {
		list, err = r.o.Catalog.Referrers(req.Context(), found, subject, artifactType)
	}
	// A repository that does not exist yet has no referrers; 404 would say that the
	// Hub does not know this part of the protocol.
	if status.Of(err) == status.Gone {
		w.WriteHeader(status.Gone)
		return
	}
	if err != nil && !errdefs.IsNotFound(err) {
		r.o.Log.ErrorContext(req.Context(), "registry: referrers", "error", err)
		token.Fail(w, http.StatusInternalServerError, "UNKNOWN", "the Hub failed; its log says why")
		return
	}
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{}}
	for _, m := range list {
		d := ocispec.Descriptor{MediaType: m.MediaType, Digest: digest.Digest(m.Digest), Size: m.Size, ArtifactType: m.ArtifactType}
		if m.Annotations != "" {
			if err := json.Unmarshal([]byte(m.Annotations), &d.Annotations); err != nil {
				r.o.Log.ErrorContext(req.Context(), "registry: annotations", "digest", m.Digest, "error", err)
			}
		}
		index.Manifests = append(index.Manifests, d)
	}
	w.Header().Set("Content-Type", ocispec.MediaTypeImageIndex)
	if artifactType != "" {
		w.Header().Set("OCI-Filters-Applied", "artifactType")
	}
	_ = json.NewEncoder(w).Encode(index) // the client may have gone
}
