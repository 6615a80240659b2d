package main

import (
	"crypto/tls"
	"log/slog"
	"os"
	"sync"
	"time"
)

// certificates is a configuration that reads certificate and key again when one
// of the files changes, at most once a second. A pair that cannot be read, such
// as one half written, leaves the last good one.
func certificates(cert, key string) (*tls.Config, error) {
	r := &reloader{cert: cert, key: key}
	if err := r.load(); err != nil {
		return nil, err
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: r.get}, nil
}

type reloader struct {
	cert, key string

	mu      sync.Mutex
	current *tls.Certificate
	stamps  [2]time.Time
	looked  time.Time
}

func (r *reloader) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now := time.Now(); now.Sub(r.looked) >= time.Second {
		r.looked = now
		if stamps, err := r.stat(); err != nil || stamps != r.stamps {
			if err == nil {
				err = r.load()
			}
			if err != nil {
				slog.Warn("the certificate could not be read again; the last one stays", "error", err)
			}
		}
	}
	return r.current, nil
}

func (r *reloader) load() error {
	stamps, err := r.stat()
	if err != nil {
		return err
	}
	pair, err := tls.LoadX509KeyPair(r.cert, r.key)
	if err != nil {
		return err
	}
	r.current, r.stamps = &pair, stamps
	return nil
}

func (r *reloader) stat() (stamps [2]time.Time, err error) {
	for i, path := range []string{r.cert, r.key} {
		info, err := os.Stat(path)
		if err != nil {
			return stamps, err
		}
		stamps[i] = info.ModTime()
	}
	return stamps, nil
}
