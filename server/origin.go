package server

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
)

type connKey struct{}

// withConn keeps a request's connection in its context.
func withConn(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

// checkOrigin refuses what a browser sends on behalf of a foreign page, to
// listeners that a browser can reach: a request with a foreign Origin, and,
// against DNS rebinding, one whose Host is a name this daemon does not have.
// Clients that showed a certificate may use any Host.
func (s *Server) checkOrigin(r *http.Request) error {
	c, _ := r.Context().Value(connKey{}).(net.Conn)
	if tc, ok := c.(*tls.Conn); ok {
		c = tc.NetConn()
	}
	if _, ok := c.(*net.UnixConn); ok {
		return nil
	}
	if o := r.Header.Get("Origin"); o != "" {
		if u, err := url.Parse(o); err != nil || u.Host != r.Host {
			return errdefs.ErrPermissionDenied.WithMessage("request from the web page " + o + " refused: the engine's API is not for browsers")
		}
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "cross-site", "same-site":
		return errdefs.ErrPermissionDenied.WithMessage("request from another web page refused: the engine's API is not for browsers")
	}
	if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
		return nil
	}
	if !s.knownHost(r.Host) {
		return errdefs.ErrPermissionDenied.WithMessage("request for host " + r.Host + " refused: this daemon has no such name (use its IP address, its host name, or --tlsverify)")
	}
	return nil
}

// knownHost says whether a Host header cannot be a name that somebody else
// points at this machine. Public names have a dot.
func (s *Server) knownHost(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	if _, err := netip.ParseAddr(host); err == nil || !strings.Contains(host, ".") {
		return true
	}
	return strings.HasSuffix(host, ".localhost") || slices.ContainsFunc(s.o.Hostnames, func(n string) bool { return strings.EqualFold(n, host) })
}
