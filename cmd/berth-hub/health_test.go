package main

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func TestHealthAndMetrics(t *testing.T) {
	data := t.TempDir()
	addr, stop := start(t, serveOptions{listen: "127.0.0.1:0", dataOptions: dataOptions{data: data}})
	for _, path := range []string{"/healthz", "/readyz"} {
		if status, body := get(t, "http://"+addr+path); status != http.StatusOK {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	get(t, "http://"+addr+"/v2/no/such/tags/list")
	get(t, "http://"+addr+"/made-up/"+strings.Repeat("x", 50))
	status, body := get(t, "http://"+addr+"/metrics")
	for _, want := range []string{`berth_hub_requests_total{method="GET",part="v2",status="404"} 1`, `berth_hub_events_total{action="push"}`, "go_goroutines"} {
		if status != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("%d without %s", status, want)
		}
	}
	if strings.Contains(body, "made-up") {
		t.Error("what a stranger asked for is a label")
	}
	// A storage that is gone is told by /readyz, not by /healthz.
	if err := os.RemoveAll(filepath.Join(data, "registry")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(data, "registry"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if status, _ := get(t, "http://"+addr+"/healthz"); status != http.StatusOK {
		t.Errorf("healthz: %d", status)
	}
	if status, body := get(t, "http://"+addr+"/readyz"); status != http.StatusServiceUnavailable || strings.Contains(body, data) {
		t.Errorf("readyz: %d %s", status, body)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// TestFirstRunTokenIsShownOnce starts a Hub with accounts twice.
func TestFirstRunTokenIsShownOnce(t *testing.T) {
	data := t.TempDir()
	said := func() string {
		r, w := io.Pipe()
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			err := serve(ctx, serveOptions{listen: "127.0.0.1:0", dataOptions: dataOptions{data: data}, accounts: true, noSeed: true}, w)
			w.CloseWithError(io.EOF)
			ended <- err
		}()
		lines := bufio.NewReader(r)
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		addr := strings.TrimSpace(strings.TrimPrefix(line, "listening on "))
		if status, _ := get(t, "http://"+addr+"/v2/"); status != http.StatusUnauthorized {
			t.Errorf("without an account: %d", status)
		}
		cancel()
		rest, err := io.ReadAll(lines)
		if err != nil {
			t.Fatal(err)
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
		return string(rest)
	}
	if first := said(); !strings.HasPrefix(first, "first run: ") {
		t.Errorf("first: %q", first)
	}
	if second := said(); second != "" {
		t.Errorf("second: %q", second)
	}
}

// TestCertificateIsReadAgain replaces certificate and key, first by rubbish.
func TestCertificateIsReadAgain(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	write := func(serial int64) {
		t.Helper()
		private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		template := &x509.Certificate{SerialNumber: big.NewInt(serial), NotAfter: time.Now().Add(time.Hour)}
		der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
		if err != nil {
			t.Fatal(err)
		}
		keyDER, err := x509.MarshalPKCS8PrivateKey(private)
		if err != nil {
			t.Fatal(err)
		}
		for path, block := range map[string]pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: keyDER}} {
			if err := os.WriteFile(path, pem.EncodeToMemory(&block), 0o600); err != nil {
				t.Fatal(err)
			}
			later := time.Now().Add(time.Duration(serial) * time.Hour)
			if err := os.Chtimes(path, later, later); err != nil {
				t.Fatal(err)
			}
		}
	}
	write(1)
	r := &reloader{cert: cert, key: key}
	if err := r.load(); err != nil {
		t.Fatal(err)
	}
	serial := func() int64 {
		t.Helper()
		r.looked = time.Time{}
		pair, err := r.get(nil)
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := x509.ParseCertificate(pair.Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		return parsed.SerialNumber.Int64()
	}
	if got := serial(); got != 1 {
		t.Errorf("serial %d", got)
	}
	if err := os.WriteFile(cert, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := serial(); got != 1 {
		t.Errorf("serial %d after rubbish", got)
	}
	write(2)
	if got := serial(); got != 2 {
		t.Errorf("serial %d after the change", got)
	}
}

// TestUserCommand makes an account and mends it in the database.
func TestUserCommand(t *testing.T) {
	data := t.TempDir()
	run := func(input string, args ...string) (string, error) {
		var out strings.Builder
		c := userCommand()
		c.SetArgs(append(args, "--data", data))
		c.SetIn(strings.NewReader(input))
		c.SetOut(&out)
		c.SetErr(io.Discard)
		c.SilenceUsage = true
		err := c.ExecuteContext(t.Context())
		return out.String(), err
	}
	token, err := run("", "setup-token")
	if err != nil || len(strings.TrimSpace(token)) != 26 {
		t.Errorf("%q, %v", token, err)
	}
	if again, err := run("", "setup-token"); err != nil || again == token {
		t.Errorf("%q, %v", again, err)
	}
	if _, err := run("", "add", "ann"); err == nil {
		t.Error("an account without a password")
	}
	if _, err := run("correct horse\n", "add", "ann", "--admin"); err != nil {
		t.Error(err)
	}
	if _, err := run("battery staple", "password", "ann"); err != nil {
		t.Error(err)
	}
	if _, err := run("battery staple", "password", "nobody"); err == nil {
		t.Error("a password for nobody")
	}
	if _, err := run("", "setup-token"); err == nil {
		t.Error("a first-run token for a Hub with accounts")
	}
}

// TestSecretsCommand changes the key of a Hub that runs: it goes on with what was
// sealed before and after.
func TestSecretsCommand(t *testing.T) {
	data := t.TempDir()
	p := newPeople(t, func(o *serveOptions) { o.data = data })
	command := func(what string) (string, error) {
		var out strings.Builder
		c := secretsCommand()
		c.SetArgs([]string{what, "--data", data})
		c.SetOut(&out)
		c.SetErr(&out)
		c.SilenceUsage, c.SilenceErrors = true, true
		err := c.ExecuteContext(t.Context())
		return out.String(), err
	}
	said := func(what, want string) {
		t.Helper()
		if out, err := command(what); err != nil || !strings.HasPrefix(out, want) {
			t.Errorf("%s: %s, %v", what, out, err)
		}
	}
	keys := func() int {
		text, err := os.ReadFile(filepath.Join(data, "secrets.key"))
		if err != nil {
			t.Fatal(err)
		}
		return len(strings.Fields(string(text)))
	}
	mirror := func(prefix string) (id string) {
		var m struct{ ID string }
		p.want(t, http.StatusOK, "ann", http.MethodPost, "/api/v1/mirrors", `{"prefix":"`+prefix+`","upstream":"https://127.0.0.1:1","username":"u","password":"p"}`, &m)
		return m.ID
	}
	changed := func(id string) { // keeps the password, for which it is opened
		t.Helper()
		p.want(t, http.StatusOK, "ann", http.MethodPut, "/api/v1/mirrors/"+id, `{"prefix":"`+id+`","upstream":"https://127.0.0.1:1","username":"u"}`, nil)
	}
	before := mirror("before")
	said("rotate", "1 secrets are sealed")
	between := mirror("between")
	changed(before)
	if n := keys(); n != 2 {
		t.Errorf("%d keys", n)
	}
	said("forget", "0 secrets are sealed") // the Hub has used the new key since
	if n := keys(); n != 1 {
		t.Errorf("%d keys", n)
	}
	changed(before)
	changed(between)
	// A key that is missing: nothing is forgotten.
	if err := os.WriteFile(filepath.Join(data, "secrets.key"), []byte(strings.Repeat("A", 43)+"=\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := command("forget"); err == nil || !strings.Contains(out, "no key opens: mirror "+before) {
		t.Errorf("%s, %v", out, err)
	}
}
