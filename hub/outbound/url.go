package outbound

import (
	"fmt"
	"net/netip"
	"net/url"
	"strings"

	"github.com/containerd/errdefs"
)

// ParseURL reads an address that a user gave for the Hub to call. It must be
// http or https with a host and without credentials (they would end up in logs
// and lists), and a literal address must be one that may be called. A name is
// judged when it is called.
func (p Policy) ParseURL(s string) (*url.URL, error) {
	if len(s) > 2048 {
		return nil, fmt.Errorf("the address has more than 2048 characters: %w", errdefs.ErrInvalidArgument)
	}
	u, err := url.Parse(s)
	if err != nil {
		return nil, fmt.Errorf("%q is no address: %w", s, errdefs.ErrInvalidArgument)
	}
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("%q: the address must begin with https:// or http://: %w", s, errdefs.ErrInvalidArgument)
	case u.Hostname() == "":
		return nil, fmt.Errorf("%q has no host: %w", s, errdefs.ErrInvalidArgument)
	case u.User != nil:
		return nil, fmt.Errorf("the address must not hold credentials: %w", errdefs.ErrInvalidArgument)
	case u.Fragment != "":
		return nil, fmt.Errorf("%q: the address must not have a fragment: %w", s, errdefs.ErrInvalidArgument)
	}
	if addr, err := netip.ParseAddr(u.Hostname()); err == nil {
		if err := p.Check(addr); err != nil {
			return nil, err
		}
	}
	if h := strings.TrimSuffix(strings.ToLower(u.Hostname()), "."); h == "localhost" || strings.HasSuffix(h, ".localhost") {
		if err := p.Check(netip.AddrFrom4([4]byte{127, 0, 0, 1})); err != nil {
			return nil, err
		}
	}
	return u, nil
}
