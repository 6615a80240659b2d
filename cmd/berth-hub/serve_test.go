package main

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/berth-engine/berth/hub/registry"
)

// start runs the Hub until the function that it returns is called, which
// gives the Hub's error.
func start(t *testing.T, o serveOptions) (addr string, stop func() error) {
	t.Helper()
	r, w := io.Pipe()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		err := serve(ctx, o, w)
		w.CloseWithError(err)
		ended <- err
	}()
	stop = func() error { cancel(); return <-ended }
	said := bufio.NewReader(r)
	line, err := said.ReadString('\n')
	addr, ok := strings.CutPrefix(strings.TrimSpace(line), "listening on ")
	if !ok {
		t.Fatalf("said %q, %v; ended with %v", line, err, stop())
	}
	go func() { _, _ = io.Copy(io.Discard, said) }() // what else the Hub says must not hold it up
	return addr, stop
}

// TestServeTwice starts the Hub again on its store: seeded once, the manifest
// keeps its digest, and the access log grows.
func TestServeTwice(t *testing.T) {
	dir := t.TempDir()
	o := serveOptions{listen: "127.0.0.1:0", dataOptions: dataOptions{data: filepath.Join(dir, "data")}, accessLog: filepath.Join(dir, "access.log")}
	var digests []string
	for range 2 {
		addr, stop := start(t, o)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr+"/v2/library/hello-world/manifests/latest", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept", "application/vnd.oci.image.index.v1+json")
		req.Header.Set("Authorization", "Basic c2VjcmV0")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%d %s, %v", resp.StatusCode, body, err)
		}
		for _, arch := range []string{"amd64", "arm64"} {
			if !strings.Contains(string(body), `"architecture":"`+arch+`"`) {
				t.Errorf("no %s in %s", arch, body)
			}
		}
		digests = append(digests, resp.Header.Get("Docker-Content-Digest"))
		if err := stop(); err != nil {
			t.Error(err)
		}
	}
	if digests[0] != digests[1] {
		t.Errorf("the restart changed the image: %q", digests)
	}
	log, err := os.ReadFile(o.accessLog)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(log), "c2VjcmV0") {
		t.Error("a credential is in the access log")
	}
	lines := 0
	for line := range strings.Lines(string(log)) {
		var a registry.Access
		if err := json.Unmarshal([]byte(line), &a); err != nil {
			t.Fatal(err)
		}
		if a.Status != http.StatusOK || a.Sent == 0 || a.Remote != "127.0.0.1" || a.UserAgent == "" {
			t.Errorf("line %s", line)
		}
		lines++
	}
	if lines != 2 {
		t.Errorf("%d lines in the access log", lines)
	}
}

func TestPlainHTTPStaysOnLoopback(t *testing.T) {
	for _, listen := range []string{"0.0.0.0:0", "[::]:0", ":0"} {
		err := serve(t.Context(), serveOptions{listen: listen, dataOptions: dataOptions{data: t.TempDir()}}, io.Discard)
		if err == nil || !strings.Contains(err.Error(), "--insecure") {
			t.Errorf("%s: %v", listen, err)
		}
	}
	_, stop := start(t, serveOptions{listen: "0.0.0.0:0", dataOptions: dataOptions{data: t.TempDir()}, insecure: true})
	if err := stop(); err != nil {
		t.Error(err)
	}
}

func TestTLS(t *testing.T) {
	dir := t.TempDir()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	o := serveOptions{
		listen: "127.0.0.1:0", dataOptions: dataOptions{data: dir}, noSeed: true,
		tlsCert: filepath.Join(dir, "cert.pem"), tlsKey: filepath.Join(dir, "key.pem"),
	}
	for path, block := range map[string]pem.Block{o.tlsCert: {Type: "CERTIFICATE", Bytes: der}, o.tlsKey: {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(&block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	addr, stop := start(t, o)
	roots := x509.NewCertPool()
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots.AddCert(cert)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	resp, err := client.Get("https://" + addr + "/v2/")
	if err != nil {
		t.Fatal(err, stop())
	}
	resp.Body.Close()
	client.CloseIdleConnections()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("status %d", resp.StatusCode)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

func TestBadFlags(t *testing.T) {
	for _, args := range [][]string{{"--nope"}, {"extra"}, {"--tls-cert", "x"}, {"--listen", "nowhere"}} {
		c := serveCommand()
		c.SetArgs(append(args, "--data", t.TempDir()))
		c.SetOut(io.Discard)
		c.SetErr(io.Discard)
		if err := c.ExecuteContext(t.Context()); err == nil {
			t.Errorf("%q was taken", args)
		}
	}
}
