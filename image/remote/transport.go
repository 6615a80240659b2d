package remote

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"
)

// stall is how long a connection may stay silent in the middle of a transfer.
const stall = 2 * time.Minute

// dialTime is how long a connection may take to be made, unless a hosts.toml
// says otherwise.
const dialTime = 30 * time.Second

// maxTransports bounds how many sets of certificates are remembered: every
// change of a file makes a new one.
const maxTransports = 64

// trust is whom a connection is made to, and as whom.
type trust struct {
	authorities []string    // files of certificates, beside those of the system
	identities  [][2]string // files of a client certificate and its key
	skipVerify  bool
	dialTime    time.Duration // 0: dialTime
}

// transport gives the connections for what is trusted. The files are read at
// each call, so that renewed certificates count at once.
func (c *Client) transport(t trust) (*http.Transport, error) {
	config, key, err := t.config()
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if known := c.transports[key]; known != nil {
		return known, nil
	}
	if len(c.transports) >= maxTransports {
		for key, old := range c.transports {
			old.CloseIdleConnections()
			delete(c.transports, key)
		}
	}
	made := newTransport(config, t.dialTime)
	c.transports[key] = made
	return made, nil
}

// config reads the files, and gives them a key that differs when they do.
func (t trust) config() (*tls.Config, string, error) {
	config := &tls.Config{InsecureSkipVerify: t.skipVerify} //nolint:gosec // only for registries that the operator named insecure, and loopback
	sum := sha256.New()
	fmt.Fprintln(sum, t.skipVerify, t.dialTime)
	if len(t.authorities) > 0 {
		pool, err := x509.SystemCertPool()
		if err != nil {
			return nil, "", fmt.Errorf("certificates of the system: %w", err)
		}
		config.RootCAs = pool
	}
	for _, file := range t.authorities {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, "", err
		}
		if !config.RootCAs.AppendCertsFromPEM(data) {
			return nil, "", fmt.Errorf("%s holds no certificate in PEM form", file)
		}
		fmt.Fprintf(sum, "%d\n%s", len(data), data)
	}
	for _, files := range t.identities {
		pair, err := tls.LoadX509KeyPair(files[0], files[1])
		if err != nil {
			return nil, "", fmt.Errorf("client certificate %s with key %s: %w", files[0], files[1], err)
		}
		config.Certificates = append(config.Certificates, pair)
		for _, der := range pair.Certificate {
			fmt.Fprintf(sum, "%d\n%s", len(der), der)
		}
	}
	return config, string(sum.Sum(nil)), nil
}

func newTransport(t *tls.Config, patience time.Duration) *http.Transport {
	if patience == 0 {
		patience = dialTime
	}
	return &http.Transport{
		Proxy:       http.ProxyFromEnvironment,
		DialContext: (&watchedDialer{net.Dialer{Timeout: patience, KeepAlive: 30 * time.Second}}).dial,

		TLSClientConfig:       t,
		ForceAttemptHTTP2:     true,
		MaxIdleConnsPerHost:   8,
		IdleConnTimeout:       30 * time.Second,
		TLSHandshakeTimeout:   10 * time.Second,
		ResponseHeaderTimeout: 30 * time.Second,
		ExpectContinueTimeout: 5 * time.Second,
	}
}
