package site

import (
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"
)

// code is what an authenticator shows (RFC 6238).
func code(t *testing.T, secret string, at time.Time) string {
	t.Helper()
	key, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(strings.TrimRight(strings.ReplaceAll(secret, " ", ""), "="))
	if err != nil {
		t.Fatal(err)
	}
	mac := hmac.New(sha1.New, key)
	_ = binary.Write(mac, binary.BigEndian, uint64(at.Unix()/30)) // a hash takes everything
	sum := mac.Sum(nil)
	at4 := sum[len(sum)-1] & 0xf
	return fmt.Sprintf("%06d", binary.BigEndian.Uint32(sum[at4:at4+4])&0x7fffffff%1_000_000)
}

func find(t *testing.T, pattern, body string) string {
	t.Helper()
	m := regexp.MustCompile(pattern).FindStringSubmatch(body)
	if m == nil {
		t.Fatalf("no %s in: %.800s", pattern, text(body))
	}
	return m[1]
}

// want checks where a form leads to.
func (b *browser) want(location string, path string, pairs ...string) {
	b.h.t.Helper()
	resp, body := b.submit(path, pairs...)
	if got := resp.Header.Get("Location"); resp.StatusCode != http.StatusSeeOther || got != location {
		b.h.t.Errorf("%s: %d to %q, want %q: %.400s", path, resp.StatusCode, got, location, text(body))
	}
}

func TestTwoFactor(t *testing.T) {
	h := fill(t)
	b := h.signedIn("ada")
	resp, body := b.submit("/account/security/start")
	if resp.StatusCode != http.StatusOK || !strings.Contains(body, "<svg viewBox") {
		t.Fatalf("start: %d", resp.StatusCode)
	}
	secret := find(t, `id="totp-secret">([^<]+)<`, body)
	now := time.Now()
	_, body = b.submit("/account/security/confirm", "code", code(t, secret, now))
	recovery := strings.Fields(find(t, `(?s)<pre class="log"[^>]*>(.*?)</pre>`, body))
	if len(recovery) < 5 {
		t.Fatalf("recovery codes: %q", recovery)
	}
	again := h.browser()
	resp, body = again.submit("/signin", "name", "ada", "password", password, "next", "/account")
	if resp.StatusCode != http.StatusOK || !strings.Contains(text(body), "One more step") || strings.Contains(body, password) {
		t.Fatalf("password alone: %d %s", resp.StatusCode, text(body))
	}
	if resp, _ := again.get("/account"); resp.StatusCode != http.StatusSeeOther {
		t.Errorf("half signed in, the account is open: %d", resp.StatusCode)
	}
	if resp, _ := again.submit("/signin/code", "code", "000000", "next", "/account"); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("wrong code: %d", resp.StatusCode)
	}
	again.want("/account", "/signin/code", "code", recovery[0], "next", "/account")
	if resp, _ := h.browser().submit("/signin/code", "code", recovery[1]); resp.StatusCode != http.StatusOK {
		t.Errorf("a code without a password: %d", resp.StatusCode)
	}
}

