package remote

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
)

func (c *Client) client(t *testing.T) *http.Client {
	t.Helper()
	tr, err := c.transport(trust{})
	if err != nil {
		t.Fatal(err)
	}
	return &http.Client{Transport: tr}
}

// TestPatience: a busy registry is asked again after the time it names, or ever
// longer ones; the user hears of it; too long a time ends it at once.
func TestPatience(t *testing.T) {
	for _, c := range []struct {
		name    string
		answers []string // "status; header: value"
		waits   []time.Duration
		err     string // "" : 200
		notices int
	}{
		{"once", []string{"429; Retry-After: 7", "200"}, []time.Duration{7 * time.Second}, "", 1},
		{"no time named", []string{"429", "429", "200"}, []time.Duration{time.Second, 2 * time.Second}, "", 2},
		{"reset", []string{"429; RateLimit-Reset: 3", "200"}, []time.Duration{3 * time.Second}, "", 1},
		{"date", []string{"429; Retry-After: Fri, 31 Dec 1999 23:59:59 GMT", "200"}, []time.Duration{0}, "", 1},
		{"maintenance", []string{"503; Retry-After: 1", "200"}, []time.Duration{time.Second}, "", 1},
		{"never", []string{"429", "429", "429"}, []time.Duration{time.Second, 2 * time.Second}, "toomanyrequests: slow down", 2},
		{
			"hours",
			[]string{"429; Retry-After: 7200; RateLimit-Limit: 100;w=21600; RateLimit-Remaining: 0;w=21600"},
			nil,
			"toomanyrequests: slow down; it allows 100 in 6h0m0s; try again in 2h0m0s", 0,
		},
		{"little left", []string{"200; RateLimit-Limit: 100;w=21600; RateLimit-Remaining: 10;w=21600"}, nil, "", 1},
		{"enough left", []string{"200; RateLimit-Limit: 100;w=21600; RateLimit-Remaining: 11;w=21600"}, nil, "", 0},
		{"nonsense", []string{"200; RateLimit-Limit: x; RateLimit-Remaining: -1"}, nil, "", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := 0
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				status, headers, _ := strings.Cut(c.answers[n], "; ")
				n++
				for h := range strings.SplitSeq(headers, "; ") {
					if name, value, ok := strings.Cut(h, ": "); ok {
						w.Header().Set(name, value)
					}
				}
				code := 0
				_, _ = fmt.Sscan(status, &code)
				w.WriteHeader(code)
				fmt.Fprint(w, `{"errors":[{"code":"TOOMANYREQUESTS","message":"slow\u001b down"}]}`)
			}))
			defer s.Close()
			home, _ := url.Parse(s.URL)
			var waits []time.Duration
			p := &patient{RoundTripper: http.DefaultTransport, home: home, attempts: 3, wait: func(_ context.Context, d time.Duration) error {
				waits = append(waits, d)
				return nil
			}}
			notices := 0
			ctx := Notify(t.Context(), func(string) { notices++ })
			req, _ := http.NewRequestWithContext(ctx, http.MethodGet, s.URL, nil)
			resp, err := p.RoundTrip(req)
			if err == nil {
				resp.Body.Close()
			}
			if c.err == "" && err != nil || c.err != "" && (err == nil || err.Error() != c.err || !errdefs.IsUnavailable(err)) {
				t.Errorf("error %v, want %q", err, c.err)
			}
			if !slices.Equal(waits, c.waits) || notices != c.notices || n != len(c.answers) {
				t.Errorf("waits %v, %d notices, %d requests", waits, notices, n)
			}
		})
	}
}

// TestPatienceEnds: who is waiting may give up.
func TestPatienceEnds(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusTooManyRequests)
	}))
	defer s.Close()
	home, _ := url.Parse(s.URL)
	ctx, cancel := context.WithCancel(t.Context())
	p := &patient{RoundTripper: http.DefaultTransport, home: home, attempts: 3, wait: func(ctx context.Context, _ time.Duration) error {
		cancel()
		return Wait(ctx, time.Hour)
	}}
	req, _ := http.NewRequestWithContext(ctx, http.MethodGet, s.URL, nil)
	if _, err := p.RoundTrip(req); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}
