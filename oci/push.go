package oci

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errhttp"
)

// Remote is a repository in a registry, to which Push sends.
type Remote struct {
	// Client sends the requests; nil means http.DefaultClient.
	Client *http.Client
	// Registry is scheme and authority, such as http://127.0.0.1:5000.
	Registry string
	// Repository is the name without a tag, such as library/hello-world.
	Repository string
}

// Push sends what of the image the registry does not have, then tags its root
// (distribution-spec, "Push"). A status that is not success becomes an error of
// the kind that the status stands for.
func (r Remote) Push(ctx context.Context, image Image, tag string) error {
	for _, b := range image.Blobs {
		if err := r.pushBlob(ctx, b); err != nil {
			return fmt.Errorf("push blob %s to %s: %w", b.Descriptor.Digest, r.Repository, err)
		}
	}
	for _, m := range image.Manifests {
		name := m.Descriptor.Digest.String()
		if m.Descriptor.Digest == image.Root().Descriptor.Digest {
			name = tag
		}
		header := http.Header{"Content-Type": {m.Descriptor.MediaType}}
		resp, err := r.do(ctx, http.MethodPut, r.url("manifests/"+name), m.Data, header)
		if err != nil {
			return fmt.Errorf("push manifest %s to %s: %w", name, r.Repository, err)
		}
		resp.Body.Close()
	}
	return nil
}

// Has tells whether the tag exists and names this digest.
func (r Remote) Has(ctx context.Context, b Blob, tag string) (bool, error) {
	header := http.Header{"Accept": {b.Descriptor.MediaType}}
	resp, err := r.do(ctx, http.MethodHead, r.url("manifests/"+tag), nil, header)
	if errdefs.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	resp.Body.Close()
	return resp.Header.Get("Docker-Content-Digest") == b.Descriptor.Digest.String(), nil
}

func (r Remote) pushBlob(ctx context.Context, b Blob) error {
	resp, err := r.do(ctx, http.MethodHead, r.url("blobs/"+b.Descriptor.Digest.String()), nil, nil)
	if err == nil {
		return resp.Body.Close()
	}
	if !errdefs.IsNotFound(err) {
		return err
	}
	if resp, err = r.do(ctx, http.MethodPost, r.url("blobs/uploads/"), nil, nil); err != nil {
		return err
	}
	resp.Body.Close()
	base, err := url.Parse(r.Registry)
	if err != nil {
		return err
	}
	location, err := base.Parse(resp.Header.Get("Location"))
	if err != nil {
		return err
	}
	query := location.Query()
	query.Set("digest", b.Descriptor.Digest.String())
	location.RawQuery = query.Encode()
	header := http.Header{"Content-Type": {"application/octet-stream"}}
	if resp, err = r.do(ctx, http.MethodPut, location.String(), b.Data, header); err != nil {
		return err
	}
	return resp.Body.Close()
}

func (r Remote) url(path string) string {
	return strings.TrimSuffix(r.Registry, "/") + "/v2/" + r.Repository + "/" + path
}

// do sends one request; the caller closes the body of the response.
func (r Remote) do(ctx context.Context, method, target string, body []byte, header http.Header) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	maps.Copy(req.Header, header)
	client := r.Client
	if client == nil {
		client = http.DefaultClient
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		defer resp.Body.Close()
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 4096))
		return nil, fmt.Errorf("%s %s: %s %s: %w", method, target, resp.Status, bytes.TrimSpace(text), errhttp.ToNative(resp.StatusCode))
	}
	return resp, nil
}
