package token

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/berth-engine/berth/hub/account"
	"github.com/berth-engine/berth/hub/catalog"
	"github.com/berth-engine/berth/hub/store"
	"github.com/berth-engine/berth/hub/store/storetest"
	"github.com/containerd/errdefs"
)

type world struct {
	*Service
	db    *store.DB
	ann   account.Principal
	clock time.Time
}

func newWorld(t *testing.T) *world {
	t.Helper()
	db := storetest.Open(t, "")
	w := &world{db: db, clock: time.Now()}
	now := func() time.Time { return w.clock }
	accounts := account.New(db, account.Options{Now: now})
	w.Service = New(db, accounts, catalog.New(db, catalog.Options{Now: now}), now)
	u, err := accounts.CreateUser(t.Context(), account.System("test"), account.NewUser{Name: "ann", Password: "correct horse"})
	if err != nil {
		t.Fatal(err)
	}
	w.ann = u.Principal()
	return w
}

func (w *world) good(t *testing.T) string {
	t.Helper()
	text, _, err := w.issue(t.Context(), w.ann, []Access{{Type: "repository", Name: "ann/app", Actions: []string{"pull", "push"}}})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func encode(t *testing.T, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(data)
}

// TestForgedTokens: only what this Hub signed is believed, and nothing that a
// token says of how to check it (CVE-2025-24976).
func TestForgedTokens(t *testing.T) {
	w := newWorld(t)
	good := w.good(t)
	if who, err := w.Identify(t.Context(), "Bearer "+good); err != nil || who.Principal.Name != "ann" || !who.Gives("ann/app", "push") || who.Gives("ann/app", "delete") || who.Gives("ann/other", "pull") {
		t.Fatalf("%+v, %v", who, err)
	}
	parts := strings.Split(good, ".")
	kid, key, err := w.keys.signing(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	evil, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	x := base64.RawURLEncoding.EncodeToString(evil.X.FillBytes(make([]byte, 32)))
	y := base64.RawURLEncoding.EncodeToString(evil.Y.FillBytes(make([]byte, 32)))
	// resign signs a header and claims with a key.
	resign := func(key *ecdsa.PrivateKey, header any, body string) string {
		text := encode(t, header) + "." + body
		sum := sha256.Sum256([]byte(text))
		r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
		if err != nil {
			t.Fatal(err)
		}
		signature := append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
		return text + "." + base64.RawURLEncoding.EncodeToString(signature)
	}
	type m = map[string]any
	public, err := key.PublicKey.ECDH()
	if err != nil {
		t.Fatal(err)
	}
	mac := hmac.New(sha256.New, public.Bytes())
	hs := encode(t, m{"alg": "HS256", "kid": kid, "typ": "JWT"}) + "." + parts[1]
	mac.Write([]byte(hs))
	claim := func(change func(c *claims)) string {
		var c claims
		raw, err := base64.RawURLEncoding.DecodeString(parts[1])
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(raw, &c); err != nil {
			t.Fatal(err)
		}
		change(&c)
		return resign(key, m{"alg": "ES256", "kid": kid, "typ": "JWT"}, encode(t, c))
	}
	for name, text := range map[string]string{
		"none":             encode(t, m{"alg": "none", "typ": "JWT"}) + "." + parts[1] + ".",
		"none, signed":     resign(evil, m{"alg": "none", "kid": kid, "typ": "JWT"}, parts[1]),
		"hmac by the key":  hs + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil)),
		"another key":      resign(evil, m{"alg": "ES256", "kid": kid, "typ": "JWT"}, parts[1]),
		"unknown kid":      resign(evil, m{"alg": "ES256", "kid": "x' OR '1'='1", "typ": "JWT"}, parts[1]),
		"no kid":           resign(evil, m{"alg": "ES256", "typ": "JWT"}, parts[1]),
		"jwk":              resign(evil, m{"alg": "ES256", "kid": kid, "typ": "JWT", "jwk": m{"kty": "EC", "crv": "P-256", "x": x, "y": y}}, parts[1]),
		"jwk alone":        resign(evil, m{"alg": "ES256", "typ": "JWT", "jwk": m{"kty": "EC", "crv": "P-256", "x": x, "y": y}}, parts[1]),
		"jku":              resign(evil, m{"alg": "ES256", "kid": kid, "typ": "JWT", "jku": "http://127.0.0.1/keys"}, parts[1]),
		"x5c":              resign(evil, m{"alg": "ES256", "kid": kid, "typ": "JWT", "x5c": []string{"MII="}}, parts[1]),
		"crit":             resign(key, m{"alg": "ES256", "kid": kid, "typ": "JWT", "crit": []string{"b64"}}, parts[1]),
		"other claims":     parts[0] + "." + encode(t, m{"sub": "boss"}) + "." + parts[2],
		"no signature":     parts[0] + "." + parts[1] + ".",
		"zero signature":   parts[0] + "." + parts[1] + "." + base64.RawURLEncoding.EncodeToString(make([]byte, 64)),
		"padded":           good + "==",
		"long":             good + strings.Repeat("A", maxToken),
		"another issuer":   claim(func(c *claims) { c.Issuer = "evil" }),
		"another audience": claim(func(c *claims) { c.Audience = "other-registry" }),
		"expired":          claim(func(c *claims) { c.Expires = w.clock.Add(-time.Hour).Unix() }),
		"not yet":          claim(func(c *claims) { c.NotBefore = w.clock.Add(time.Hour).Unix() }),
		"the Hub itself":   claim(func(c *claims) { c.Principal = account.System("x") }),
		"unknown kind":     claim(func(c *claims) { c.Principal.Kind = "god" }),
		"unknown user":     claim(func(c *claims) { c.Principal.ID = "x" }),
		"unknown token":    claim(func(c *claims) { c.Principal.Credential = "x" }),
	} {
		if who, err := w.Identify(t.Context(), "Bearer "+text); !errdefs.IsUnauthorized(err) || who.Principal.ID != "" && err == nil {
			t.Errorf("%s: %+v, %v", name, who, err)
		}
	}
	if _, err := w.Identify(t.Context(), "bearer "+claim(func(*claims) {})); err != nil {
		t.Errorf("the harness's own signature: %v", err)
	}
}

