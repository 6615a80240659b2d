package plugin

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"time"

	"github.com/containerd/errdefs"
)

// mediaType is the version of the protocol that is spoken.
const mediaType = "application/vnd.docker.plugins.v1.2+json"

const (
	callTime  = 2 * time.Minute       // of one call, where the context has no end
	retryTime = 30 * time.Second      // for a plugin that does not listen, as it is being restarted
	retryGap  = 50 * time.Millisecond // the first; doubled each time
	maxAnswer = 16 << 20              // bytes of an answer
)

// Plugin is one that is active. Its methods may be called from several
// goroutines.
type Plugin struct {
	name       string
	from       string
	addr       string
	base       string // of the URL
	http       *http.Client
	implements []string
}

// Name is the plugin's name.
func (p *Plugin) Name() string { return p.name }

// Addr is where the plugin listens.
func (p *Plugin) Addr() string { return p.addr }

// From is the socket or spec file by which the plugin was found.
func (p *Plugin) From() string { return p.from }

// Implements are the plugin's capabilities.
func (p *Plugin) Implements() []string { return slices.Clone(p.implements) }

// open prepares connections to a plugin.
func open(name string, a address) (*Plugin, error) {
	u, err := url.Parse(a.Addr)
	if err != nil {
		return nil, fmt.Errorf("plugin %s: %w: %w", name, err, errdefs.ErrInvalidArgument)
	}
	transport := &http.Transport{MaxIdleConnsPerHost: 4, IdleConnTimeout: time.Minute}
	p := &Plugin{name: name, from: a.From, addr: a.Addr, http: &http.Client{
		Transport: transport,
		// A plugin answers itself; what it is told is for nobody else.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	dialer := &net.Dialer{}
	switch u.Scheme {
	case "unix":
		path := u.Host + u.Path
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) { return dialer.DialContext(ctx, "unix", path) }
		p.base = "http://plugin"
	case "tcp", "http", "https":
		p.base = "http://" + u.Host
		if u.Scheme == "https" || a.TLS != nil {
			p.base = "https://" + u.Host
			if transport.TLSClientConfig, err = a.TLS.config(); err != nil {
				return nil, fmt.Errorf("plugin %s: %w", name, err)
			}
		}
	default:
		return nil, fmt.Errorf("plugin %s: protocol %q: want unix, tcp, http or https: %w", name, u.Scheme, errdefs.ErrInvalidArgument)
	}
	return p, nil
}

func (t *TLSConfig) config() (*tls.Config, error) {
	if t == nil {
		return &tls.Config{MinVersion: tls.VersionTLS12}, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: t.InsecureSkipVerify} //nolint:gosec // the administrator says so
	if t.CAFile != "" {
		pem, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, err
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no certificate: %w", t.CAFile, errdefs.ErrInvalidArgument)
		}
	}
	if t.CertFile != "" || t.KeyFile != "" {
		cert, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
		if err != nil {
			return nil, err
		}
		c.Certificates = []tls.Certificate{cert}
	}
	return c, nil
}

// activate asks the plugin what it implements.
func (p *Plugin) activate(ctx context.Context) error {
	var answer struct{ Implements []string }
	if err := p.Call(ctx, "Plugin.Activate", nil, &answer); err != nil {
		return fmt.Errorf("activate plugin %s: %w", p.name, err)
	}
	p.implements = answer.Implements
	return nil
}

// Call calls a method, such as "VolumeDriver.Mount", with args as JSON (nil:
// nothing) and decodes the answer into ret (nil: it is not looked at). While
// nobody listens it tries again, for half a minute or until ctx ends. An error
// that the plugin gives by a status other than 200 has its words and no kind;
// errors in an answer's own field Err are the caller's to look at.
func (p *Plugin) Call(ctx context.Context, method string, args, ret any) error {
	body := []byte{}
	if args != nil {
		var err error
		if body, err = json.Marshal(args); err != nil {
			return err
		}
	}
	if _, has := ctx.Deadline(); !has {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, callTime)
		defer cancel()
	}
	began := time.Now()
	for gap := retryGap; ; gap *= 2 {
		err := p.once(ctx, method, body, ret)
		var op *net.OpError
		if err == nil || !errors.As(err, &op) || op.Op != "dial" || time.Since(began)+gap > retryTime {
			return err
		}
		t := time.NewTimer(gap)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return errors.Join(err, context.Cause(ctx))
		}
	}
}

func (p *Plugin) once(ctx context.Context, method string, body []byte, ret any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.base+"/"+method, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Accept", mediaType)
	req.Header.Set("Content-Type", mediaType)
	resp, err := p.http.Do(req)
	if err != nil {
		return fmt.Errorf("plugin %s: %s: %w", p.name, method, err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return fmt.Errorf("plugin %s: %s: %w", p.name, method, err)
	}
	if len(data) > maxAnswer {
		return fmt.Errorf("plugin %s: %s: the answer is larger than %d bytes: %w", p.name, method, maxAnswer, errdefs.ErrResourceExhausted)
	}
	if resp.StatusCode != http.StatusOK {
		return &CallError{Plugin: p.name, Method: method, Status: resp.StatusCode, Text: errorText(data)}
	}
	if ret == nil || len(bytes.TrimSpace(data)) == 0 {
		return nil
	}
	if err := json.Unmarshal(data, ret); err != nil {
		return fmt.Errorf("plugin %s: %s: %w", p.name, method, err)
	}
	return nil
}

// CallError is what a plugin answers to a call that it cannot carry out.
type CallError struct {
	Plugin, Method string
	Status         int
	Text           string
}

func (e *CallError) Error() string {
	return fmt.Sprintf("plugin %s: %s: %s", e.Plugin, e.Method, e.Text)
}

// Missing tells whether the plugin does not know the method.
func (e *CallError) Missing() bool { return e.Status == http.StatusNotFound }

func errorText(data []byte) string {
	var answer struct{ Err string }
	if json.Unmarshal(data, &answer) == nil && answer.Err != "" {
		return answer.Err
	}
	return string(bytes.TrimSpace(data[:min(len(data), 1024)]))
}
