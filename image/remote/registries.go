package remote

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/registry"
)

// Registries says how registries are reached. The zero value reaches each by
// its own name over HTTPS, and those on loopback addresses also over HTTP.
type Registries struct {
	// Mirrors are base URLs ("https://mirror.example", "http://127.0.0.1:5000")
	// tried in order before the registry itself. The key is the registry's
	// host as it stands in references: "docker.io", "quay.io", "host:5000".
	Mirrors map[string][]string
	// Insecure lists hosts ("host", "host:5000") and networks ("10.0.0.0/8")
	// whose certificates are not verified and which may answer in plain HTTP.
	Insecure []string
	// ConfigDirs hold a directory for each registry that needs more than that,
	// with a hosts.toml or with certificates; see hostDir. The first that has
	// one for a registry counts.
	ConfigDirs []string
	// Attempts is how often something is asked for that fails for reasons that
	// may pass; 0: DefaultAttempts.
	Attempts int
}

// DefaultAttempts is how often a download is tried; it is Docker's.
const DefaultAttempts = 5

// dockerHub is how references name Docker's registry; its API has another name.
const (
	dockerHub     = "docker.io"
	dockerHubHost = "registry-1.docker.io"
)

// probeTimeout bounds the question whether an insecure registry speaks TLS.
const probeTimeout = 5 * time.Second

// endpoint is one place where what a registry serves can be had.
type endpoint struct {
	url    *url.URL // with the path of its API, as "/v2"
	mirror bool     // gets no credentials and nothing is pushed to it
	can    docker.HostCapabilities
	trust  trust
	header http.Header // what the operator wants to be sent along
}

// apiHost is where a registry answers.
func apiHost(domain string) string {
	if domain == dockerHub {
		return dockerHubHost
	}
	return domain
}

const (
	canRead  = docker.HostCapabilityPull | docker.HostCapabilityResolve
	canWrite = canRead | docker.HostCapabilityPush
)

// endpoints lists where to ask for what the registry domain serves: the mirrors
// of the settings, those of its hosts.toml, then the registry itself.
func (r Registries) endpoints(ctx context.Context, domain string) ([]endpoint, error) {
	var list []endpoint
	for _, m := range r.Mirrors[domain] {
		u, err := mirrorURL(m)
		if err != nil {
			return nil, err
		}
		u.Path = strings.TrimRight(u.Path, "/") + "/v2"
		t, err := r.certificates(u.Host)
		if err != nil {
			return nil, err
		}
		t.skipVerify = t.skipVerify || r.insecure(ctx, u.Host)
		list = append(list, endpoint{url: u, mirror: true, can: canRead, trust: t})
	}
	dir, err := r.hostDir(domain)
	if err != nil {
		return nil, err
	}
	file, err := dir.hostsFile(domain)
	if err != nil {
		return nil, err
	}
	list = append(list, file...)
	if n := len(list); len(file) > 0 && !list[n-1].mirror {
		return list, nil // it names the registry itself
	}
	host := apiHost(domain)
	t, err := r.certificates(domain, host)
	if err != nil {
		return nil, err
	}
	u := &url.URL{Scheme: "https", Host: host, Path: "/v2"}
	if r.insecure(ctx, host) {
		if t.skipVerify = true; !speaksTLS(ctx, host) {
			u.Scheme = "http"
		}
	}
	return append(list, endpoint{url: u, can: canWrite, trust: t}), nil
}

// Home is where a registry itself answers, past its mirrors.
type Home struct {
	URL    *url.URL    // of its API, as "https://host:5000/v2"
	TLS    *tls.Config // what it must show, and is shown, on https
	Header http.Header // what the operator wants to be sent along to it, and to nobody else
}

// Home says how the registry that references call domain is reached. It asks an
// insecure one whether it speaks TLS. InvalidArgument for settings that cannot be
// read.
func (r Registries) Home(ctx context.Context, domain string) (Home, error) {
	list, err := r.endpoints(ctx, domain)
	if err != nil {
		return Home{}, err
	}
	e := list[len(list)-1]
	config, _, err := e.trust.config()
	if err != nil {
		return Home{}, fmt.Errorf("registry %s: %w: %w", domain, err, errdefs.ErrInvalidArgument)
	}
	return Home{e.url, config, e.header}, nil
}

