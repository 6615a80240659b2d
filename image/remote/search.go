package remote

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/registry"
)

// maxTerm bounds what is searched for.
const maxTerm = 255

// Search asks a registry's index for repositories; the term may begin with the
// registry ("host:5000/term"), which else is Docker's. limit is of the number of
// results, 1 to 100. It is the search of Docker's first registry API, which
// Docker Hub, and Berth's, still answer: InvalidArgument for a bad term, errors
// without kind where a registry has no such search.
func (c *Client) Search(ctx context.Context, r Registries, term string, limit int, auth *registry.AuthConfig) ([]registry.SearchResult, error) {
	if limit < 1 || limit > 100 {
		return nil, fmt.Errorf("limit %d is outside the range of [1, 100]: %w", limit, errdefs.ErrInvalidArgument)
	}
	domain := dockerHub
	if first, rest, found := strings.Cut(term, "/"); found && (first == "localhost" || strings.ContainsAny(first, ".:")) {
		if domain, term = first, rest; domain == "index.docker.io" {
			domain = dockerHub
		}
	}
	if domain == dockerHub {
		term = strings.TrimPrefix(term, "library/")
	}
	if term == "" || len(term) > maxTerm {
		return nil, fmt.Errorf("invalid search term %q: 1 to %d characters: %w", term, maxTerm, errdefs.ErrInvalidArgument)
	}
	hosts, err := r.hosts(ctx, c, domain, auth)
	if err != nil {
		return nil, err
	}
	host := hosts[len(hosts)-1]
	u := &url.URL{Scheme: host.Scheme, Host: host.Host, Path: "/v1/search"}
	if domain == dockerHub {
		u.Host = "index.docker.io"
	}
	u.RawQuery = url.Values{"q": {term}, "n": {strconv.Itoa(limit)}}.Encode()
	if given := credentialsFor(domain, auth); given != nil && given.user != "" && given.secret != "" && domain != dockerHub {
		if err := signIn(ctx, host); err != nil {
			return nil, fmt.Errorf("search at %s: %w", domain, err)
		}
	}
	var answer registry.SearchResults
	if _, err := getJSON(ctx, host, u, &answer); err != nil {
		return nil, fmt.Errorf("search at %s: %w", domain, err)
	}
	return answer.Results[:min(len(answer.Results), limit)], nil
}

// signIn has the credentials for host go along with each request, as Basic, when
// the registry says that it wants that, as Docker's first registry API has it. An
// index that answers everybody never asks who it is, and tells less.
func signIn(ctx context.Context, host docker.RegistryHost) error {
	u := &url.URL{Scheme: host.Scheme, Host: host.Host, Path: "/v1/_ping"}
	var answer any
	header, err := getJSON(ctx, host, u, &answer)
	if alone, _ := strconv.ParseBool(header.Get("X-Docker-Registry-Standalone")); err != nil || !alone {
		return ctx.Err() // who cannot be reached is found so once more
	}
	return host.Authorizer.AddResponses(ctx, []*http.Response{{
		StatusCode: http.StatusUnauthorized, Header: http.Header{"Www-Authenticate": {"Basic"}}, Request: &http.Request{URL: u},
	}})
}
