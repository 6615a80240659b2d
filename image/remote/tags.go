package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	remoteerrors "github.com/containerd/containerd/v2/core/remotes/errors"
	containerdref "github.com/containerd/containerd/v2/pkg/reference"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
)

// Bounds on lists that a registry answers.
const (
	maxTags     = 100_000
	maxTagPages = 1000
	maxAnswer   = 16 << 20 // bytes of one page
)

// Tags lists the tags of the repository in the registry's order. The first mirror
// that can tell does, as it would resolve one.
// https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#listing-tags
func (r *Repository) Tags(ctx context.Context) ([]string, error) {
	spec, err := containerdref.Parse(r.ref.String())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", err, errdefs.ErrInvalidArgument)
	}
	if ctx, err = docker.ContextWithRepositoryScope(ctx, spec, false); err != nil {
		return nil, err
	}
	for _, mirror := range r.hosts[:len(r.hosts)-1] {
		if !mirror.Capabilities.Has(docker.HostCapabilityResolve) {
			continue
		}
		tags, err := r.tagsAt(ctx, mirror, url.Values{"ns": {reference.Domain(r.ref)}})
		if err == nil {
			return tags, nil
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
	}
	tags, err := r.tagsAt(ctx, r.origin(), nil)
	if err != nil {
		return nil, resolveError(r.ref, err, r.withheld())
	}
	return tags, nil
}

// tagsAt lists the tags that one host knows; query is what a mirror is told of the
// registry.
func (r *Repository) tagsAt(ctx context.Context, host docker.RegistryHost, query url.Values) ([]string, error) {
	next := &url.URL{
		Scheme: host.Scheme, Host: host.Host, Path: host.Path + "/" + reference.Path(r.ref) + "/tags/list", RawQuery: query.Encode(),
	}
	var tags []string
	for page := 0; next != nil; page++ {
		if page == maxTagPages || len(tags) > maxTags {
			return nil, fmt.Errorf("%s has more than %d tags: %w", r.Name(), maxTags, errdefs.ErrInvalidArgument)
		}
		var answer struct {
			Tags []string `json:"tags"`
		}
		header, err := getJSON(ctx, host, next, &answer)
		if err != nil {
			return nil, err
		}
		tags = append(tags, answer.Tags...)
		if next, err = nextPage(next, header.Get("Link")); err != nil {
			return nil, err
		}
	}
	return tags, nil
}

// nextPage reads a Link header (RFC 8288) with the relation "next". It must stay
// at the registry.
func nextPage(at *url.URL, link string) (*url.URL, error) {
	target, params, ok := strings.Cut(strings.TrimPrefix(link, "<"), ">")
	if !ok || !strings.Contains(params, "next") {
		return nil, nil
	}
	u, err := at.Parse(target)
	if err != nil {
		return nil, fmt.Errorf("next page %q: %w", target, err)
	}
	if !sameOrigin(u, at) {
		return nil, fmt.Errorf("the registry's next page is at another origin, %s: %w", u.Host, errdefs.ErrInvalidArgument)
	}
	return u, nil
}

// getJSON asks a registry, with the host's credentials where it demands some.
func getJSON(ctx context.Context, host docker.RegistryHost, u *url.URL, into any) (http.Header, error) {
	var challenges []*http.Response
	client := *host.Client
	client.CheckRedirect = func(req *http.Request, via []*http.Request) error {
		if len(via) >= 10 {
			return errors.New("stopped after 10 redirects")
		}
		return host.Authorizer.Authorize(ctx, req) // which takes away what is not for the new address
	}
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
		if err != nil {
			return nil, err
		}
		req.Header.Set("User-Agent", userAgent)
		req.Header.Set("Accept", "application/json")
		if err := host.Authorizer.Authorize(ctx, req); err != nil {
			return nil, err
		}
		resp, err := client.Do(req)
		if err != nil {
			return nil, err
		}
		if resp.StatusCode == http.StatusUnauthorized && len(challenges) < 3 {
			challenges = append(challenges, resp)
			_ = resp.Body.Close()
			if err := host.Authorizer.AddResponses(ctx, challenges); err != nil {
				return nil, err
			}
			continue
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return nil, refusal(resp)
		}
		return resp.Header, json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(into)
	}
}

// refusal is a bad answer as containerd's resolver gives it, so that the same
// words are found for it.
func refusal(resp *http.Response) error {
	err := remoteerrors.NewUnexpectedStatusErr(resp)
	if resp.StatusCode == http.StatusNotFound {
		return fmt.Errorf("%w: %w", err, errdefs.ErrNotFound)
	}
	return err
}
