package front

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"github.com/berth-engine/berth/hub/audit"
	"github.com/containerd/errdefs"
)

// TestHosts: only names that a page of a stranger cannot have are let in.
func TestHosts(t *testing.T) {
	h, err := NewHosts("Hub.Example.", "", "box")
	if err != nil {
		t.Fatal(err)
	}
	for header, want := range map[string]bool{
		"localhost": true, "localhost:5000": true, "LOCALHOST:5000": true, "localhost.": true, "x.localhost:1": true,
		"127.0.0.1": true, "127.0.0.1:5000": true, "[::1]:5000": true, "[::1]": true, "192.0.2.1:80": true,
		"hub.example": true, "hub.example:443": true, "HUB.EXAMPLE.:443": true, "box": true, "box:5000": true,
		"": false, ":5000": false, "evil.example": false, "evil.example:5000": false, "hub.example.evil.example": false, "evilhub.example": false,
		"localhost.evil.example": false, "127.0.0.1.evil.example": false, "notlocalhost": false, "127.1": false, "0x7f000001": false, "localhost:x:y": false,
	} {
		if got := h.Allows(header); got != want {
			t.Errorf("%q: %t", header, got)
		}
	}
	for _, bad := range []string{"http://hub.example", "hub.example:5000", "*.example", "a b", "hub.example/x"} {
		if _, err := NewHosts(bad); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	served := httptest.NewRecorder()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "http://evil.example/api/v1/gc", nil)
	h.Check(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it was let in") })).ServeHTTP(served, r)
	if served.Code != http.StatusMisdirectedRequest {
		t.Errorf("refused by %d", served.Code)
	}
}

func TestClient(t *testing.T) {
	for _, c := range []struct {
		trusted []string
		header  string // of the proxy
		peer    string
		said    []string
		want    string
	}{
		{nil, XForwardedFor, "192.0.2.9:1", []string{"10.0.0.1"}, "192.0.2.9"},
		{[]string{"10.0.0.0/8"}, XForwardedFor, "192.0.2.9:1", []string{"203.0.113.7"}, "192.0.2.9"},
		{[]string{"10.0.0.0/8"}, XForwardedFor, "10.1.1.1:1", []string{"203.0.113.7"}, "203.0.113.7"},
		{[]string{"10.0.0.0/8"}, XForwardedFor, "10.1.1.1:1", nil, "10.1.1.1"},
		{[]string{"10.0.0.0/8"}, XForwardedFor, "10.1.1.1:1", []string{"198.51.100.1, 203.0.113.7"}, "203.0.113.7"}, // the first was the client's own word
		{[]string{"10.0.0.0/8"}, XForwardedFor, "10.1.1.1:1", []string{"198.51.100.1", "203.0.113.7, 10.2.2.2"}, "203.0.113.7"},
		{[]string{"10.0.0.0/8"}, XForwardedFor, "10.1.1.1:1", []string{"10.9.9.9"}, "10.9.9.9"},
		{[]string{"10.0.0.0/8"}, XForwardedFor, "10.1.1.1:1", []string{"unknown"}, "10.1.1.1"},
		{[]string{"10.0.0.0/8"}, XForwardedFor, "10.1.1.1:1", []string{"203.0.113.7:4711"}, "203.0.113.7"},
		{[]string{"10.0.0.0/8"}, XForwardedFor, "10.1.1.1:1", []string{"[2001:db8::7]:4711"}, "2001:db8::7"},
		{[]string{"::1"}, XForwardedFor, "[::1]:1", []string{"2001:db8::7"}, "2001:db8::7"},
		{[]string{"127.0.0.1"}, XForwardedFor, "[::ffff:127.0.0.1]:1", []string{"::ffff:203.0.113.7"}, "203.0.113.7"},
		{[]string{"10.0.0.0/8"}, Forwarded, "10.1.1.1:1", []string{`for=198.51.100.1;proto=https, For="[2001:db8::7]:1";by=x`}, "2001:db8::7"},
		{[]string{"10.0.0.0/8"}, Forwarded, "10.1.1.1:1", []string{`for=_hidden`}, "10.1.1.1"},
		{[]string{"10.0.0.0/8"}, Forwarded, "10.1.1.1:1", []string{`proto=https`}, "10.1.1.1"},
	} {
		p, err := NewProxies(c.trusted, c.header)
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://127.0.0.1/", nil)
		r.RemoteAddr = c.peer
		r.Header[c.header] = c.said
		other := map[string]string{XForwardedFor: Forwarded, Forwarded: XForwardedFor}[c.header]
		r.Header.Set(other, "for=9.9.9.9")
		if got := p.Client(r); got != c.want {
			t.Errorf("%v believed, %s says %q: %s, not %s", c.trusted, c.peer, c.said, got, c.want)
		}
	}
	for _, bad := range []string{"x", "10.0.0.0/40", "0.0.0.0/0", "::/0"} {
		if _, err := NewProxies([]string{bad}, XForwardedFor); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if _, err := NewProxies(nil, "X-Real-Ip"); !errdefs.IsInvalidArgument(err) {
		t.Errorf("another header: %v", err)
	}
}

// TestLocal: a proxy on the machine does not make its clients the machine, and
// neither does a page whose name leads there.
func TestLocal(t *testing.T) {
	none, err := NewProxies(nil, XForwardedFor)
	if err != nil {
		t.Fatal(err)
	}
	some, err := NewProxies([]string{"127.0.0.1"}, XForwardedFor)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		p                Proxies
		peer, host, said string
		want             bool
	}{
		{none, "127.0.0.1:1", "127.0.0.1:5000", "", true},
		{none, "[::1]:1", "localhost", "", true},
		{none, "127.0.0.1:1", "evil.example", "", false},
		{none, "127.0.0.1:1", "127.0.0.1", "203.0.113.7", false},
		{none, "192.0.2.1:1", "127.0.0.1", "", false},
		{some, "127.0.0.1:1", "127.0.0.1", "203.0.113.7", false},
		{some, "127.0.0.1:1", "127.0.0.1", "127.0.0.1", true},
		{some, "127.0.0.1:1", "127.0.0.1", "", true},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+c.host+"/metrics", nil)
		r.RemoteAddr = c.peer
		if c.said != "" {
			r.Header.Set(XForwardedFor, c.said)
		}
		if got := c.p.Local(r); got != c.want {
			t.Errorf("%+v: %t", c, got)
		}
	}
}

