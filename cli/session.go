package cli

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/berth-engine/berth/cli/contexts"
	"github.com/berth-engine/berth/cli/opts"
	"github.com/berth-engine/berth/cli/settings"
	"github.com/berth-engine/berth/cli/stream"
	"github.com/moby/moby/client"
	"github.com/moby/term"
)

// Session is what the verbs of one command line share: the streams, the
// user's settings and the connection to the daemon, the last two made when
// first asked for.
type Session struct {
	IO    *stream.IO
	Build Build

	began  time.Time // the command
	flags  globalFlags
	host   string            // set by client
	query  map[string]string // Berth's own parameters, added to each request
	file   *settings.File
	api    *client.Client
	apiErr error
}

// globalFlags are those before the verb.
type globalFlags struct {
	configDir   string
	context     string
	hosts       opts.List
	tls         bool
	tlsVerify   bool
	caFile      string
	certFile    string
	keyFile     string
	startDaemon bool
	debug       bool
	logLevel    logLevel
}

// settings reads the user's configuration once. A broken file is reported and
// then taken for an empty one.
func (s *Session) settings() *settings.File {
	if s.file == nil {
		f, err := settings.Load(settings.Dir(s.flags.configDir))
		if err != nil {
			fmt.Fprintln(s.IO.Err, "WARNING: Error", err)
		}
		s.file = f
	}
	return s.file
}

// client connects to the daemon, and starts it first if that was asked for.
// The API version is agreed on by the first request.
func (s *Session) client(ctx context.Context) (*client.Client, error) {
	if s.api == nil && s.apiErr == nil {
		s.api, s.apiErr = s.connect(ctx)
	}
	return s.api, s.apiErr
}

// daemonAddress is where the daemon is and how to speak to it.
type daemonAddress struct {
	host string
	tls  *tls.Config // nil: plain
}

// daemonAddress says where the daemon is.
func (s *Session) daemonAddress() (*daemonAddress, error) {
	addr, name, err := chooseHost(s.flags, os.Getenv, func() string { return s.settings().CurrentContext })
	if err != nil {
		return nil, err
	}
	e := &daemonAddress{}
	if name == "" {
		e.tls, err = s.tlsConfig()
	} else {
		var c *contexts.Context
		if c, err = s.contexts().Get(name); err != nil {
			return nil, err
		}
		addr = c.Host
		e.tls, err = contextTLS(c)
	}
	if err != nil {
		return nil, err
	}
	e.host, err = parseHost(addr, e.tls != nil)
	return e, err
}

func (s *Session) contexts() *contexts.Store { return contexts.Open(settings.Dir(s.flags.configDir)) }

func (s *Session) connect(ctx context.Context) (*client.Client, error) {
	e, err := s.daemonAddress()
	if err != nil {
		return nil, err
	}
	s.host = e.host
	var set []client.Opt
	if e.tls != nil {
		set = append(set, client.WithHTTPClient(&http.Client{
			Transport:     &http.Transport{TLSClientConfig: e.tls, MaxIdleConns: 6},
			CheckRedirect: client.CheckRedirect,
		}))
	}
	if strings.HasPrefix(e.host, "ssh://") {
		t, err := parseSSH(e.host)
		if err != nil {
			return nil, err
		}
		set = append(set, client.WithHost("http://"+contextHost), client.WithDialContext(dialThrough(t)))
	} else {
		set = append(set, client.WithHost(e.host))
	}
	set = append(set,
		client.WithUserAgent("Berth-Client/"+s.Build.Version+" ("+runtime.GOOS+")"),
		client.WithAPIVersionFromEnv(),
	)
	if s.flags.debug || s.flags.logLevel.debug() {
		set = append(set, client.WithHTTPResponseHook(func(r *http.Response) {
			fmt.Fprintf(s.IO.Err, "DEBUG: %s %s: %s\n", r.Request.Method, r.Request.URL.RequestURI(), r.Status)
		}))
	}
	set = append(set, client.WithHTTPRequestHook(func(r *http.Request) error {
		if len(s.query) == 0 {
			return nil
		}
		q := r.URL.Query()
		for name, value := range s.query {
			q.Set(name, value)
		}
		r.URL.RawQuery = q.Encode()
		return nil
	}))
	set = append(set, s.tracing()...)
	if h := s.settings().HTTPHeaders; len(h) > 0 {
		set = append(set, client.WithHTTPHeaders(h))
	}
	api, err := client.New(set...)
	if err != nil {
		return nil, err
	}
	if start, err := s.wantsDaemon(); err != nil {
		return nil, err
	} else if start {
		if err := s.startDaemon(ctx); err != nil {
			return nil, err
		}
	}
	return api, nil
}

// contextHost stands in requests for the host that ssh leads to.
const contextHost = "api.invalid"

// contextTLS is nil for a context without certificates.
func contextTLS(c *contexts.Context) (*tls.Config, error) {
	if c.TLS.Empty() && !c.SkipVerify {
		return nil, nil
	}
	t := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: c.SkipVerify}
	if c.TLS.CA != nil {
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(c.TLS.CA) {
			return nil, fmt.Errorf("context %q: failed to append certificates from its ca.pem", c.Name)
		}
	}
	if c.TLS.Cert != nil || c.TLS.Key != nil {
		pair, err := tls.X509KeyPair(c.TLS.Cert, c.TLS.Key)
		if err != nil {
			return nil, fmt.Errorf("context %q: could not load X509 key pair: %w", c.Name, err)
		}
		t.Certificates = []tls.Certificate{pair}
	}
	return t, nil
}

func (s *Session) close() {
	if s.api != nil {
		_ = s.api.Close()
	}
}

// tlsConfig is nil for a plain connection. --tls encrypts without checking
// the server, --tlsverify and DOCKER_TLS_VERIFY check it.
func (s *Session) tlsConfig() (*tls.Config, error) {
	f := s.flags
	verify := f.tlsVerify || os.Getenv("DOCKER_TLS_VERIFY") != ""
	if !verify && !f.tls && os.Getenv("DOCKER_TLS") == "" {
		return nil, nil
	}
	dir := os.Getenv("DOCKER_CERT_PATH")
	if dir == "" {
		dir = settings.Dir(f.configDir)
	}
	path := func(flag, name string) string {
		if flag != "" {
			return flag
		}
		return filepath.Join(dir, name)
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: !verify}
	if verify {
		name := path(f.caFile, "ca.pem")
		pem, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("could not read CA certificate %q: %w", name, err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("failed to append certificates from PEM file: %q", name)
		}
	}
	cert, err := tls.LoadX509KeyPair(path(f.certFile, "cert.pem"), path(f.keyFile, "key.pem"))
	switch {
	case err == nil:
		c.Certificates = []tls.Certificate{cert}
	case !errors.Is(err, os.ErrNotExist) || f.certFile != "" || f.keyFile != "":
		return nil, fmt.Errorf("could not load X509 key pair: %w. Make sure the key is not encrypted", err)
	}
	return c, nil
}

// detachKeys is the flag's value or the user's setting, and an error if that is no
// sequence of keys: the engine's word on it would come when something was made.
func (s *Session) detachKeys(flag string) (string, error) {
	keys := cmp.Or(flag, s.settings().DetachKeys)
	if _, err := term.ToBytes(keys); keys != "" && err != nil {
		return "", fmt.Errorf("invalid detach keys %q: they are letters and ctrl-LETTER (also ctrl-@, ctrl-[, ctrl-\\, ctrl-], ctrl-^, ctrl-_) and DEL with commas between, as ctrl-p,ctrl-q", keys)
	}
	return keys, nil
}
