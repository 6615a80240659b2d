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
}

// dockerHub is how references name Docker's registry; its API has another name.
const (
	dockerHub     = "docker.io"
	dockerHubHost = "registry-1.docker.io"
)

// stall is how long a connection may stay silent in the middle of a transfer.
const stall = 2 * time.Minute

// probeTimeout bounds the question whether an insecure registry speaks TLS.
const probeTimeout = 5 * time.Second

func newTransport(t *tls.Config) *http.Transport {
	dialer := net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := dialer.DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			return watchedConn{c}, nil
		},
		TLSClientConfig:       t,
		ForceAttemptHTTP2:     true,
		MaxIdleConnsPerHost:   8,
		IdleConnTimeout:       30 * time.Second,
		TLSHandshakeTimeout:   10 * time.Second,
		ResponseHeaderTimeout: 30 * time.Second,
		ExpectContinueTimeout: 5 * time.Second,
	}
}

// watchedConn fails a read that gets nothing for too long, so that a registry
// that stops sending does not hold a pull for ever.
type watchedConn struct{ net.Conn }

func (c watchedConn) Read(p []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(stall)); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

// hosts lists where to ask for what the registry domain serves: its mirrors,
// then itself. Only the last gets the credentials.
func (r Registries) hosts(ctx context.Context, c *Client, domain string, creds *registry.AuthConfig) ([]docker.RegistryHost, error) {
	var list []docker.RegistryHost
	for _, m := range r.Mirrors[domain] {
		u, err := mirrorURL(m)
		if err != nil {
			return nil, err
		}
		client := c.of(r.insecure(ctx, u.Host))
		list = append(list, docker.RegistryHost{
			Client: client, Authorizer: newAuthorizer(client, nil, nil),
			Scheme: u.Scheme, Host: u.Host, Path: strings.TrimRight(u.Path, "/") + "/v2",
			Capabilities: docker.HostCapabilityPull | docker.HostCapabilityResolve,
		})
	}
	host, scheme := domain, "https"
	if domain == dockerHub {
		host = dockerHubHost
	}
	insecure := r.insecure(ctx, host)
	if insecure && !speaksTLS(ctx, host) {
		scheme = "http"
	}
	client := c.of(insecure)
	origin := &url.URL{Scheme: scheme, Host: host}
	return append(list, docker.RegistryHost{
		Client: client, Authorizer: newAuthorizer(client, origin, credentialsFor(domain, creds)),
		Scheme: scheme, Host: host, Path: "/v2",
		Capabilities: docker.HostCapabilityPull | docker.HostCapabilityResolve | docker.HostCapabilityPush,
	}), nil
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
	d := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // nothing is sent
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return false
	}
	c.Close()
	return true
}