func TestLimit(t *testing.T) {
	at := time.Unix(1_000_000, 0)
	l, err := NewLimiter(0.5, func() time.Time { return at })
	if err != nil {
		t.Fatal(err)
	}
	passed := func(remote string) (n int) {
		for l.Admit(remote) == nil {
			n++
		}
		return n
	}
	if n := passed("203.0.113.7"); n != 10 {
		t.Errorf("%d at once", n)
	}
	if n := passed("203.0.113.8"); n != 10 {
		t.Errorf("%d of another", n)
	}
	if n := passed("2001:db8::1"); n != 10 {
		t.Errorf("%d by IPv6", n)
	}
	if n := passed("2001:db8::ffff:1"); n != 0 {
		t.Errorf("%d more of the same network", n)
	}
	at = at.Add(4 * time.Second)
	if n := passed("203.0.113.7"); n != 2 {
		t.Errorf("%d after four seconds", n)
	}
	w := httptest.NewRecorder()
	r := httptest.NewRequestWithContext(audit.WithRemote(t.Context(), "203.0.113.7"), http.MethodGet, "/", nil)
	var refused error
	h := l.Limit(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), func(r *http.Request) bool { return r.URL.Path == "/free" },
		func(_ http.ResponseWriter, _ *http.Request, err error) { refused = err })
	h.ServeHTTP(w, r)
	if !errdefs.IsResourceExhausted(refused) || w.Header().Get("Retry-After") == "" {
		t.Errorf("refused: %v, %v", refused, w.Header())
	}
	r.URL.Path, refused = "/free", nil
	if h.ServeHTTP(w, r); refused != nil {
		t.Errorf("what is exempt: %v", refused)
	}
	none, err := NewLimiter(0, nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 10_000 {
		if err := none.Admit("203.0.113.7"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := NewLimiter(-1, nil); !errdefs.IsInvalidArgument(err) {
		t.Errorf("a negative rate: %v", err)
	}
}

// TestForgotten: what is remembered of many addresses is bounded, and who is
// slowed down stays so while there is room.
func TestForgotten(t *testing.T) {
	at := time.Unix(1_000_000, 0)
	l, err := NewLimiter(1, func() time.Time { return at })
	if err != nil {
		t.Fatal(err)
	}
	for i := range maxClients - 1 {
		if err := l.Admit(strconv.Itoa(i)); err != nil {
			t.Fatal(err)
		}
	}
	at = at.Add(5 * time.Second) // they have all of their burst again
	for l.Admit("203.0.113.7") == nil {
	}
	for i := range 10 {
		if err := l.Admit(fmt.Sprint("new ", i)); err != nil {
			t.Fatal(err)
		}
	}
	if len(l.clients) > 20 || l.Admit("203.0.113.7") == nil {
		t.Errorf("%d are remembered", len(l.clients))
	}
	for i := range 3 * maxClients {
		_ = l.Admit(strconv.Itoa(i))
	}
	if len(l.clients) > maxClients {
		t.Errorf("%d are remembered", len(l.clients))
	}
}

func FuzzClient(f *testing.F) {
	f.Add("203.0.113.7, 10.0.0.1", `for="[2001:db8::7]:1", for=10.0.0.1`, "hub.example:1")
	f.Fuzz(func(t *testing.T, x, forwarded, name string) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		r.RemoteAddr, r.Host = "10.0.0.1:1", name
		r.Header[XForwardedFor], r.Header[Forwarded] = []string{x}, []string{forwarded}
		for _, header := range []string{XForwardedFor, Forwarded} {
			p, err := NewProxies([]string{"10.0.0.0/8"}, header)
			if err != nil {
				t.Fatal(err)
			}
			if got := p.Client(r); got == "" {
				t.Error("from nowhere")
			}
			p.Local(r)
		}
	})
}
