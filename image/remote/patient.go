package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/containerd/errdefs"
)

// maxPause is how long a registry may have us wait. One that names a longer time
// is not asked again: the user hears of the time instead.
const maxPause = 2 * time.Minute

// patient asks again when a registry is busy, after the time that it names or
// ever longer ones, and tells of it (Notify). It also adds the operator's
// headers, which go to the host they are for alone and not where it redirects.
type patient struct {
	http.RoundTripper
	home     *url.URL
	header   http.Header
	attempts int
	wait     func(ctx context.Context, d time.Duration) error
}

// BusyError is the error of a registry that takes no more requests for now, in most
// cases because its user has used up what is allowed. It is Unavailable.
type BusyError struct {
	Host   string
	Status string        // as "429 Too Many Requests"
	Wait   time.Duration // until it may be asked again; 0: it does not say
	Says   string        // its own words; may be empty
	Limit  string        // what it allows, as "100 in 6h0m0s"; may be empty
}

// Error begins as Docker's text does.
func (b *BusyError) Error() string {
	text := "toomanyrequests: " + first(b.Says, b.Host+" answers "+b.Status)
	if b.Limit != "" {
		text += "; it allows " + b.Limit
	}
	if b.Wait > 0 {
		text += "; try again in " + b.Wait.String()
	}
	return text
}

// Unwrap gives the kind.
func (b *BusyError) Unwrap() error { return errdefs.ErrUnavailable }

// RoundTrip implements http.RoundTripper.
func (p *patient) RoundTrip(req *http.Request) (*http.Response, error) {
	if len(p.header) > 0 && sameOrigin(req.URL, p.home) {
		req = req.Clone(req.Context())
		maps.Copy(req.Header, p.header)
	}
	ctx := req.Context()
	for n := 1; ; n++ {
		resp, err := p.RoundTripper.RoundTrip(req)
		if err != nil {
			return nil, err
		}
		limit := readLimit(resp.Header)
		after, named := retryAfter(resp.Header)
		if resp.StatusCode != http.StatusTooManyRequests && (resp.StatusCode != http.StatusServiceUnavailable || !named) {
			if limit.low() {
				notice(ctx, fmt.Sprintf("%s allows %s; %d are left", req.URL.Host, limit, limit.left))
			}
			return resp, nil
		}
		busy := &BusyError{Host: req.URL.Host, Status: resp.Status, Wait: after, Says: saying(resp)}
		if limit.of > 0 {
			busy.Limit = limit.String()
		}
		pause := after
		if !named {
			pause = time.Second << (n - 1)
		}
		if n >= p.attempts || pause > maxPause || req.Body != nil && req.GetBody == nil {
			return nil, busy
		}
		notice(ctx, fmt.Sprintf("%s is busy (%s): retrying in %s", req.URL.Host, resp.Status, pause))
		if err := p.wait(ctx, pause); err != nil {
			return nil, errors.Join(err, busy)
		}
		if req, err = again(req); err != nil {
			return nil, err
		}
	}
}

// again makes a request that can be sent once more.
func again(req *http.Request) (*http.Request, error) {
	next := req.Clone(req.Context())
	if req.GetBody != nil {
		body, err := req.GetBody()
		if err != nil {
			return nil, err
		}
		next.Body = body
	}
	return next, nil
}

// retryAfter reads how long a registry wants to be left alone: Retry-After, as
// seconds or a date (RFC 9110, section 10.2.3), or the reset of its limit.
func retryAfter(h http.Header) (time.Duration, bool) {
	for _, name := range []string{"Retry-After", "RateLimit-Reset"} {
		text := h.Get(name)
		if n, err := strconv.ParseUint(text, 10, 31); err == nil {
			return time.Duration(n) * time.Second, true
		}
		if t, err := http.ParseTime(text); err == nil {
			return max(time.Until(t), 0).Round(time.Second), true
		}
	}
	return 0, false
}

// saying takes the registry's own words out of an answer, and ends it.
func saying(resp *http.Response) string {
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, 8<<10))
	if err != nil {
		return ""
	}
	return firstMessage(data)
}

// Wait returns after d, or when ctx ends.
func Wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
