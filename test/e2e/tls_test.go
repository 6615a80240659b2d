package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/berth-engine/berth/test/engine"
)

// authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	key := newKey(t)
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{cert, key}
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// write puts ca.pem, and a certificate with its key for that use, into a folder
// as DOCKER_CERT_PATH wants it.
func (a *authority) write(t *testing.T, use x509.ExtKeyUsage) (dir string) {
	t.Helper()
	dir = t.TempDir()
	key := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "somebody"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{use},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.ParseIP(farAddress)}, DNSNames: []string{farName},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		"ca.pem": {Type: "CERTIFICATE", Bytes: a.cert.Raw}, "cert.pem": {Type: "CERTIFICATE", Bytes: der}, "key.pem": {Type: "PRIVATE KEY", Bytes: secret},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestTLS: a daemon at a TCP port wants to know its clients, and clients their
// daemon; both command lines say it by flags, by environment and by context.
func TestTLS(t *testing.T) {
	ca, other := newAuthority(t, "ours"), newAuthority(t, "theirs")
	server, member, stranger := ca.write(t, x509.ExtKeyUsageServerAuth), ca.write(t, x509.ExtKeyUsageClientAuth), other.write(t, x509.ExtKeyUsageClientAuth)
	// Who has the right authority and no certificate, and the reverse.
	nobody, deceived := t.TempDir(), other.write(t, x509.ExtKeyUsageClientAuth)
	copyFile(t, filepath.Join(member, "ca.pem"), filepath.Join(nobody, "ca.pem"))
	copyFile(t, filepath.Join(member, "ca.pem"), filepath.Join(stranger, "ca.pem"))

	port, err := engine.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	d := newDaemon(t, "--host", "tcp://127.0.0.1:"+port, "--tlsverify",
		"--tlscacert", server+"/ca.pem", "--tlscert", server+"/cert.pem", "--tlskey", server+"/key.pem")
	if err := d.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := idle(t, d)
	addr := "tcp://127.0.0.1:" + port
	flags := func(dir string) []string {
		return []string{"-H", addr, "--tlsverify", "--tlscacert", dir + "/ca.pem", "--tlscert", dir + "/cert.pem", "--tlskey", dir + "/key.pem"}
	}
	for _, program := range []string{"berth", "docker"} {
		good := map[string][]string{
			"flags":       append([]string{program}, flags(member)...),
			"environment": {"BERTH_HOST=" + addr, "DOCKER_HOST=" + addr, "DOCKER_TLS_VERIFY=1", "DOCKER_CERT_PATH=" + member, program},
		}
		for how, cmd := range good {
			if out, err := client(t, d, append(cmd, "version", "-f", "{{.Server.Platform.Name}}")...); err != nil || out != "Berth Engine\n" {
				t.Errorf("%s by %s: %v\n%s", program, how, err, out)
			}
		}
		bad := map[string]struct {
			cmd  []string
			says string
		}{
			"a certificate of another authority": {append([]string{program}, flags(stranger)...), "certificate"},
			"a daemon of another authority":      {append([]string{program}, flags(deceived)...), "unknown authority"},
			"no certificate":                     {[]string{program, "-H", addr, "--tls", "--tlscacert", nobody + "/ca.pem", "--tlscert", "", "--tlskey", ""}, "certificate"},
			"no encryption":                      {[]string{program, "-H", addr}, "HTTPS server"},
		}
		for what, b := range bad {
			if out, err := client(t, d, append(b.cmd, "version")...); err == nil || !strings.Contains(out, b.says) {
				t.Errorf("%s with %s: %v, want %q\n%s", program, what, err, b.says, out)
			}
		}
		must(t, d, program, "context", "create", "remote-"+program,
			"--docker", "host="+addr+",ca="+member+"/ca.pem,cert="+member+"/cert.pem,key="+member+"/key.pem")
		if out := must(t, d, "BERTH_HOST=", "DOCKER_HOST=", program, "--context", "remote-"+program, "version", "-f", "{{.Server.Platform.Name}}"); out != "Berth Engine\n" {
			t.Errorf("%s by context: %s", program, out)
		}
	}
	// Each reads the other's contexts.
	must(t, d, "BERTH_HOST=", "DOCKER_HOST=", "berth", "--context", "remote-docker", "ps")
	must(t, d, "BERTH_HOST=", "DOCKER_HOST=", "docker", "--context", "remote-berth", "ps")
	noLeak(t, d, before)
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}