func TestTokensRobotsAndSessions(t *testing.T) {
	h := fill(t)
	b := h.signedIn("ada")
	_, body := b.submit("/account/tokens", "name", "ci", "days", "30", "scope", "repo:read")
	secret := find(t, `<code tabindex="0">([^<]+)</code>`, body)
	p, err := h.accounts.Authenticate(t.Context(), "ada", secret)
	if err != nil || len(p.Scopes) != 1 {
		t.Fatalf("the token does not work: %+v, %v", p, err)
	}
	if _, body := b.get("/account/tokens"); strings.Contains(body, secret) || !strings.Contains(body, "ci") {
		t.Error("the token is shown twice, or not listed")
	}
	if resp, body := b.submit("/account/tokens", "name", "ci", "days", "30", "scope", "repo:read"); resp.StatusCode != http.StatusConflict {
		t.Errorf("the name again: %d %s", resp.StatusCode, text(body))
	}
	for _, days := range []string{"-1", "x", "99999999999"} {
		if resp, _ := b.submit("/account/tokens", "name", "y", "days", days, "scope", "repo:read"); resp.StatusCode != http.StatusBadRequest {
			t.Errorf("days %s: %d", days, resp.StatusCode)
		}
	}
	_, body = b.get("/account/tokens")
	b.want("/account/tokens", find(t, `action="(/account/tokens/[^/]+/revoke)"`, body))
	if _, err := h.accounts.Authenticate(t.Context(), "ada", secret); err == nil {
		t.Error("a revoked token works")
	}
	_, body = b.submit("/u/ada/-/robots", "name", "deploy", "days", "0")
	robot := find(t, `<code tabindex="0">([^<]+)</code>`, body)
	if _, err := h.accounts.Authenticate(t.Context(), "ada+deploy", robot); err != nil {
		t.Errorf("the robot: %v", err)
	}
	b.want("/u/ada/-/robots", "/u/ada/-/robots/deploy/lock")
	if _, err := h.accounts.Authenticate(t.Context(), "ada+deploy", robot); err == nil {
		t.Error("a locked robot signs in")
	}
	other := h.signedIn("ada")
	_, body = b.get("/account/sessions")
	b.want("/account/sessions", find(t, `action="(/account/sessions/[^/]+/end)"`, body))
	if resp, _ := other.get("/account"); resp.StatusCode != http.StatusSeeOther {
		t.Errorf("the ended session goes on: %d", resp.StatusCode)
	}
	b.want("/account", "/account/password", "old", password, "password", "another long phrase")
	if resp, _ := b.get("/account"); resp.StatusCode != http.StatusOK {
		t.Errorf("this session ended with the password: %d", resp.StatusCode)
	}
	b.want("/", "/signout")
	if resp, _ := b.get("/account"); resp.StatusCode != http.StatusSeeOther {
		t.Error("signed out, the account is open")
	}
}

// TestTeams: who leaves a team has lost its rights with the next request
// (CVE-2025-23208).
func TestTeams(t *testing.T) {
	h := fill(t)
	h.user("linus")
	b, linus := h.signedIn("ada"), h.signedIn("linus")
	b.want("/u/harbour", "/orgs/new", "name", "harbour")
	b.want("/r/harbour/app", "/new", "namespace", "harbour", "name", "app", "visibility", "private")
	b.want("/u/harbour/-/members", "/u/harbour/-/members", "user", "linus", "role", "member")
	b.want("/u/harbour/-/teams/crew", "/u/harbour/-/teams", "name", "crew")
	b.want("/r/harbour/app/-/settings/access", "/r/harbour/app/-/settings/access", "kind", "team", "subject", "crew", "role", "admin")
	status := func(path string) int { resp, _ := linus.get(path); return resp.StatusCode }
	if s := status("/r/harbour/app/-/settings"); s != http.StatusNotFound {
		t.Errorf("before joining the team: %d", s)
	}
	b.want("/u/harbour/-/teams/crew", "/u/harbour/-/teams/crew", "user", "linus")
	if s := status("/r/harbour/app/-/settings"); s != http.StatusOK {
		t.Errorf("in the team: %d", s)
	}
	b.want("/u/harbour/-/teams/crew", "/u/harbour/-/teams/crew/members/linus/remove")
	if s := status("/r/harbour/app"); s != http.StatusNotFound {
		t.Errorf("after leaving the team: %d", s)
	}
	if s := status("/u/harbour/-/settings"); s != http.StatusNotFound {
		t.Errorf("a member sees the settings: %d", s)
	}
	if s := status("/admin"); s != http.StatusNotFound {
		t.Errorf("administration: %d", s)
	}
	if resp, _ := linus.submit("/admin/users/ada/lock"); resp.StatusCode != http.StatusForbidden && resp.StatusCode != http.StatusNotFound {
		t.Errorf("locks the administrator: %d", resp.StatusCode)
	}
	if resp, body := b.submit("/u/harbour/-/members", "user", "nobody", "role", "member"); !strings.Contains(text(body), "There is no user nobody here.") {
		t.Errorf("an unknown member: %d %s", resp.StatusCode, text(body))
	}
	_, body := b.get("/u/harbour/-/audit")
	if got := text(body); !strings.Contains(got, "ada") || !strings.Contains(got, "127.0.0.1") {
		t.Errorf("audit: %.500s", got)
	}
}

