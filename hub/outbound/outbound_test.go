package outbound

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
)

func TestCheck(t *testing.T) {
	for _, s := range []string{
		"127.0.0.1", "127.255.1.2", "0.0.0.0", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254",
		"100.64.0.1", "224.0.0.1", "255.255.255.255", "::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd12::1", "ff02::1",
		"::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "2002:7f00:1::",
		"2002:a9fe:a9fe::1", "2001::1", "2001:db8::1",
	} {
		if err := (Policy{}).Check(netip.MustParseAddr(s)); !errors.Is(err, errdefs.ErrPermissionDenied) {
			t.Errorf("%s: %v", s, err)
		}
	}
	for _, s := range []string{"1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "64:ff9b::101:101", "2002:101:101::1", "::ffff:8.8.8.8"} {
		if err := (Policy{}).Check(netip.MustParseAddr(s)); err != nil {
			t.Errorf("%s: %v", s, err)
		}
	}
	if err := (Policy{}).Check(netip.Addr{}); err == nil {
		t.Error("no address at all was taken")
	}
}

func TestAllow(t *testing.T) {
	p, err := ParsePolicy([]string{"10.1.0.0/16", "127.0.0.1", "fd00::/8"})
	if err != nil {
		t.Fatal(err)
	}
	for s, want := range map[string]bool{"10.1.2.3": true, "10.2.0.1": false, "127.0.0.1": true, "::ffff:127.0.0.1": true, "127.0.0.2": false, "fd00::1": true} {
		if err := p.Check(netip.MustParseAddr(s)); (err == nil) != want {
			t.Errorf("%s: %v", s, err)
		}
	}
	for _, s := range []string{"x", "10.0.0.0/33", ""} {
		if _, err := ParsePolicy([]string{s}); !errors.Is(err, errdefs.ErrInvalidArgument) {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func TestParseURL(t *testing.T) {
	for s, kind := range map[string]error{
		"ftp://example.com/": errdefs.ErrInvalidArgument, "file:///etc/passwd": errdefs.ErrInvalidArgument, "https://": errdefs.ErrInvalidArgument,
		"https://u:p@example.com/": errdefs.ErrInvalidArgument, "//example.com": errdefs.ErrInvalidArgument, "https://example.com/#x": errdefs.ErrInvalidArgument,
		"https://example.com/" + strings.Repeat("x", 3000): errdefs.ErrInvalidArgument, "http://%zz/": errdefs.ErrInvalidArgument,
		"http://127.0.0.1/": errdefs.ErrPermissionDenied, "http://[::1]:80/": errdefs.ErrPermissionDenied, "http://LOCALHOST./": errdefs.ErrPermissionDenied,
		"http://169.254.169.254/latest": errdefs.ErrPermissionDenied,
		"https://example.com/hook?x=1":  nil, "http://example.com:8080": nil,
	} {
		if _, err := (Policy{}).ParseURL(s); !errors.Is(err, kind) || (kind == nil) != (err == nil) {
			t.Errorf("%q: %v", s, err)
		}
	}
}

// TestDial: a server on loopback is called only when that is allowed, also by a
// name and by numbers that only a resolver understands.
func TestDial(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "here") }))
	defer s.Close()
	_, port, _ := strings.Cut(strings.TrimPrefix(s.URL, "http://"), ":")
	get := func(p Policy, host string) error {
		transport := p.Transport()
		defer transport.CloseIdleConnections()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+host+":"+port, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := (&http.Client{Transport: transport}).Do(req)
		if err == nil {
			resp.Body.Close()
		}
		return err
	}
	for _, host := range []string{"127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0.0.0.0"} {
		if err := get(Policy{}, host); !errors.Is(err, errdefs.ErrPermissionDenied) {
			t.Errorf("%s: %v", host, err)
		}
	}
	if err := get(Policy{}, "2130706433"); err == nil {
		t.Error("a number as host was called")
	}
	if err := get(Policy{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}, "127.0.0.1"); err != nil {
		t.Error(err)
	}
	if _, err := (Policy{}).Dial(t.Context(), "unix", "/run/x"); !errors.Is(err, errdefs.ErrPermissionDenied) {
		t.Errorf("a socket of the host: %v", err)
	}
}

// TestProxy: the proxy holds whoever uses it to the policy, for plain HTTP and
// for tunnels, and wants its password.
func TestProxy(t *testing.T) {
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Proxy-Authorization") != "" {
			t.Error("the proxy's password went on")
		}
		_, _ = io.WriteString(w, "plain")
	}))
	defer plain.Close()
	secure := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "secure") }))
	defer secure.Close()
	allow := Policy{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}}
	for _, test := range []struct {
		policy   Policy
		password bool
		most     int64
		url      string
		want     string
		status   int
	}{
		{allow, true, 100_000, plain.URL, "plain", http.StatusOK},
		{allow, true, 100_000, secure.URL, "secure", http.StatusOK},
		{Policy{}, true, 100_000, plain.URL, "", http.StatusBadGateway},
		{Policy{}, true, 100_000, secure.URL, "", 0},
		{allow, false, 100_000, plain.URL, "", http.StatusProxyAuthRequired},
		{allow, false, 100_000, secure.URL, "", 0},
		{allow, true, 3, plain.URL, "", 0},
		{allow, true, 100, secure.URL, "", 0},
	} {
		p, err := NewProxy(t.Context(), test.policy, test.most)
		if err != nil {
			t.Fatal(err)
		}
		through, err := url.Parse(p.URL)
		if err != nil {
			t.Fatal(err)
		}
		if !test.password {
			through.User = nil
		}
		transport := secure.Client().Transport.(*http.Transport).Clone()
		transport.Proxy = http.ProxyURL(through)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, test.url, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := (&http.Client{Transport: transport}).Do(req)
		switch {
		case test.status == 0:
			if err == nil {
				_, err = io.ReadAll(resp.Body)
				resp.Body.Close()
			}
			if err == nil {
				t.Errorf("%+v: status %d", test, resp.StatusCode)
			}
		case err != nil:
			t.Errorf("%+v: %v", test, err)
		default:
			body, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil || resp.StatusCode != test.status || test.want != "" && string(body) != test.want {
				t.Errorf("%+v: %d %q %v", test, resp.StatusCode, body, err)
			}
		}
		transport.CloseIdleConnections()
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for v, want := range map[string]time.Duration{
		"": 0, "7": 7 * time.Second, "99999999": time.Hour, "99999999999999999999": 0, "-1": 0, "soon": 0,
		"Fri, 02 Jan 2026 03:05:05 GMT": time.Minute, "Fri, 02 Jan 2026 03:00:00 GMT": 0, "Fri, 02 Jan 2099 03:00:00 GMT": time.Hour,
	} {
		if got := RetryAfter(http.Header{"Retry-After": {v}}, now, time.Hour); got != want {
			t.Errorf("%q: %s", v, got)
		}
	}
}
