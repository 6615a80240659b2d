package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime"

	"github.com/berth-engine/berth/cli/opts"
	"github.com/berth-engine/berth/cli/settings"
	"github.com/berth-engine/berth/cli/stream"
	"github.com/moby/moby/client"
)

// Session is what the verbs of one command line share: the streams, the
// user's settings and the connection to the daemon, the last two made when
// first asked for.
type Session struct {
	IO    *stream.IO
	Build Build

	flags  globalFlags
	host   string // set by client
	file   *settings.File
	api    *client.Client
	apiErr error
}

// globalFlags are those before the verb.
type globalFlags struct {
	configDir   string
	hosts       opts.List
	tls         bool
	tlsVerify   bool
	caFile      string
	certFile    string
	keyFile     string
	startDaemon bool
	debug       bool
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

func (s *Session) connect(ctx context.Context) (*client.Client, error) {
	tlsConfig, err := s.tlsConfig()
	if err != nil {
		return nil, err
	}
	if s.host, err = chooseHost(s.flags.hosts.Values, tlsConfig != nil, os.Getenv); err != nil {
		return nil, err
	}
	var set []client.Opt
	if tlsConfig != nil {
		set = append(set, client.WithHTTPClient(&http.Client{
			Transport:     &http.Transport{TLSClientConfig: tlsConfig, MaxIdleConns: 6},
			CheckRedirect: client.CheckRedirect,
		}))
	}
	set = append(set,
		client.WithHost(s.host),
		client.WithUserAgent("Berth-Client/"+s.Build.Version+" ("+runtime.GOOS+")"),
		client.WithAPIVersionFromEnv(),
	)
	if s.flags.debug {
		set = append(set, client.WithHTTPResponseHook(func(r *http.Response) {
			fmt.Fprintf(s.IO.Err, "DEBUG: %s %s: %s\n", r.Request.Method, r.Request.URL.RequestURI(), r.Status)
		}))
	}
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

// detachKeys is the flag's value or the user's setting.
func (s *Session) detachKeys(flag string) string {
	if flag != "" {
		return flag
	}
	return s.settings().DetachKeys
}
