package remote

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/core/remotes/docker/auth"
	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/registry"
	"golang.org/x/net/publicsuffix"
)

// credentials are what a user gave for one registry.
type credentials struct {
	user, secret string // user "" : secret is an identity (refresh) token
	bearer       string // sent as it is, instead
}

// credentialsFor takes from an AuthConfig what may be used with the registry
// domain: nothing, if the config says it is for another one.
func credentialsFor(domain string, a *registry.AuthConfig) *credentials {
	if a == nil {
		return nil
	}
	if server := serverDomain(a.ServerAddress); server != "" && server != domain {
		return nil
	}
	c := &credentials{user: a.Username, secret: a.Password, bearer: a.RegistryToken}
	if c.user == "" && c.secret == "" && a.Auth != "" {
		if plain, err := base64.StdEncoding.DecodeString(a.Auth); err == nil {
			c.user, c.secret, _ = strings.Cut(string(plain), ":")
		}
	}
	if a.IdentityToken != "" {
		c.user, c.secret = "", a.IdentityToken
	}
	if c.secret == "" && c.bearer == "" {
		return nil
	}
	return c
}

// serverDomain turns the key of a client's config, such as
// "https://index.docker.io/v1/", into the domain used in references.
func serverDomain(address string) string {
	s := strings.TrimPrefix(strings.TrimPrefix(address, "https://"), "http://")
	s, _, _ = strings.Cut(s, "/")
	switch s {
	case "index.docker.io", dockerHubHost:
		return dockerHub
	}
	return s
}

// authorizer answers the challenges of one registry. It is two of containerd's:
// one with the credentials, which sees only challenges of the registry itself
// that name a token server of its site; and one without for everything else, so
// that a foreign challenge gets at most an anonymous token.
type authorizer struct {
	origin    *url.URL // the registry or mirror
	lax       bool     // a plain connection is as good as its own
	bearer    string
	trusted   docker.Authorizer // nil: there are no credentials
	anonymous docker.Authorizer
	withheld  atomic.Pointer[string] // token server that was not given the credentials
}

func newAuthorizer(client *http.Client, origin *url.URL, insecure bool, c *credentials) *authorizer {
	bound := &http.Client{Transport: client.Transport, CheckRedirect: sameOriginOnly}
	a := &authorizer{
		origin: origin, lax: insecure || origin.Scheme == "http",
		anonymous: docker.NewDockerAuthorizer(docker.WithAuthClient(bound)),
	}
	if c == nil {
		return a
	}
	a.bearer = c.bearer
	if c.secret != "" {
		a.trusted = docker.NewDockerAuthorizer(docker.WithAuthClient(bound), docker.WithAuthCreds(func(host string) (string, string, error) {
			if !strings.EqualFold(host, origin.Host) {
				return "", "", nil
			}
			return c.user, c.secret, nil
		}))
	}
	return a
}

// sameOriginOnly keeps a token request, which carries a password, from being
// repeated elsewhere.
func sameOriginOnly(req *http.Request, via []*http.Request) error {
	if len(via) >= 5 {
		return errors.New("stopped after 5 redirects")
	}
	if !sameOrigin(req.URL, via[0].URL) {
		return fmt.Errorf("token server redirects to another origin, %s", req.URL.Host)
	}
	return nil
}

// Authorize implements docker.Authorizer.
func (a *authorizer) Authorize(ctx context.Context, req *http.Request) error {
	if !sameOrigin(req.URL, a.origin) {
		if err := a.leaves(req.URL); err != nil {
			return err
		}
		// Where a redirect leads, net/http may have copied the header to.
		req.Header.Del("Authorization")
		return a.anonymous.Authorize(ctx, req)
	}
	if a.bearer != "" {
		req.Header.Set("Authorization", "Bearer "+a.bearer)
		return nil
	}
	if err := a.anonymous.Authorize(ctx, req); err != nil {
		return err
	}
	if a.trusted != nil {
		return a.trusted.Authorize(ctx, req)
	}
	return nil
}

