package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/berth-engine/berth/hub/account"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Part is an image that an index has for a platform.
type Part struct {
	Platform ocispec.Platform
	Digest   digest.Digest // of a manifest, or of an index whose parts are taken
}

// Index makes one image for several platforms of images that a repository has,
// under tags, as somebody who pushes would, and returns its digest.
func (r *Registry) Index(ctx context.Context, by account.Principal, repository string, parts []Part, tags []string) (digest.Digest, error) {
	as := inside{r.As(by), repository}
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex}
	for _, p := range parts {
		list, err := as.descriptors(ctx, p)
		if err != nil {
			return "", err
		}
		index.Manifests = append(index.Manifests, list...)
	}
	body, err := json.Marshal(index)
	if err != nil {
		return "", err
	}
	for _, tag := range tags {
		if _, err := as.do(ctx, http.MethodPut, tag, index.MediaType, body); err != nil {
			return "", err
		}
	}
	return digest.FromBytes(body), nil
}

// inside asks for a repository's manifests without a network.
type inside struct {
	registry   http.Handler
	repository string
}

func (i inside) do(ctx context.Context, method, reference, mediaType string, body []byte) (*http.Response, error) {
	req := httptest.NewRequestWithContext(ctx, method, "http://localhost/v2/"+i.repository+"/manifests/"+reference, bytes.NewReader(body))
	req.Header.Set("Content-Type", mediaType)
	for _, accept := range []string{
		ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageIndex,
		"application/vnd.docker.distribution.manifest.v2+json", "application/vnd.docker.distribution.manifest.list.v2+json",
	} {
		req.Header.Add("Accept", accept)
	}
	w := httptest.NewRecorder()
	i.registry.ServeHTTP(w, req)
	resp := w.Result()
	if resp.StatusCode/100 == 2 {
		return resp, nil
	}
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	return nil, fmt.Errorf("%s %s:%s: %s: %s: %w", method, i.repository, reference, resp.Status, strings.TrimSpace(string(text)), errdefs.ErrUnknown)
}

// descriptors are what an index says of a part.
func (i inside) descriptors(ctx context.Context, p Part) ([]ocispec.Descriptor, error) {
	resp, err := i.do(ctx, http.MethodGet, p.Digest.String(), "", nil)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	mediaType := resp.Header.Get("Content-Type")
	var nested ocispec.Index
	if err := json.Unmarshal(body, &nested); err != nil {
		return nil, fmt.Errorf("manifest %s: %w", p.Digest, err)
	}
	if len(nested.Manifests) > 0 { // with attestations, which say themselves of what
		return nested.Manifests, nil
	}
	return []ocispec.Descriptor{{MediaType: mediaType, Digest: p.Digest, Size: int64(len(body)), Platform: &p.Platform}}, nil
}
