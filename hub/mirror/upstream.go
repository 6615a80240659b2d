package mirror

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/berth-engine/berth/hub/outbound"
	"github.com/containerd/errdefs"
)

const (
	maxRedirects = 5
	maxToken     = 1 << 20 // bytes of a token server's answer
	maxPatience  = 24 * time.Hour
	// tokenLife is how long a token without expires_in is good (Docker's specification).
	tokenLife = 60 * time.Second
)

// upstream calls one registry.
type upstream struct {
	mirror   Mirror
	base     *url.URL
	password string
	client   *http.Client
	life     context.Context //nolint:containedctx // of downloads, which outlive the client that caused them
	end      context.CancelFunc

	mu      sync.Mutex
	tokens  map[string]granted // by repository
	basic   bool               // the registry wants the password itself
	until   time.Time          // it wants to be left alone
	flights map[string]*flight
}

type granted struct {
	value   string
	expires time.Time
}

func newUpstream(m Mirror, password string, o Options) (*upstream, error) {
	base, err := url.Parse(m.Upstream)
	if err != nil {
		return nil, err
	}
	transport := o.Policy.Transport()
	if o.RootCAs != nil {
		transport.TLSClientConfig = &tls.Config{RootCAs: o.RootCAs, MinVersion: tls.VersionTLS12}
	}
	u := &upstream{
		mirror: m, base: base, password: password, tokens: map[string]granted{}, flights: map[string]*flight{},
		client: &http.Client{Transport: transport, CheckRedirect: outbound.NoRedirect},
	}
	u.life, u.end = context.WithCancel(context.Background())
	return u, nil
}

func (u *upstream) close() {
	u.end()
	u.client.CloseIdleConnections()
}

// Busy is the error of an upstream that wants to be left alone.
type Busy struct{ Until time.Time }

func (b Busy) Error() string {
	return "the upstream registry asks for patience until " + b.Until.UTC().Format(time.RFC3339)
}

// RetryAt is Until, for the answer's Retry-After.
func (b Busy) RetryAt() time.Time { return b.Until }

// Unwrap gives its kind.
func (Busy) Unwrap() error { return errdefs.ErrResourceExhausted }

