package hub

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // RFC 6238's
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/berth-engine/berth/hub/account"
	"github.com/berth-engine/berth/hub/seal"
	"github.com/berth-engine/berth/hub/store"
	"github.com/berth-engine/berth/hub/store/storetest"
	"github.com/berth-engine/berth/test/postgres"
)

// nodes are two Hubs on one PostgreSQL, each with a copy of the key that seals
// secrets, and a user with a second factor.
type nodes struct {
	t       *testing.T
	db      *store.DB
	program string
	url     string // of the database
	data    [2]string
	at      [2]string
	token   string // of the user, for the API

	factor   string // the second factor's secret
	recovery []string
	received chan received
}

type received struct {
	signature string
	body      []byte
}

const password = "correct horse"

func startNodes(t *testing.T) *nodes {
	t.Helper()
	n := &nodes{t: t, url: postgres.Start(t).Database(t, "hub"), program: build(t, "github.com/berth-engine/berth/cmd/berth-hub"), received: make(chan received, 10)}
	newUser(t, n.url, "ann")
	n.token = userToken(t, n.url, "ann")
	n.db = storetest.Open(t, n.url)
	images := t.TempDir()
	for i := range n.at {
		n.data[i] = t.TempDir()
		if i > 0 {
			n.copyKey()
		}
		_, n.at[i] = process(t, "--data", n.data[i], "--accounts", "--database", n.url, "--storage", images, "--allow-private-outbound", "127.0.0.1/32")
	}
	n.secondFactor()
	return n
}

func (n *nodes) must(err error) {
	n.t.Helper()
	if err != nil {
		n.t.Fatal(err)
	}
}

func (n *nodes) keyFile(node int) string { return filepath.Join(n.data[node], "secrets.key") }

// copyKey copies the first node's key to the second, as an administrator does.
func (n *nodes) copyKey() {
	n.t.Helper()
	key, err := os.ReadFile(n.keyFile(0))
	n.must(err)
	n.must(os.WriteFile(n.keyFile(1), key, 0o600))
}

// secrets runs `berth-hub secrets` on the first node.
func (n *nodes) secrets(what string) string {
	n.t.Helper()
	out, err := exec.CommandContext(n.t.Context(), n.program, "secrets", what, "--data", n.data[0], "--database", n.url).CombinedOutput()
	if err != nil {
		n.t.Fatalf("secrets %s: %v\n%s", what, err, out)
	}
	return string(out)
}

func (n *nodes) secondFactor() {
	n.t.Helper()
	key, err := seal.Load(n.keyFile(0))
	n.must(err)
	accounts := account.New(n.db, account.Options{Key: key})
	u, err := accounts.User(n.t.Context(), "ann")
	n.must(err)
	n.factor, _, err = accounts.StartTOTP(n.t.Context(), u.Principal())
	n.must(err)
	n.recovery, err = accounts.ConfirmTOTP(n.t.Context(), u.Principal(), n.code())
	n.must(err)
}

// code is what the authenticator shows now (RFC 6238).
func (n *nodes) code() string {
	n.t.Helper()
	// Each code is good once, and the story does not wait for the next.
	_, err := n.db.Exec(n.t.Context(), "UPDATE users SET totp_step = 0")
	n.must(err)
	key, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(n.factor)
	n.must(err)
	mac := hmac.New(sha1.New, key)
	n.must(binary.Write(mac, binary.BigEndian, time.Now().Unix()/30))
	sum := mac.Sum(nil)
	return fmt.Sprintf("%06d", binary.BigEndian.Uint32(sum[sum[19]&15:])&0x7fffffff%1_000_000)
}

var formToken = regexp.MustCompile(`name="csrf" value="([^"]+)"`)

// signsIn signs in on the pages, the password at one node and the code at another,
// as behind a load balancer, and reports whether they let it.
func (n *nodes) signsIn(first, second int, code string) bool {
	n.t.Helper()
	jar, err := cookiejar.New(nil)
	n.must(err)
	client := &http.Client{Jar: jar}
	page := func(method, address string, fields url.Values) (form, text string) {
		n.t.Helper()
		req, err := http.NewRequestWithContext(n.t.Context(), method, address, strings.NewReader(fields.Encode()))
		n.must(err)
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		resp, err := client.Do(req)
		n.must(err)
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		n.must(err)
		if found := formToken.FindSubmatch(body); found != nil {
			form = string(found[1])
		}
		return form, string(body)
	}
	form, _ := page(http.MethodGet, n.at[first]+"/signin", nil)
	form, text := page(http.MethodPost, n.at[first]+"/signin", url.Values{"csrf": {form}, "name": {"ann"}, "password": {password}})
	if !strings.Contains(text, "One more step") {
		n.t.Fatalf("the password is not followed by the code: %s", text)
	}
	page(http.MethodPost, n.at[second]+"/signin/code", url.Values{"csrf": {form}, "code": {code}})
	_, text = page(http.MethodGet, n.at[second]+"/account/security", nil)
	return strings.Contains(text, "Two-factor sign-in")
}