func TestRotation(t *testing.T) {
	w := newWorld(t)
	old := w.good(t)
	w.clock = w.clock.Add(rotation - time.Minute)
	last := w.good(t)
	if headerOf(t, old) != headerOf(t, last) {
		t.Error("a key was made before its time")
	}
	w.clock = w.clock.Add(2 * time.Minute)
	fresh := w.good(t)
	if headerOf(t, last) == headerOf(t, fresh) {
		t.Error("the key was not changed")
	}
	if _, err := w.Identify(t.Context(), "Bearer "+last); err != nil {
		t.Errorf("a token of the last key: %v", err)
	}
	// Another node, which has only the database, believes both.
	node := New(w.db, w.accounts, w.catalog, w.now)
	for _, text := range []string{last, fresh} {
		if _, err := node.Identify(t.Context(), "Bearer "+text); err != nil {
			t.Errorf("on another node: %v", err)
		}
	}
	w.clock = w.clock.Add(rotation)
	w.good(t)
	w.clock = w.clock.Add(rotation)
	w.good(t)
	if _, err := node.verifyingHeader(t, last); !errdefs.IsUnauthorized(err) {
		t.Errorf("a key of the day before yesterday: %v", err)
	}
}

func headerOf(t *testing.T, text string) string {
	t.Helper()
	head, _, _ := strings.Cut(text, ".")
	return head
}

func (s *Service) verifyingHeader(t *testing.T, text string) (*ecdsa.PublicKey, error) {
	t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(headerOf(t, text))
	if err != nil {
		t.Fatal(err)
	}
	var h struct{ Kid string }
	if err := json.Unmarshal(raw, &h); err != nil {
		t.Fatal(err)
	}
	return s.keys.verifying(t.Context(), h.Kid)
}

func TestServer(t *testing.T) {
	w := newWorld(t)
	ask := func(method, target, body string, set func(h map[string][]string)) (int, string) {
		req := httptest.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
		if set != nil {
			set(req.Header)
		}
		rec := httptest.NewRecorder()
		w.ServeHTTP(rec, req)
		return rec.Code, rec.Body.String()
	}
	form := func(h map[string][]string) { h["Content-Type"] = []string{"application/x-www-form-urlencoded"} }
	many := strings.Repeat("repository:a/b:pull+", maxScopes+1)
	for _, c := range []struct {
		method, target, body string
		set                  func(h map[string][]string)
		want                 int
	}{
		{"GET", "/token", "", nil, 200},
		{"GET", "/token?service=other", "", nil, 400},
		{"GET", "/token?scope=nonsense", "", nil, 400},
		{"GET", "/token?scope=" + many, "", nil, 400},
		{"GET", "/token?scope=repository:UPPER:pull&scope=registry:catalog:*", "", nil, 200},
		{"GET", "/token", "", func(h map[string][]string) { h["Authorization"] = []string{"Bearer x"} }, 401},
		{"GET", "/token", "", func(h map[string][]string) { h["Authorization"] = []string{"Basic !"} }, 401},
		{"POST", "/token", "grant_type=password&username=ann&password=correct+horse&scope=repository:ann/x:pull", form, 200},
		{"POST", "/token", "grant_type=password&username=ann&password=wrong", form, 401},
		{"POST", "/token", "grant_type=refresh_token&refresh_token=x", form, 400},
		{"POST", "/token", "x=" + strings.Repeat("x", maxForm), form, 413},
		{"PUT", "/token", "", nil, 405},
	} {
		if status, body := ask(c.method, c.target, c.body, c.set); status != c.want {
			t.Errorf("%s %.60s %.60s: %d %s", c.method, c.target, c.body, status, body)
		}
	}
	for range 5 {
		ask("POST", "/token", "grant_type=password&username=ann&password=wrong", form)
	}
	if status, body := ask("POST", "/token", "grant_type=password&username=ann&password=correct+horse", form); status != 429 {
		t.Errorf("after too many: %d %s", status, body)
	}
}

func FuzzIdentify(f *testing.F) {
	f.Add("Basic YTpi")
	f.Add("Bearer a.b.c")
	f.Add("Bearer " + base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"ES256","kid":"x","typ":"JWT"}`)) + ".e30." + strings.Repeat("A", 86))
	none := func(string) (*ecdsa.PublicKey, error) { return nil, errToken }
	f.Fuzz(func(t *testing.T, text string) {
		var c claims
		if err := verify(text, none, &c); err == nil {
			t.Error("believed")
		}
		if name, secret, ok := parseBasic(text); ok && !strings.Contains(fmt.Sprint(name, ":", secret), ":") {
			t.Error("split without a colon")
		}
		if all, err := parseScopes([]string{text}); err == nil && len(all) > maxScopes {
			t.Error("too many scopes")
		}
	})
}
