package remote

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
)

// TestTransient: a broken connection may be whole the next time; who does not speak
// TLS, or does not trust, will not.
func TestTransient(t *testing.T) {
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	secure := httptest.NewUnstartedServer(http.NotFoundHandler())
	secure.Config.ErrorLog = log.New(io.Discard, "", 0) // of refused handshakes
	secure.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	secure.StartTLS()
	defer secure.Close()
	breaks := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	defer breaks.Close()
	nobody, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	absent := "http://" + nobody.Addr().String()
	nobody.Close()
	lenient := &tls.Config{InsecureSkipVerify: true} //nolint:gosec // a server of the test
	for name, c := range map[string]struct {
		url    string
		config *tls.Config
		want   bool
	}{
		"plain HTTP":            {"https" + plain.URL[len("http"):], nil, false},
		"unknown authority":     {secure.URL, nil, false},
		"no client certificate": {secure.URL, lenient, false},
		"broken off":            {breaks.URL, nil, true},
		"nobody":                {absent, nil, true},
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodHead, c.url, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := (&http.Client{Transport: newTransport(c.config, 0)}).Do(req)
		if err == nil {
			resp.Body.Close()
			t.Errorf("%s: answered %s", name, resp.Status)
			continue
		}
		if got := Transient(t.Context(), fmt.Errorf("push: %w", err)); got != c.want {
			t.Errorf("%s: %v, want %v: %v", name, got, c.want, err)
		}
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if Transient(gone, io.ErrUnexpectedEOF) {
		t.Error("what was cancelled is tried again")
	}
}