// get asks for a path (with its query) of a repository, with a token when one is wanted, and
// follows redirects without it. The caller closes the body of the answer, whose
// status is 200.
func (u *upstream) get(ctx context.Context, method, repository, path string, accept []string) (*http.Response, error) {
	u.mu.Lock()
	until := u.until
	u.mu.Unlock()
	if time.Now().Before(until) {
		return nil, Busy{until}
	}
	path, query, _ := strings.Cut(path, "?")
	target := u.base.JoinPath("v2", repository, path)
	target.RawQuery = query
	resp, err := u.try(ctx, method, target, repository, accept)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusUnauthorized {
		challenge := resp.Header.Get("WWW-Authenticate")
		resp.Body.Close()
		if err := u.answer(ctx, repository, challenge); err != nil {
			return nil, err
		}
		if resp, err = u.try(ctx, method, target, repository, accept); err != nil {
			return nil, err
		}
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer resp.Body.Close()
	switch code := resp.StatusCode; {
	case code == http.StatusTooManyRequests, code == http.StatusServiceUnavailable && resp.Header.Get("Retry-After") != "":
		until := time.Now().Add(max(outbound.RetryAfter(resp.Header, time.Now(), maxPatience), time.Second))
		if resp.Header.Get("Retry-After") == "" {
			until = time.Now().Add(time.Minute)
		}
		u.mu.Lock()
		u.until = until
		u.mu.Unlock()
		return nil, Busy{until}
	case code == http.StatusNotFound, code == http.StatusForbidden, code == http.StatusUnauthorized:
		return nil, fmt.Errorf("the upstream registry answered %s for %s: %w", resp.Status, repository, errdefs.ErrNotFound)
	default:
		return nil, fmt.Errorf("the upstream registry answered %s: %w", resp.Status, errdefs.ErrUnavailable)
	}
}

// try makes one request and follows its redirects.
func (u *upstream) try(ctx context.Context, method string, target *url.URL, repository string, accept []string) (*http.Response, error) {
	for range maxRedirects + 1 {
		req, err := http.NewRequestWithContext(ctx, method, target.String(), nil)
		if err != nil {
			return nil, err
		}
		req.Header.Set("User-Agent", "berth-hub")
		for _, a := range accept {
			req.Header.Add("Accept", a)
		}
		if target.Scheme == u.base.Scheme && target.Host == u.base.Host {
			u.authorise(req, repository)
		}
		resp, err := u.client.Do(req)
		if err != nil {
			return nil, fmt.Errorf("the upstream registry: %w", unavailable(err))
		}
		location := resp.Header.Get("Location")
		if resp.StatusCode/100 != 3 || location == "" {
			return resp, nil
		}
		resp.Body.Close()
		next, err := target.Parse(location)
		if err != nil || next.Host == "" || next.Scheme != "https" && (next.Scheme != "http" || target.Scheme != "http") {
			return nil, fmt.Errorf("the upstream registry leads to %q, which is not followed: %w", location, errdefs.ErrUnavailable)
		}
		next.User = nil
		target = next
	}
	return nil, fmt.Errorf("the upstream registry leads on and on: %w", errdefs.ErrUnavailable)
}

// unavailable keeps a refusal by the policy, which is for the administrator.
func unavailable(err error) error {
	if errdefs.IsPermissionDenied(err) {
		return err
	}
	return fmt.Errorf("%w: %w", errdefs.ErrUnavailable, err)
}

func (u *upstream) authorise(req *http.Request, repository string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.basic {
		req.SetBasicAuth(u.mirror.Username, u.password)
		return
	}
	if t := u.tokens[repository]; t.value != "" && time.Now().Before(t.expires) {
		req.Header.Set("Authorization", "Bearer "+t.value)
	}
}

// answer does what a challenge asks for: remembers that the password itself is
// wanted, or gets a token.
func (u *upstream) answer(ctx context.Context, repository, challenge string) error {
	scheme, rest, _ := strings.Cut(challenge, " ")
	switch strings.ToLower(scheme) {
	case "basic":
		if u.password == "" || u.base.Scheme != "https" {
			return fmt.Errorf("the upstream registry wants a password: %w", errdefs.ErrNotFound)
		}
		u.mu.Lock()
		u.basic = true
		u.mu.Unlock()
		return nil
	case "bearer":
		return u.fetchToken(ctx, repository, parameters(rest))
	}
	return fmt.Errorf("the upstream registry asks for %q, which is not known: %w", scheme, errdefs.ErrUnavailable)
}

// fetchToken asks the token server. It gets the credentials only when it is the
// upstream itself or was named with it.
func (u *upstream) fetchToken(ctx context.Context, repository string, p map[string]string) error {
	realm, err := url.Parse(p["realm"])
	if err != nil || realm.Host == "" || realm.User != nil || realm.Scheme != "https" && (realm.Scheme != "http" || u.base.Scheme != "http") {
		return fmt.Errorf("the upstream registry names the token server %q: %w", p["realm"], errdefs.ErrUnavailable)
	}
	query := realm.Query()
	if p["service"] != "" {
		query.Set("service", p["service"])
	}
	query.Set("scope", "repository:"+repository+":pull") // ours, whatever it asks for
	realm.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, realm.String(), nil)
	if err != nil {
		return err
	}
	req.Header.Set("User-Agent", "berth-hub")
	trusted := realm.Host == u.base.Host || slices.Contains(u.mirror.AuthHosts, realm.Host)
	if u.password != "" && trusted && realm.Scheme == "https" {
		req.SetBasicAuth(u.mirror.Username, u.password)
	}
	resp, err := u.client.Do(req)
	if err != nil {
		return fmt.Errorf("the upstream's token server: %w", unavailable(err))
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden {
		return fmt.Errorf("the upstream's token server refused: %s: %w", resp.Status, errdefs.ErrNotFound)
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the upstream's token server answered %s: %w", resp.Status, errdefs.ErrUnavailable)
	}
	var t struct {
		Token       string `json:"token"`
		AccessToken string `json:"access_token"`
		ExpiresIn   int64  `json:"expires_in"`
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxToken)).Decode(&t); err != nil || t.Token == "" && t.AccessToken == "" {
		return fmt.Errorf("the upstream's token server sent no token: %w", errdefs.ErrUnavailable)
	}
	life := tokenLife
	if t.ExpiresIn > 0 {
		life = min(time.Duration(t.ExpiresIn)*time.Second, time.Hour)
	}
	if t.Token == "" {
		t.Token = t.AccessToken
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.tokens) > 1000 {
		clear(u.tokens)
	}
	u.tokens[repository] = granted{value: t.Token, expires: time.Now().Add(life * 9 / 10)}
	return nil
}

// parameters reads key="value", … of a challenge.
func parameters(s string) map[string]string {
	p := map[string]string{}
	for s != "" {
		key, rest, ok := strings.Cut(s, "=")
		if !ok {
			break
		}
		var value string
		if quoted, is := strings.CutPrefix(rest, `"`); is {
			if value, rest, ok = strings.Cut(quoted, `"`); !ok {
				break
			}
			_, rest, _ = strings.Cut(rest, ",")
		} else {
			value, rest, _ = strings.Cut(rest, ",")
		}
		p[strings.ToLower(strings.TrimSpace(key))] = value
		s = rest
	}
	return p
}
