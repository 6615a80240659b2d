// Package outbound is the one door through which the Hub calls others:
// webhooks, upstream registries, Git repositories. What is called comes from
// users, so an address that belongs to the Hub's own surroundings (loopback,
// private networks, link-local with its cloud metadata, and their IPv6
// disguises) is refused unless the administrator allowed it. The address is
// judged after resolution, on the socket that is about to connect, so that a
// name which changes between two look-ups gains nothing. No proxy of the
// environment is used: it would resolve names out of our sight.
package outbound

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"github.com/containerd/errdefs"
)

// refused are the networks that are nobody's business outside, from the
// special-purpose registries of IANA (RFC 6890).
var refused = prefixes(
	"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
	"192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15",
	"198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
	"::/96", "::ffff:0:0:0/96", "100::/64", "2001::/23", "2001:db8::/32", "3fff::/20", "5f00::/16", "fc00::/7", "fe80::/10",
	"fec0::/10", "ff00::/8",
)

// carriers are IPv6 networks whose addresses hold an IPv4 address, which a
// translator or tunnel on the way would reach: the offset is where it begins.
var carriers = []struct {
	prefix netip.Prefix
	offset int
}{
	{netip.MustParsePrefix("64:ff9b::/96"), 12}, // NAT64 (RFC 6052)
	{netip.MustParsePrefix("2002::/16"), 2},     // 6to4 (RFC 3056)
}

// localNAT64 is the prefix that RFC 8215 leaves to a site's own translation:
// where the IPv4 address begins is the site's secret.
var localNAT64 = netip.MustParsePrefix("64:ff9b:1::/48")

func prefixes(list ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(list))
	for i, s := range list {
		out[i] = netip.MustParsePrefix(s)
	}
	return out
}

// Policy says which addresses may be called. The zero Policy allows public
// ones only.
type Policy struct {
	// Allow are networks that may be called although they are not public.
	Allow []netip.Prefix
}

// ParsePolicy reads the networks of --allow-private-outbound: addresses or
// prefixes. An empty list is the zero Policy.
func ParsePolicy(list []string) (Policy, error) {
	var p Policy
	for _, s := range list {
		prefix, err := netip.ParsePrefix(s)
		if err != nil {
			addr, e := netip.ParseAddr(s)
			if e != nil {
				return Policy{}, fmt.Errorf("%q is no network such as 10.0.0.0/8, and no address: %w", s, errdefs.ErrInvalidArgument)
			}
			prefix = netip.PrefixFrom(addr, addr.BitLen())
		}
		p.Allow = append(p.Allow, prefix.Masked())
	}
	return p, nil
}

// Check returns ErrPermissionDenied for an address that must not be called.
func (p Policy) Check(addr netip.Addr) error {
	addr = addr.Unmap().WithZone("")
	within := func(prefix netip.Prefix) bool { return prefix.Contains(addr) }
	if slices.ContainsFunc(p.Allow, within) {
		return nil
	}
	for _, c := range carriers {
		if c.prefix.Contains(addr) {
			b := addr.As16()
			return p.Check(netip.AddrFrom4([4]byte(b[c.offset : c.offset+4])))
		}
	}
	if !addr.IsValid() || localNAT64.Contains(addr) || slices.ContainsFunc(refused, within) {
		return fmt.Errorf("%s is not a public address; the Hub's administrator may allow it (--allow-private-outbound): %w", addr, errdefs.ErrPermissionDenied)
	}
	return nil
}

// control refuses a socket just before it connects, when its peer is known.
func (p Policy) control(_, address string, _ syscall.RawConn) error {
	peer, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%s: %w", address, errdefs.ErrPermissionDenied)
	}
	return p.Check(peer.Addr())
}

// Dial connects by TCP; it is what every client and proxy here uses.
func (p Policy) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	switch network {
	case "tcp", "tcp4", "tcp6":
	default:
		return nil, fmt.Errorf("%s is not called: %w", network, errdefs.ErrPermissionDenied)
	}
	d := net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second, Control: p.control}
	return d.DialContext(ctx, network, address)
}

// Transport makes connections by Dial and bounds what a server may make wait
// or send as headers. Close its idle connections when done.
func (p Policy) Transport() *http.Transport {
	return &http.Transport{
		DialContext: p.Dial, ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 4, IdleConnTimeout: time.Minute,
		TLSHandshakeTimeout: 10 * time.Second, ResponseHeaderTimeout: 30 * time.Second,
		ExpectContinueTimeout: time.Second, MaxResponseHeaderBytes: 64 << 10,
	}
}

// NoRedirect makes a client answer a redirect instead of following it: whoever
// follows decides anew what may be sent along.
func NoRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
