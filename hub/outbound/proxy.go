package outbound

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"time"
)

// Proxy is an HTTP proxy on loopback through which a program that the Hub
// executes (git) is held to the Policy, too. Only who knows its password, which
// is part of URL, may use it. Close it when the program has ended.
type Proxy struct {
	// URL is what the program gets as its http_proxy.
	URL string

	policy   Policy
	most     int64 // bytes
	password string
	server   *http.Server
	tunnels  sync.WaitGroup
	ctx      context.Context //nolint:containedctx // the life of the tunnels, ended by Close
	cancel   context.CancelFunc
	ended    chan struct{}
}

// NewProxy listens on a free port of 127.0.0.1. An answer, or all that comes
// through a tunnel, is broken off after most bytes.
func NewProxy(ctx context.Context, policy Policy, most int64) (*Proxy, error) {
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{policy: policy, most: most, password: rand.Text(), ended: make(chan struct{})}
	p.ctx, p.cancel = context.WithCancel(ctx)
	p.URL = (&url.URL{Scheme: "http", User: url.UserPassword("hub", p.password), Host: l.Addr().String()}).String()
	p.server = &http.Server{Handler: p, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		defer close(p.ended)
		_ = p.server.Serve(l) // it ends by Close
	}()
	return p, nil
}

// Close ends the proxy and its tunnels.
func (p *Proxy) Close() error {
	p.cancel()
	err := p.server.Close()
	<-p.ended
	p.tunnels.Wait()
	return err
}

func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	want := "Basic " + base64.StdEncoding.EncodeToString([]byte("hub:"+p.password))
	if subtle.ConstantTimeCompare([]byte(r.Header.Get("Proxy-Authorization")), []byte(want)) != 1 {
		w.Header().Set("Proxy-Authenticate", `Basic realm="berth-hub"`)
		http.Error(w, "this proxy is the Hub's own", http.StatusProxyAuthRequired)
		return
	}
	if r.Method == http.MethodConnect {
		p.tunnel(w, r)
		return
	}
	if r.URL.Scheme != "http" {
		http.Error(w, "only http and https are called", http.StatusBadRequest)
		return
	}
	transport := p.policy.Transport()
	defer transport.CloseIdleConnections()
	(&httputil.ReverseProxy{
		Rewrite: func(pr *httputil.ProxyRequest) { pr.Out.Header.Del("Proxy-Authorization") }, Transport: transport,
		ErrorLog: log.New(io.Discard, "", 0), // the program that asked says what went wrong
		ModifyResponse: func(r *http.Response) error {
			r.Body = http.MaxBytesReader(nil, r.Body, p.most)
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			http.Error(w, err.Error(), http.StatusBadGateway)
		},
	}).ServeHTTP(w, r)
}

// tunnel joins the client to the host that it wants to speak TLS with.
func (p *Proxy) tunnel(w http.ResponseWriter, r *http.Request) {
	upstream, err := p.policy.Dial(r.Context(), "tcp", r.Host)
	if err != nil {
		http.Error(w, strings.TrimSpace(err.Error()), http.StatusBadGateway)
		return
	}
	defer upstream.Close()
	p.tunnels.Add(1)
	defer p.tunnels.Done()
	client, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer client.Close()
	stop := context.AfterFunc(p.ctx, func() { _ = errors.Join(client.Close(), upstream.Close()) })
	defer stop()
	if _, err := io.WriteString(client, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		return
	}
	var there sync.WaitGroup
	there.Go(func() {
		_, _ = io.Copy(upstream, buffered) // ends with either side
		if tcp, ok := upstream.(*net.TCPConn); ok {
			_ = tcp.CloseWrite()
		}
	})
	_, _ = io.CopyN(client, upstream, p.most)
	_ = errors.Join(client.Close(), upstream.Close())
	there.Wait()
}