// call asks a node's interface for programs.
func (n *nodes) call(node int, path, body string, into any) {
	n.t.Helper()
	req, err := http.NewRequestWithContext(n.t.Context(), http.MethodPost, n.at[node]+"/api/v1/"+path, strings.NewReader(body))
	n.must(err)
	req.SetBasicAuth("ann", n.token)
	resp, err := http.DefaultClient.Do(req)
	n.must(err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	n.must(err)
	if resp.StatusCode/100 != 2 {
		n.t.Fatalf("%s: %s: %s", path, resp.Status, text)
	}
	if into != nil {
		n.must(json.NewDecoder(bytes.NewReader(text)).Decode(into))
	}
}

// hook is a webhook, and what its secret is.
type hook struct{ id, secret string }

func (n *nodes) newHook(node int) hook {
	n.t.Helper()
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body) // a broken one has no right signature
		n.received <- received{r.Header.Get("X-Hub-Signature-256"), body}
	}))
	n.t.Cleanup(receiver.Close)
	var made struct {
		Value  struct{ ID string }
		Secret string
	}
	n.call(node, "repositories/ann/app/-/webhooks", `{"url": "`+receiver.URL+`", "events": ["push"]}`, &made)
	return hook{made.Value.ID, made.Secret}
}

// signs has a node ping a webhook, and checks the signature of what comes,
// whichever node sends it.
func (n *nodes) signs(node int, h hook) {
	n.t.Helper()
	n.call(node, "repositories/ann/app/-/webhooks/"+h.id+"/ping", "", nil)
	select {
	case got := <-n.received:
		mac := hmac.New(sha256.New, []byte(h.secret))
		mac.Write(got.body)
		if want := "sha256=" + hex.EncodeToString(mac.Sum(nil)); got.signature != want {
			n.t.Errorf("the signature is %s, not %s", got.signature, want)
		}
	case <-time.After(time.Minute):
		n.t.Error("nothing was delivered")
	}
}

// TestNodesRotate changes the key that seals secrets under two nodes, on
// PostgreSQL, while both serve: second factors and webhooks go on at whichever
// node has the key, and recovery codes without it.
func TestNodesRotate(t *testing.T) {
	n := startNodes(t)
	everywhere := func(when string) {
		t.Helper()
		for first := range n.at {
			for second := range n.at {
				if !n.signsIn(first, second, n.code()) {
					t.Errorf("%s: no sign-in by node %d, then %d", when, first, second)
				}
			}
		}
	}
	n.call(0, "repositories", `{"name": "ann/app"}`, nil)
	before := n.newHook(0)
	everywhere("at first")
	n.signs(1, before)

	if out := n.secrets("rotate"); !strings.HasPrefix(out, "2 secrets are sealed") {
		t.Errorf("rotate: %s", out)
	}
	if !n.signsIn(0, 0, n.code()) {
		t.Error("no sign-in where the key was changed")
	}
	if n.signsIn(1, 1, n.code()) {
		t.Error("who has not the new key opens what it sealed")
	}
	if !n.signsIn(1, 1, n.recovery[0]) {
		t.Error("a recovery code is not taken without the key")
	}
	between := n.newHook(1) // by the old key

	n.copyKey()
	everywhere("with the new key")
	n.signs(1, before)
	n.signs(0, between)

	if out := n.secrets("forget"); !strings.HasPrefix(out, "1 secrets are sealed") {
		t.Errorf("forget: %s", out)
	}
	everywhere("when the first has forgotten")
	n.copyKey()
	if key, err := os.ReadFile(n.keyFile(1)); err != nil || len(strings.Fields(string(key))) != 1 {
		t.Errorf("%s, %v", key, err)
	}
	everywhere("when both have")
	for node := range n.at {
		n.signs(node, before)
		n.signs(node, between)
	}
}
