package remote

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/core/remotes/docker/auth"
	"github.com/containerd/errdefs"
)

// bound lies below a client that answers a registry's challenges by itself with
// what a user gave for the registry, as BuildKit does, and keeps it to the rules of
// authorizer: a token server of another site is asked without credentials, here,
// and the client does not hear of it; one of the same site is not told what scope
// the registry would like; and what is led elsewhere takes no credentials along.
type bound struct {
	http.RoundTripper
	origin    *url.URL
	anonymous *authorizer

	mu     sync.Mutex
	realms map[string]bool // token servers that may see the credentials
}

func newBound(next http.RoundTripper, origin *url.URL, insecure bool) *bound {
	return &bound{
		RoundTripper: next, origin: origin, realms: map[string]bool{},
		anonymous: newAuthorizer(&http.Client{Transport: next}, origin, insecure, nil),
	}
}

// place is where a token server is, without what is asked of it.
func place(u *url.URL) string { return u.Scheme + "://" + u.Host + u.Path }

// RoundTrip implements http.RoundTripper.
func (b *bound) RoundTrip(req *http.Request) (*http.Response, error) {
	if !sameOrigin(req.URL, b.origin) {
		return b.elsewhere(req)
	}
	resp, err := b.RoundTripper.RoundTrip(req)
	if err != nil || resp.StatusCode != http.StatusUnauthorized {
		return resp, err
	}
	for _, c := range auth.ParseAuthHeader(resp.Header) {
		if c.Scheme != auth.BearerAuth {
			continue
		}
		realm, err := url.Parse(c.Parameters["realm"])
		if err != nil || !sameSite(realm, b.origin) {
			return b.withoutCredentials(req, resp, c.Parameters["realm"])
		}
		b.mu.Lock()
		b.realms[place(realm)] = true
		b.mu.Unlock()
		if !sameOrigin(realm, b.origin) {
			return withoutScope([]*http.Response{resp}, c)[0], nil
		}
	}
	return resp, nil
}

// elsewhere is a request to another origin: of a token, or where the registry
// redirects.
func (b *bound) elsewhere(req *http.Request) (*http.Response, error) {
	b.mu.Lock()
	token := b.realms[place(req.URL)]
	b.mu.Unlock()
	if token {
		return b.RoundTripper.RoundTrip(req)
	}
	if err := b.anonymous.leaves(req.URL); err != nil {
		closeBody(req)
		return nil, err
	}
	if req.Header.Get("Authorization") != "" {
		req = req.Clone(req.Context())
		req.Header.Del("Authorization")
	}
	return b.RoundTripper.RoundTrip(req)
}

// withoutCredentials repeats a request with the token that anybody gets from a
// token server of another site.
func (b *bound) withoutCredentials(req *http.Request, resp *http.Response, server string) (*http.Response, error) {
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	resp.Body.Close()
	refused := fmt.Errorf("%s wants a token of another site, %s, which is not given the credentials: %w", b.origin.Host, server, errdefs.ErrPermissionDenied)
	ctx := req.Context()
	again := req.Clone(ctx)
	again.Header.Del("Authorization")
	if req.Body != nil && req.Body != http.NoBody {
		if req.GetBody == nil {
			return nil, refused
		}
		body, err := req.GetBody()
		if err != nil {
			return nil, err
		}
		again.Body = body
	}
	if err := b.anonymous.AddResponses(ctx, []*http.Response{resp}); err != nil {
		closeBody(again)
		return nil, fmt.Errorf("%w: %w", refused, err)
	}
	if err := b.anonymous.Authorize(ctx, again); err != nil {
		closeBody(again)
		return nil, fmt.Errorf("%w: %w", refused, err)
	}
	answer, err := b.RoundTripper.RoundTrip(again)
	if err == nil && answer.StatusCode == http.StatusUnauthorized {
		answer.Body.Close()
		return nil, refused
	}
	return answer, err
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		req.Body.Close()
	}
}

// bind puts bound below the clients of hosts.
func bind(hosts []docker.RegistryHost) []docker.RegistryHost {
	for i := range hosts {
		h := &hosts[i]
		origin := &url.URL{Scheme: h.Scheme, Host: h.Host}
		lax := false
		if a, ok := h.Authorizer.(*authorizer); ok {
			lax = a.lax
		}
		h.Client = &http.Client{Transport: newBound(h.Client.Transport, origin, lax), CheckRedirect: h.Client.CheckRedirect}
	}
	return hosts
}
