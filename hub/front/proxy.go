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

// The headers in which proxies say whom they speak for.
const (
	XForwardedFor = "X-Forwarded-For"
	Forwarded     = "Forwarded" // RFC 7239
)

// Proxies are whom the Hub believes when they say for whom they ask.
type Proxies struct {
	trusted []netip.Prefix
	header  string
}

// NewProxies reads networks or addresses of proxies, and the one header that
// they set ("" is X-Forwarded-For): believing both would let a client write the
// other.
func NewProxies(list []string, header string) (Proxies, error) {
	if header == "" {
		header = XForwardedFor
	}
	p := Proxies{header: http.CanonicalHeaderKey(header)}
	if p.header != XForwardedFor && p.header != Forwarded {
		return Proxies{}, fmt.Errorf("proxies say whom they speak for by %s or %s, not by %q: %w", XForwardedFor, Forwarded, header, errdefs.ErrInvalidArgument)
	}
	for _, text := range list {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			addr, e := netip.ParseAddr(text)
			if e != nil {
				return Proxies{}, fmt.Errorf("trusted proxy %q: give an address, or a network such as 10.0.0.0/8: %w", text, errdefs.ErrInvalidArgument)
			}
			prefix = netip.PrefixFrom(addr, addr.BitLen())
		}
		if prefix.Bits() == 0 {
			return Proxies{}, fmt.Errorf("trusted proxy %q: that is everybody, who could then be anybody: %w", text, errdefs.ErrInvalidArgument)
		}
		p.trusted = append(p.trusted, prefix.Masked())
	}
	return p, nil
}

func (p Proxies) trusts(addr netip.Addr) bool {
	return slices.ContainsFunc(p.trusted, func(n netip.Prefix) bool { return n.Contains(addr) })
}

// maxHops bounds how many proxies in a row are looked at.
const maxHops = 32

// Client is the address that a request comes from: of its connection or, when
// that is a trusted proxy's, the last one in the proxy's header that is not a
// trusted proxy's as well. What stands before that, anybody may have written.
func (p Proxies) Client(r *http.Request) string {
	peer := host(r.RemoteAddr)
	addr, err := netip.ParseAddr(peer)
	if err != nil {
		return peer
	}
	addr = addr.Unmap().WithZone("")
	if len(p.trusted) == 0 {
		return addr.String()
	}
	hops := p.hops(r.Header)
	for range maxHops {
		if !p.trusts(addr) || len(hops) == 0 {
			break
		}
		next, err := netip.ParseAddr(hops[len(hops)-1])
		if err != nil { // "unknown", or a name that the proxy hides it behind
			break
		}
		addr, hops = next.Unmap().WithZone(""), hops[:len(hops)-1]
	}
	return addr.String()
}

// hops are the addresses in the header, the nearest last.
func (p Proxies) hops(h http.Header) []string {
	var list []string
	for _, line := range h.Values(p.header) {
		for part := range strings.SplitSeq(line, ",") {
			if p.header == Forwarded {
				part = forwardedFor(part)
			}
			list = append(list, bare(strings.TrimSpace(part)))
		}
	}
	return list
}

// forwardedFor is the for= of one element of a Forwarded header.
func forwardedFor(element string) string {
	for pair := range strings.SplitSeq(element, ";") {
		key, value, _ := strings.Cut(pair, "=")
		if strings.EqualFold(strings.TrimSpace(key), "for") {
			return strings.Trim(strings.TrimSpace(value), `"`)
		}
	}
	return ""
}

// bare is an address without port and brackets.
func bare(s string) string {
	if h, _, err := net.SplitHostPort(s); err == nil {
		return h
	}
	return strings.TrimSuffix(strings.TrimPrefix(s, "["), "]")
}

func host(address string) string {
	if h, _, err := net.SplitHostPort(address); err == nil {
		return h
	}
	return address
}

// Local reports whether a request comes from the machine itself and for itself:
// not through a proxy there that nobody said is one, nor from a page whose name
// leads there.
func (p Proxies) Local(r *http.Request) bool {
	addr, err := netip.ParseAddr(p.Client(r))
	if err != nil || !addr.IsLoopback() || !(Hosts{}).Allows(r.Host) {
		return false
	}
	forwarded := r.Header.Get(XForwardedFor) != "" || r.Header.Get(Forwarded) != ""
	return !forwarded || len(p.trusted) > 0
}