func TestRepositorySettings(t *testing.T) {
	h := fill(t)
	b, anonymous := h.signedIn("ada"), h.browser()
	at := "/r/ada/web/-/settings"
	b.want(at, at+"/text", "description", "Changed", "readme", "# New\n<script>alert(1)</script>")
	if _, body := anonymous.get("/r/ada/web"); !strings.Contains(body, "New</h1>") || strings.Contains(body, "<script>") {
		t.Error("the README is not shown as it should be")
	}
	b.want("/r/ada/web/-/tags", "/r/ada/web/-/tags/1.0/delete")
	_, body := b.get("/r/ada/web/-/history")
	digest := find(t, `(?s)tags/1\.0/restore">.*?name="digest" value="([^"]+)"`, body)
	b.want("/r/ada/web/-/history", "/r/ada/web/-/tags/1.0/restore", "digest", digest)
	if resp, _ := anonymous.get("/r/ada/web/-/tags/1.0"); resp.StatusCode != http.StatusOK {
		t.Errorf("restored: %d", resp.StatusCode)
	}
	if resp, body := h.signedIn("grace").submit("/r/grace/secret/-/settings/rename", "name", "ada/gift"); resp.StatusCode < 400 && !strings.Contains(text(body), "may not put repositories there") {
		t.Errorf("transferred to who did not agree: %d", resp.StatusCode)
	}
	b.want("/r/ada/site/-/settings", at+"/rename", "name", "ada/site")
	if resp, _ := b.submit("/r/ada/site/-/settings/delete", "confirm", "wrong"); resp.StatusCode != http.StatusBadRequest {
		t.Errorf("removed without a confirmation: %d", resp.StatusCode)
	}
	b.want("/u/ada", "/r/ada/site/-/settings/delete", "confirm", "ada/site")
	if resp, _ := b.get("/r/ada/site"); resp.StatusCode != http.StatusNotFound {
		t.Errorf("removed: %d", resp.StatusCode)
	}
}

func TestWebhooks(t *testing.T) {
	h := fill(t)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- h.hooks.Run(ctx) }()
	defer func() {
		stop()
		if err := <-ended; err != nil && ctx.Err() == nil {
			t.Error(err)
		}
	}()
	got := make(chan string, 4)
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		_, _ = io.WriteString(w, "<b>thanks</b>")
		got <- string(body)
	}))
	defer receiver.Close()
	b, at := h.signedIn("ada"), "/r/ada/web/-/settings/webhooks"
	for _, bad := range []string{"http://169.254.169.254/latest", "http://10.0.0.1/", "file:///etc/passwd", "http://user:pw@example.org/"} {
		if resp, body := b.submit(at, "url", bad, "event", "push"); resp.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %d %s", bad, resp.StatusCode, text(body))
		}
	}
	resp, body := b.submit(at, "url", receiver.URL, "event", "push")
	if resp.StatusCode != http.StatusOK || !strings.Contains(text(body), "shown this once") {
		t.Fatalf("create: %d %s", resp.StatusCode, text(body))
	}
	hook := find(t, `href="(/r/ada/web/-/settings/webhooks/[^"]+)"`, body)
	resp, _ = b.submit(hook + "/ping")
	delivery := resp.Header.Get("Location")
	if !strings.HasPrefix(delivery, hook+"/") {
		t.Fatalf("ping: %d to %q", resp.StatusCode, delivery)
	}
	if sent := <-got; !strings.Contains(sent, `"ada/web"`) {
		t.Errorf("sent %s", sent)
	}
	b.want(hook, hook, "url", receiver.URL, "event", "push", "event", "delete")
	resp, _ = b.submit(delivery + "/again")
	if to := resp.Header.Get("Location"); resp.StatusCode != http.StatusSeeOther || to == delivery {
		t.Errorf("again: %d to %q", resp.StatusCode, to)
	}
	<-got
	if _, body := b.get(delivery); strings.Contains(body, "<b>thanks") {
		t.Error("the receiver's answer is HTML in the page")
	}
	if resp, _ := h.signedIn("grace").get(hook); resp.StatusCode != http.StatusForbidden {
		t.Errorf("another's webhook: %d", resp.StatusCode)
	}
	other := h.repo(h.admin, "ada/other", true)
	if resp, _ := b.get(strings.Replace(hook, "ada/web", other.Name, 1)); resp.StatusCode != http.StatusNotFound {
		t.Errorf("by another repository: %d", resp.StatusCode)
	}
	b.want(at, hook+"/delete")
}
