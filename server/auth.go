package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/remotes/docker/auth"
	remoteserrors "github.com/containerd/containerd/v2/core/remotes/errors"
	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/registry"

	"github.com/berth-engine/berth/image"
)

// loginTimeout bounds a whole login.
const loginTimeout = 60 * time.Second

func (s *Server) auth(w http.ResponseWriter, r *request) error {
	var cfg registry.AuthConfig
	if err := readJSON(w, r.Request, &cfg); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), loginTimeout)
	defer cancel()
	token, err := login(ctx, s.o.Settings().Registries, cfg, "Berth/"+s.o.About.Version)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, registry.AuthResponse{Status: "Login Succeeded", IdentityToken: token})
	return nil
}

// login checks credentials against the registry they are for, and returns the
// identity token that the registry gave in exchange, if it did.
//
// Credentials travel only to that registry and to the token service it names,
// which has to be on HTTPS unless the registry itself is reached without.
func login(ctx context.Context, settings image.Registries, cfg registry.AuthConfig, agent string) (string, error) {
	name := registryHost(cfg.ServerAddress)
	host := name
	if name == "docker.io" {
		host = "registry-1.docker.io"
	}
	if u, err := url.Parse("https://" + host); err != nil || u.Host != host {
		return "", invalid(fmt.Sprintf("invalid registry address %q", cfg.ServerAddress))
	}
	home, err := settings.Home(ctx, name)
	if err != nil {
		return "", err
	}
	home.TLS.MinVersion = tls.VersionTLS12
	l := &loginTry{cfg: cfg, agent: agent, client: loginClient(home.TLS), header: home.Header}
	return l.try(ctx, home.URL.String()+"/")
}

// registryHost reduces what users and old configuration files call a registry to
// its host.
func registryHost(address string) string {
	a := strings.TrimPrefix(strings.TrimPrefix(address, "https://"), "http://")
	a, _, _ = strings.Cut(a, "/")
	switch a {
	case "", "index.docker.io", "docker.io", "registry-1.docker.io":
		return "docker.io"
	}
	return a
}

// loginClient does not follow redirects: they would carry credentials away.
func loginClient(trust *tls.Config) *http.Client {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.TLSClientConfig = trust
	t.DisableKeepAlives = true
	return &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

type loginTry struct {
	cfg    registry.AuthConfig
	agent  string
	client *http.Client
	header http.Header // for the registry alone
}

// try signs in at the registry whose API is at base.
func (l *loginTry) try(ctx context.Context, base string) (string, error) {
	resp, err := l.get(ctx, base, nil)
	if err != nil {
		return "", err
	}
	if resp.code == http.StatusOK {
		return "", nil
	}
	if resp.code != http.StatusUnauthorized {
		return "", failedLogin(base, resp.status)
	}
	for _, c := range auth.ParseAuthHeader(resp.header) {
		switch c.Scheme {
		case auth.BearerAuth:
			return l.bearer(ctx, base, c)
		case auth.BasicAuth:
			return "", l.check(ctx, base, func(r *http.Request) { r.SetBasicAuth(l.cfg.Username, l.cfg.Password) })
		default: // no registry uses another
		}
	}
	return "", failedLogin(base, resp.status)
}

// bearer exchanges the credentials for a token and shows it to the registry.
func (l *loginTry) bearer(ctx context.Context, base string, c auth.Challenge) (string, error) {
	secret := l.cfg.Password
	if l.cfg.IdentityToken != "" {
		secret = l.cfg.IdentityToken
	}
	to, err := auth.GenerateTokenOptions(ctx, base, l.cfg.Username, secret, c)
	if err != nil {
		return "", errdefs.ErrUnavailable.WithMessage(fmt.Sprintf("login attempt to %s failed: %v", base, err))
	}
	if strings.HasPrefix(base, "https://") && !strings.HasPrefix(to.Realm, "https://") {
		return "", errdefs.ErrPermissionDenied.WithMessage(fmt.Sprintf("login attempt to %s failed: it asks to send the password to %s, without TLS", base, to.Realm))
	}
	headers := http.Header{"User-Agent": {l.agent}}
	var access, refresh string
	if l.cfg.IdentityToken != "" {
		to.Username = ""
		t, err := auth.FetchTokenWithOAuth(ctx, l.client, headers, "berth", to)
		if err != nil {
			return "", tokenError(err)
		}
		access, refresh = t.AccessToken, t.RefreshToken
	} else {
		to.FetchRefreshToken = true
		t, err := auth.FetchToken(ctx, l.client, headers, to)
		if err != nil {
			return "", tokenError(err)
		}
		access, refresh = t.Token, t.RefreshToken
	}
	return refresh, l.check(ctx, base, func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+access) })
}

// check asks the registry with credentials.
func (l *loginTry) check(ctx context.Context, base string, authorize func(*http.Request)) error {
	resp, err := l.get(ctx, base, authorize)
	if err != nil {
		return err
	}
	if resp.code != http.StatusOK {
		return failedLogin(base, resp.status)
	}
	return nil
}

// headOnly is a response without its body.
type headOnly struct {
	code   int
	status string
	header http.Header
}

// get asks and throws the body away.
func (l *loginTry) get(ctx context.Context, address string, authorize func(*http.Request)) (headOnly, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return headOnly{}, err
	}
	maps.Copy(req.Header, l.header)
	req.Header.Set("User-Agent", l.agent)
	if authorize != nil {
		authorize(req)
	}
	resp, err := l.client.Do(req)
	if err != nil {
		return headOnly{}, err // a *url.Error: no answer at all
	}
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10)
	return headOnly{resp.StatusCode, resp.Status, resp.Header}, resp.Body.Close()
}

func failedLogin(base, status string) error {
	text := fmt.Sprintf("login attempt to %s failed with status: %s", base, status)
	if strings.HasPrefix(status, "401") || strings.HasPrefix(status, "403") {
		return errdefs.ErrUnauthenticated.WithMessage(text)
	}
	return errdefs.ErrInternal.WithMessage(text)
}

// tokenError is the token service's refusal.
func tokenError(err error) error {
	if unexpected, ok := errors.AsType[remoteserrors.ErrUnexpectedStatus](err); ok {
		if unexpected.StatusCode == http.StatusUnauthorized || unexpected.StatusCode == http.StatusForbidden {
			return errdefs.ErrUnauthenticated.WithMessage("unauthorized: incorrect username or password")
		}
		return errdefs.ErrInternal.WithMessage("the token service answered " + unexpected.Status)
	}
	return errdefs.ErrInternal.WithMessage(err.Error())
}