// leaves refuses redirects to where anybody could answer in the registry's name,
// and to services of this host that only it may ask.
func (a *authorizer) leaves(to *url.URL) error {
	if !a.lax && to.Scheme != "https" {
		return fmt.Errorf("%s redirects from HTTPS to plain HTTP, to %s: %w", a.origin.Host, to.Host, errdefs.ErrPermissionDenied)
	}
	if isLocal(to.Hostname()) && !isLocal(a.origin.Hostname()) {
		return fmt.Errorf("%s redirects to this host, to %s: %w", a.origin.Host, to.Host, errdefs.ErrPermissionDenied)
	}
	return nil
}

// AddResponses implements docker.Authorizer.
func (a *authorizer) AddResponses(ctx context.Context, responses []*http.Response) error {
	last := responses[len(responses)-1]
	for _, c := range auth.ParseAuthHeader(last.Header) {
		if realm, err := url.Parse(c.Parameters["realm"]); err == nil && c.Scheme == auth.BearerAuth && isLocal(realm.Hostname()) && !isLocal(last.Request.URL.Hostname()) {
			// It would be told what a service of this host answers.
			return fmt.Errorf("%s names a token server on this host, %s: %w", last.Request.URL.Host, realm.Host, docker.ErrInvalidAuthorization)
		}
	}
	if a.trusted == nil || !sameOrigin(last.Request.URL, a.origin) {
		return a.anonymous.AddResponses(ctx, responses)
	}
	for _, c := range auth.ParseAuthHeader(last.Header) {
		if c.Scheme != auth.BearerAuth {
			continue
		}
		realm, err := url.Parse(c.Parameters["realm"])
		if err != nil || !sameSite(realm, a.origin) {
			server := c.Parameters["realm"]
			a.withheld.Store(&server)
			return a.anonymous.AddResponses(ctx, responses)
		}
		if !sameOrigin(realm, a.origin) {
			responses = withoutScope(responses, c)
		}
	}
	return a.trusted.AddResponses(ctx, responses)
}

// withoutScope takes from a challenge what the registry would have the token be
// good for: then it is the repository that is used, and no more. A token server
// that serves several registries would else give one of them, with the user's
// password, a token for another's repositories.
func withoutScope(responses []*http.Response, c auth.Challenge) []*http.Response {
	last := *responses[len(responses)-1]
	last.Header = last.Header.Clone()
	delete(c.Parameters, "scope")
	var params []string
	for name, value := range c.Parameters {
		params = append(params, fmt.Sprintf("%s=%q", name, value))
	}
	last.Header.Set("WWW-Authenticate", "Bearer "+strings.Join(params, ","))
	return append(slices.Clone(responses[:len(responses)-1]), &last)
}

func sameOrigin(a, b *url.URL) bool {
	return a.Scheme == b.Scheme &&
		strings.EqualFold(a.Hostname(), b.Hostname()) && port(a) == port(b)
}

// sameSite tells whether a token server may see the credentials of a registry:
// it is the same origin, or both are reached over HTTPS at the standard port
// and their names belong to one owner, as auth.docker.io and
// registry-1.docker.io do.
func sameSite(realm, origin *url.URL) bool {
	if sameOrigin(realm, origin) {
		return true
	}
	if realm.Scheme != "https" || origin.Scheme != "https" || port(realm) != "443" || port(origin) != "443" {
		return false
	}
	a, b := strings.ToLower(realm.Hostname()), strings.ToLower(origin.Hostname())
	if net.ParseIP(a) != nil || net.ParseIP(b) != nil {
		return a == b
	}
	ownerA, errA := publicsuffix.EffectiveTLDPlusOne(a)
	ownerB, errB := publicsuffix.EffectiveTLDPlusOne(b)
	return errA == nil && errB == nil && ownerA == ownerB
}

// isLocal tells whether a host is this machine or one of its link, where clouds
// have their metadata services.
func isLocal(host string) bool {
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return host == "localhost" || strings.HasSuffix(host, ".localhost")
	}
	addr = addr.Unmap()
	return addr.IsLoopback() || addr.IsLinkLocalUnicast() || addr.IsUnspecified()
}

func port(u *url.URL) string {
	if p := u.Port(); p != "" {
		return p
	}
	if u.Scheme == "http" {
		return "80"
	}
	return "443"
}
