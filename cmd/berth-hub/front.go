package main

import (
	"net/http"
	"net/url"
	"os"

	"github.com/berth-engine/berth/hub/audit"
	"github.com/berth-engine/berth/hub/front"
	"github.com/berth-engine/berth/hub/token"
	"github.com/spf13/pflag"
)

// frontOptions are the flags of what every request passes first.
type frontOptions struct {
	hosts, proxies []string
	proxyHeader    string
	rate           float64
}

func (o *frontOptions) flags(f *pflag.FlagSet) {
	f.StringArrayVar(&o.hosts, "host", nil, "name by which clients call a Hub without accounts, besides addresses, localhost, this machine's name and --public-url's (repeatable)")
	f.StringArrayVar(&o.proxies, "trusted-proxy", nil, "address or network of a proxy that says for whom it asks (repeatable)")
	f.StringVar(&o.proxyHeader, "proxy-header", front.XForwardedFor, "the header in which trusted proxies say so: X-Forwarded-For or Forwarded")
	f.Float64Var(&o.rate, "rate-limit", 100, "requests a second from one address (of IPv6, one /64), and twenty times as many at once; 0 is no limit, and the machine itself has none")
}

// frontDoor is what every request passes first.
type frontDoor struct {
	names   front.Hosts
	proxies front.Proxies
	limiter *front.Limiter
}

func (o *frontOptions) frontDoor(publicURL string) (d frontDoor, err error) {
	names := o.hosts
	if u, err := url.Parse(publicURL); err == nil {
		names = append(names, u.Hostname())
	}
	if self, err := os.Hostname(); err == nil {
		names = append(names, self)
	}
	if d.names, err = front.NewHosts(names...); err != nil {
		return d, err
	}
	if d.proxies, err = front.NewProxies(o.proxies, o.proxyHeader); err != nil {
		return d, err
	}
	d.limiter, err = front.NewLimiter(o.rate, nil)
	return d, err
}

// enter lets requests in: counted, from a known address, by one of the Hub's
// names where that matters, and not too many.
func (h *hub) enter(next http.Handler) http.Handler {
	if h.catalog.Open() {
		next = h.names.Check(next)
	}
	next = h.limiter.Limit(next, h.proxies.Local, func(w http.ResponseWriter, _ *http.Request, err error) {
		token.Fail(w, http.StatusTooManyRequests, "TOOMANYREQUESTS", err.Error())
	})
	return h.from(h.meters.count(next))
}

// from remembers where each request comes from, for the logs and the limits.
func (h *hub) from(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if audit.Remote(r.Context()) == "" {
			r = r.WithContext(audit.WithRemote(r.Context(), h.proxies.Client(r)))
		}
		next.ServeHTTP(w, r)
	})
}
