// Package front is what every request passes before the Hub looks at it: the
// name by which it calls the Hub, the address that it comes from, and how many
// of those came before.
package front

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
)

// Hosts are the names by which clients may call a Hub that asks nobody who they
// are. On such a Hub a page of another site could have its own name lead to
// 127.0.0.1 once it is loaded (DNS rebinding), and then do everything that the
// browser's owner may: its requests are of one origin, the page's. They carry
// the page's name, which is none of these.
type Hosts struct{ names []string }

// NewHosts makes the list of a Hub's names, without ports; empty ones are left
// out. Addresses and localhost are always among them: a page cannot have them
// as its name unless it came from there.
func NewHosts(names ...string) (Hosts, error) {
	var h Hosts
	for _, n := range names {
		if n == "" {
			continue
		}
		if strings.ContainsAny(n, "/:@ *") {
			return Hosts{}, fmt.Errorf("%q is not a host's name: give it without a scheme and a port: %w", n, errdefs.ErrInvalidArgument)
		}
		h.names = append(h.names, canonical(n))
	}
	return h, nil
}

func canonical(host string) string { return strings.TrimSuffix(strings.ToLower(host), ".") }

// Allows reports whether a Host header, with or without a port, is one of the
// Hub's names.
func (h Hosts) Allows(header string) bool {
	name := header
	if host, _, err := net.SplitHostPort(header); err == nil {
		name = host
	}
	name = canonical(strings.TrimSuffix(strings.TrimPrefix(name, "["), "]"))
	if _, err := netip.ParseAddr(name); err == nil {
		return true
	}
	return name == "localhost" || strings.HasSuffix(name, ".localhost") || slices.Contains(h.names, name)
}

// Check refuses requests by other names, with 421.
func (h Hosts) Check(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !h.Allows(r.Host) {
			http.Error(w, fmt.Sprintf("this Hub asks nobody to sign in, and is not called %q: use its address or localhost, or start it with --host NAME", r.Host), http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}
