package server

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/berth-engine/berth/config"
)

func TestUnixSocket(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.sock")
	c := &config.Config{Hosts: []string{"unix://" + path}, Group: "12345"}
	ls, err := Listen(t.Context(), c, nil)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o660 || ls[0].Addr().String() != path {
		t.Errorf("%v %v %s", info, err, ls[0].Addr())
	}
	if out, _ := exec.CommandContext(t.Context(), "stat", "-c", "%u:%g", path).Output(); strings.TrimSpace(string(out)) != "0:12345" {
		t.Errorf("owner %s", out)
	}
	// Not while somebody answers.
	if _, err := Listen(t.Context(), c, nil); err == nil || !strings.Contains(err.Error(), "listens on it already") {
		t.Errorf("second: %v", err)
	}
	if err := ls[0].Close(); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	// A socket that nobody answers on is replaced; what another daemon has put
	// in its place by the end is left alone.
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	dead.Close()
	if ls, err = Listen(t.Context(), c, nil); err != nil {
		t.Fatal(err)
	}
	os.Remove(path)
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	ls[0].Close()
	if _, err := os.Stat(path); err != nil {
		t.Error("removed what was not its own")
	}
	if _, err := Listen(t.Context(), c, nil); err == nil || !strings.Contains(err.Error(), "not a socket") {
		t.Errorf("a file: %v", err)
	}
	os.Remove(path)
	// All or none.
	c.Hosts = append(c.Hosts, "fd://nosuch")
	if _, err := Listen(t.Context(), c, nil); err == nil || !strings.Contains(err.Error(), "no sockets found via socket activation") {
		t.Errorf("%v", err)
	}
	c.Hosts, c.Group = c.Hosts[:1], "no-such-group"
	if _, err := Listen(t.Context(), c, nil); err == nil || !strings.Contains(err.Error(), "no-such-group") {
		t.Errorf("%v", err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestInheritedChild is the process of TestInherited that got the sockets.
func TestInheritedChild(t *testing.T) {
	if os.Getenv("BERTH_TEST_INHERITED") == "" {
		return // it is only the other test's child
	}
	t.Setenv("LISTEN_PID", fmt.Sprint(os.Getpid()))
	in, err := InheritedListeners()
	if err != nil || len(in) != 2 || in[0].Name != "one" || in[1].FD != 4 || os.Getenv("LISTEN_FDS") != "" {
		t.Fatalf("%+v %v", in, err)
	}
	ls, err := Listen(t.Context(), &config.Config{Hosts: []string{"fd://two"}}, in)
	if err != nil || len(ls) != 1 || ls[0] != in[1].Listener {
		t.Fatalf("%v %v", ls, err)
	}
	if _, err := in[0].Listener.Accept(); err == nil || !strings.Contains(err.Error(), "closed") {
		t.Errorf("a socket that nobody asked for is open: %v", err)
	}
}

func TestInherited(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestInheritedChild$", "-test.v")
	for range 2 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		f, err := l.(*net.TCPListener).File()
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		cmd.ExtraFiles = append(cmd.ExtraFiles, f)
	}
	cmd.Env = append(os.Environ(), "BERTH_TEST_INHERITED=1", "LISTEN_FDS=2", "LISTEN_FDNAMES=one:two")
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS") {
		t.Errorf("%v\n%s", err, out)
	}
	// Meant for somebody else.
	t.Setenv("LISTEN_PID", "1")
	t.Setenv("LISTEN_FDS", "2")
	if in, err := InheritedListeners(); err != nil || in != nil {
		t.Errorf("%v %v", in, err)
	}
}

// certificate writes a key pair signed by ca (nil: by itself) and returns it.
func certificate(t *testing.T, dir, name string, ca *tls.Certificate) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: ca == nil, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	parent, signer := tmpl, any(key)
	if ca != nil {
		parent, signer = ca.Leaf, ca.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for ext, block := range map[string]*pem.Block{".pem": {Type: "CERTIFICATE", Bytes: der}, ".key": {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(filepath.Join(dir, name+ext), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, err := tls.LoadX509KeyPair(filepath.Join(dir, name+".pem"), filepath.Join(dir, name+".key"))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestTLSVerify(t *testing.T) {
	dir := t.TempDir()
	ca := certificate(t, dir, "ca", nil)
	certificate(t, dir, "server", &ca)
	mine := certificate(t, dir, "client", &ca)
	other := certificate(t, dir, "other", nil)
	yes := true
	c := &config.Config{
		Hosts: []string{"tcp://127.0.0.1:0"}, TLSVerify: &yes, TLSCACert: filepath.Join(dir, "ca.pem"),
		TLSCert: filepath.Join(dir, "server.pem"), TLSKey: filepath.Join(dir, "server.key"),
	}
	ls, err := Listen(t.Context(), c, nil)
	if err != nil {
		t.Fatal(err)
	}
	s, _ := serve(t, &fakeContainers{}, nil)
	done := make(chan error, 1)
	go func() { done <- s.Serve(t.Context(), ls...) }()
	roots := x509.NewCertPool()
	roots.AddCert(ca.Leaf)
	get := func(certs ...tls.Certificate) (int, error) {
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: certs}, ForceAttemptHTTP2: true, DisableKeepAlives: true}}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+ls[0].Addr().String()+"/containers/json", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = "any.name.example" // a certificate stands for more than a name
		resp, err := client.Do(req)
		if err != nil {
			return 0, err
		}
		resp.Body.Close()
		if resp.ProtoMajor != 1 {
			t.Errorf("HTTP/%d cannot be hijacked", resp.ProtoMajor)
		}
		return resp.StatusCode, nil
	}
	if code, err := get(mine); err != nil || code != 200 {
		t.Errorf("%d %v", code, err)
	}
	if code, err := get(); err == nil {
		t.Errorf("no certificate: %d", code)
	}
	if code, err := get(other); err == nil {
		t.Errorf("foreign certificate: %d", code)
	}
	for _, bad := range []config.Config{
		{Hosts: c.Hosts, TLSVerify: &yes, TLSCACert: filepath.Join(dir, "ca.key"), TLSCert: c.TLSCert, TLSKey: c.TLSKey},
		{Hosts: c.Hosts, TLSVerify: &yes, TLSCACert: filepath.Join(dir, "none"), TLSCert: c.TLSCert, TLSKey: c.TLSKey},
		{Hosts: c.Hosts, TLSVerify: &yes, TLSCACert: c.TLSCACert, TLSCert: c.TLSCert, TLSKey: filepath.Join(dir, "ca.key")},
	} {
		if ls, err := Listen(t.Context(), &bad, nil); err == nil {
			t.Errorf("%+v: %v", bad, ls)
		}
	}
}