// hosts opens the endpoints. Only the registry itself gets the credentials.
func (r Registries) hosts(ctx context.Context, c *Client, domain string, creds *registry.AuthConfig) ([]docker.RegistryHost, error) {
	endpoints, err := r.endpoints(ctx, domain)
	if err != nil {
		return nil, err
	}
	var list []docker.RegistryHost
	for i := range endpoints {
		e := &endpoints[i]
		transport, err := c.transport(e.trust)
		if err != nil {
			return nil, fmt.Errorf("registry %s: %w: %w", e.url.Host, err, errdefs.ErrInvalidArgument)
		}
		client := &http.Client{Transport: &patient{
			RoundTripper: transport, home: e.url, header: e.header, attempts: r.attempts(e.mirror), wait: c.wait,
		}}
		var given *credentials
		if !e.mirror {
			given = credentialsFor(domain, creds)
		}
		list = append(list, docker.RegistryHost{
			Client: client, Authorizer: newAuthorizer(client, e.url, e.trust.skipVerify, given),
			Scheme: e.url.Scheme, Host: e.url.Host, Path: e.url.Path, Capabilities: e.can,
		})
	}
	return list, nil
}

// attempts is how often a registry that is busy is asked; a mirror that is busy
// is left for the next.
func (r Registries) attempts(mirror bool) int {
	if mirror {
		return 1
	}
	return r.Tries()
}

// Tries is Attempts, or its default.
func (r Registries) Tries() int {
	if r.Attempts > 0 {
		return r.Attempts
	}
	return DefaultAttempts
}

func mirrorURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil {
		return nil, fmt.Errorf("invalid mirror: %w: %w", err, errdefs.ErrInvalidArgument)
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("invalid mirror: %q is not the base URL of a registry: %w", s, errdefs.ErrInvalidArgument)
	}
	return u, nil
}

// insecure tells whether a host may be reached without a verified certificate.
func (r Registries) insecure(ctx context.Context, host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.Trim(name, "[]")
	addr, err := netip.ParseAddr(name)
	if name == "localhost" || err == nil && addr.IsLoopback() {
		return true
	}
	var networks []netip.Prefix
	for _, entry := range r.Insecure {
		if p, err := netip.ParsePrefix(entry); err == nil {
			networks = append(networks, p)
		} else if strings.EqualFold(entry, host) || strings.EqualFold(entry, name) {
			return true
		}
	}
	if len(networks) == 0 {
		return false
	}
	addrs := []netip.Addr{addr}
	if !addr.IsValid() {
		// Docker looks the name up, too: "10.0.0.0/8" covers registry.lan.
		ctx, cancel := context.WithTimeout(ctx, probeTimeout)
		defer cancel()
		if addrs, err = net.DefaultResolver.LookupNetIP(ctx, "ip", name); err != nil {
			return false
		}
	}
	for _, a := range addrs {
		for _, n := range networks {
			if n.Contains(a.Unmap()) {
				return true
			}
		}
	}
	return false
}

// speaksTLS asks an insecure registry. One that does not answer is taken to
// speak plain HTTP, which gives the better error.
func speaksTLS(ctx context.Context, host string) bool {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	addr := host
	if _, _, err := net.SplitHostPort(host); err != nil {
		addr = net.JoinHostPort(strings.Trim(host, "[]"), "443")
	}
	u := &url.URL{Scheme: "https", Host: host, Path: "/v2/"}
	if req, err := http.NewRequestWithContext(ctx, http.MethodHead, u.String(), nil); err == nil {
		if proxy, err := http.ProxyFromEnvironment(req); err == nil && proxy != nil {
			return answersTLS(req)
		}
	}
	d := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // nothing is sent
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return false
	}
	c.Close()
	return true
}

// answersTLS asks through a proxy.
func answersTLS(req *http.Request) bool {
	t := newTransport(&tls.Config{InsecureSkipVerify: true}, 0) //nolint:gosec // nothing is sent but the question
	defer t.CloseIdleConnections()
	resp, err := t.RoundTrip(req)
	if err != nil {
		return false
	}
	resp.Body.Close()
	return true
}
