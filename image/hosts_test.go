package image

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/moby/moby/api/types/jsonstream"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/berth-engine/berth/oci"
)

// writeFiles writes files below a new directory.
func writeFiles(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, data := range files {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(root, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, name), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// newTLS serves a registry over TLS; its certificate is signed by itself. With
// clients it demands one of theirs.
func newTLS(t *testing.T, h http.Handler, clients *x509.CertPool) (s *httptest.Server, ca string) {
	t.Helper()
	s = httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // of refused handshakes
	if clients != nil {
		s.TLS = &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients}
	}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
}

// newIdentity makes a client certificate that is its own authority.
func newIdentity(t *testing.T) (cert, key string, pool *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	rawKey, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool = x509.NewCertPool()
	pool.AddCert(parsed)
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: rawKey})), pool
}

// TestHostsFileTLS: certificates of a hosts.toml are those that count.
func TestHostsFileTLS(t *testing.T) {
	reg := newRegistry(t)
	reg.put("some/image:1", twoLayers(t, "a"))
	cert, key, pool := newIdentity(t)
	secure, ca := newTLS(t, reg, pool)
	for name, c := range map[string]struct {
		file string
		err  string
	}{
		"all there":        {"ca = 'ca.pem'\nclient = [['c.cert', 'c.key']]", ""},
		"not verified":     {"skip_verify = true\nclient = [['c.cert', 'c.key']]", ""},
		"unknown CA":       {"client = [['c.cert', 'c.key']]", "certificate signed by unknown authority"},
		"no client":        {"ca = 'ca.pem'", "certificate required"},
		"file that is not": {"ca = 'nosuch.pem'", "nosuch.pem"},
		"no PEM":           {"ca = 'c.key'", "no certificate in PEM form"},
	} {
		t.Run(name, func(t *testing.T) {
			root := writeFiles(t, map[string]string{
				"registry.test/hosts.toml": fmt.Sprintf("server = %q\n%s\n", secure.URL, c.file),
				"registry.test/ca.pem":     ca, "registry.test/c.cert": cert, "registry.test/c.key": key,
			})
			s, _ := openStore(t, t.TempDir())
			s.SetRegistries(Registries{ConfigDirs: []string{root}})
			err := s.Pull(t.Context(), "registry.test/some/image:1", PullOptions{})
			if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
				t.Errorf("%v, want %q", err, c.err)
			}
		})
	}
}

// TestDockerCertificates: those below a directory of Docker's form count, too.
func TestDockerCertificates(t *testing.T) {
	reg := newRegistry(t)
	reg.put("some/image:1", twoLayers(t, "a"))
	cert, key, pool := newIdentity(t)
	secure, _ := newTLS(t, reg, pool)
	host := strings.TrimPrefix(secure.URL, "https://")
	s, _ := openStore(t, t.TempDir())
	if err := s.Pull(t.Context(), host+"/some/image:1", PullOptions{}); err == nil {
		t.Error("the registry took a client without certificate: the test proves nothing")
	}
	s.SetRegistries(Registries{ConfigDirs: []string{writeFiles(t, map[string]string{host + "/client.cert": cert, host + "/client.key": key})}})
	mustPull(t, s, host+"/some/image:1")
}

// TestHostsFileMirrors: mirrors are asked in order, with their headers and
// without credentials; one without the capability is left out; a redirect does
// not get the headers. The registry itself gets the credentials.
func TestHostsFileMirrors(t *testing.T) {
	img := twoLayers(t, "a")
	layer := img.Blobs[0].Descriptor.Digest.String()
	witness := newWitness(t, append(secret, "key-of-mirror")...)
	first, second, origin := newRegistry(t), newRegistry(t), newRegistry(t)
	var withKey, redirected atomic.Bool
	first.put("some/image:1", img)
	first.setHook(func(w http.ResponseWriter, r *http.Request) bool {
		withKey.Store(r.Header.Get("X-Key") == "key-of-mirror")
		if strings.Contains(fmt.Sprint(r.Header), basic) {
			t.Error("the mirror got the credentials")
		}
		if strings.HasSuffix(r.URL.Path, layer) {
			redirected.Store(true)
			http.Redirect(w, r, witness.URL+"/blob", http.StatusTemporaryRedirect)
			return true
		}
		if strings.Contains(r.URL.Path, "/manifests/1") {
			return false
		}
		w.WriteHeader(http.StatusNotFound)
		return true
	})
	origin.put("some/image:1", img)
	origin.setHook(demand(`Basic realm="x"`, func(r *http.Request) bool { return r.Header.Get("Authorization") == "Basic "+basic }))
	root := writeFiles(t, map[string]string{"registry.test/hosts.toml": fmt.Sprintf(`
server = %q
[host.%q]
  capabilities = ["pull", "resolve"]
  [host.%[2]q.header]
    X-Key = "key-of-mirror"
[host.%[3]q]
  capabilities = ["push"]
`, origin.URL, first.URL, second.URL)})
	s, _ := openStore(t, t.TempDir())
	s.SetRegistries(Registries{ConfigDirs: []string{root}})
	err := s.Pull(t.Context(), "registry.test/some/image:1", PullOptions{Auth: login})
	if err == nil {
		t.Error("a layer with other content was taken")
	}
	if !withKey.Load() || !redirected.Load() {
		t.Errorf("header %v, redirect %v", withKey.Load(), redirected.Load())
	}
	witness.check(t, true)
	first.setHook(func(w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(http.StatusNotFound)
		return true
	})
	if err := s.Pull(t.Context(), "registry.test/some/image:1", PullOptions{Auth: login}); err != nil {
		t.Error(err)
	}

	if n := second.requests(""); n > 0 {
		t.Errorf("a mirror for nothing was asked %d times", n)
	}

	// A file with a mistake does not open the way round it.
	s.SetRegistries(Registries{ConfigDirs: []string{writeFiles(t, map[string]string{"127.0.0.1_" + strings.Split(origin.host(), ":")[1] + "_/hosts.toml": "sever = 1"})}})
	if err := s.Pull(t.Context(), origin.host()+"/some/image:1", PullOptions{Auth: login}); err == nil || !strings.Contains(err.Error(), "unknown setting") {
		t.Errorf("%v", err)
	}
}

// TestDefaultHostsFile: the file for all registries names mirrors only: they get
// no registry's credentials, and nothing is pushed to them.
func TestDefaultHostsFile(t *testing.T) {
	mirror, origin := newRegistry(t), newRegistry(t)
	mirror.put("private:1", twoLayers(t, "a"))
	mirror.setHook(func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Header.Get("Authorization") != "" || r.Method != http.MethodGet && r.Method != http.MethodHead {
			t.Errorf("mirror got %s %s %v", r.Method, r.URL, r.Header)
		}
		return false
	})
	s, _ := openStore(t, t.TempDir())
	s.SetRegistries(Registries{ConfigDirs: []string{writeFiles(t, map[string]string{"_default/hosts.toml": fmt.Sprintf("server = %q", mirror.URL)})}})
	ref := origin.host() + "/private:1"
	if err := s.Pull(t.Context(), ref, PullOptions{Auth: login}); err != nil {
		t.Fatal(err)
	}
	if n := origin.requests("GET"); n > 0 {
		t.Errorf("the registry was asked %d times", n)
	}
	_ = s.Push(t.Context(), ref, PushOptions{Auth: login}) // the fake takes nothing; the mirror's hook looks
	if origin.requests("HEAD")+origin.requests("POST") == 0 {
		t.Error("nothing was pushed to the registry")
	}
}

// TestBusyRegistry: what a registry says of its limits is told, and a blob that
// fails is asked for again.
func TestBusyRegistry(t *testing.T) {
	img := large(t, 1<<20)
	layer := img.Blobs[1]
	reg := newRegistry(t)
	reg.put("big:1", img)
	var asked atomic.Int32
	reg.setHook(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, layer.Descriptor.Digest.String()) {
			w.Header().Set("RateLimit-Limit", "100;w=21600")
			w.Header().Set("RateLimit-Remaining", "2;w=21600")
			return false
		}
		switch asked.Add(1) {
		case 1:
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(http.StatusTooManyRequests)
		case 2, 3: // twice: the library asks again itself
			w.WriteHeader(http.StatusBadGateway)
		default:
			return false
		}
		return true
	})
	s, _ := openStore(t, t.TempDir())
	s.puller.Pause = time.Millisecond
	var lines []string
	if err := s.Pull(t.Context(), reg.host()+"/big:1", PullOptions{Progress: collect(&lines)}); err != nil {
		t.Fatal(err)
	}
	all := strings.Join(lines, "\n")
	for _, want := range []string{"allows 100 in 6h0m0s; 2 are left", "is busy (429 Too Many Requests): retrying in 0s", "Retrying in 1ms: ", "Retrying in 2ms: "} {
		if strings.Count(all, want) != 1 {
			t.Errorf("%q is not there once:\n%s", want, all)
		}
	}

	reg.setHook(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, "/manifests/") {
			return false
		}
		w.Header().Set("Retry-After", "3600")
		w.WriteHeader(http.StatusTooManyRequests)
		return true
	})
	before := reg.requests("/manifests/")
	err := s.Pull(t.Context(), reg.host()+"/big:1", PullOptions{})
	if err == nil || err.Error() != "toomanyrequests: "+reg.host()+" answers 429 Too Many Requests; try again in 1h0m0s" {
		t.Errorf("%v", err)
	}
	if n := reg.requests("/manifests/") - before; n != 1 {
		t.Errorf("a registry that asks for an hour was asked %d times", n)
	}

	// What breaks again and again ends after as many attempts as are configured.
	asked.Store(0)
	reg.put("broken:1", newImage(t, amd64, ocispec.ImageConfig{}, newLayer(t, oci.None, file("x", "y"))))
	reg.setHook(func(w http.ResponseWriter, r *http.Request) bool {
		if strings.Contains(r.URL.Path, "/blobs/") {
			asked.Add(1)
			w.WriteHeader(http.StatusBadGateway)
			return true
		}
		return false
	})
	s.SetRegistries(Registries{Attempts: 2})
	lines = nil
	err = s.Pull(t.Context(), reg.host()+"/broken:1", PullOptions{Progress: func(m jsonstream.Message) { lines = append(lines, m.Status) }})
	if err == nil || !strings.Contains(err.Error(), "502") {
		t.Errorf("%v", err)
	}
	if n := strings.Count(strings.Join(lines, "\n"), "Retrying in 1ms"); n < 1 || strings.Contains(strings.Join(lines, "\n"), "Retrying in 2ms") {
		t.Errorf("%d retries:\n%s", n, strings.Join(lines, "\n"))
	}
}

// TestBrokenConnection: a registry that ends its connections early is asked for
// the rest each time.
func TestBrokenConnection(t *testing.T) {
	img := large(t, 2<<20)
	layer := img.Blobs[1]
	reg := newRegistry(t)
	reg.put("big:1", img)
	var sent atomic.Int64
	reg.setHook(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, layer.Descriptor.Digest.String()) {
			return false
		}
		from := 0
		_, _ = fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &from)
		rest := layer.Data[from:]
		w.Header().Set("Content-Length", fmt.Sprint(len(rest)))
		if from > 0 {
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(layer.Data)-1, len(layer.Data)))
			w.WriteHeader(http.StatusPartialContent)
		}
		n, _ := io.Copy(w, io.LimitReader(bytes.NewReader(rest), 400<<10))
		sent.Add(n)
		if int(n) < len(rest) {
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}
		return true
	})
	s, _ := openStore(t, t.TempDir())
	s.puller.Pause = time.Millisecond
	mustPull(t, s, reg.host()+"/big:1")
	if n := sent.Load(); n > int64(len(layer.Data))+(64<<10) {
		t.Errorf("%d bytes were sent for a layer of %d", n, len(layer.Data))
	}
}

// TestProxy: registries are reached through the proxies of the environment, which
// is where the daemon's setting puts its own; insecure ones, too.
func TestProxy(t *testing.T) {
	reg := newRegistry(t)
	reg.put("some/image:1", twoLayers(t, "a"))
	secure, _ := newTLS(t, reg, nil)
	var through atomic.Int32
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		through.Add(1)
		if r.Method == http.MethodConnect {
			connect(w, secure.Listener.Addr().String())
			return
		}
		reg.ServeHTTP(w, r)
	}))
	defer proxy.Close()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"registry.test:80", "secure.test"} {
		through.Store(0)
		child := exec.CommandContext(t.Context(), exe)
		child.Env = append(os.Environ(), childRoot+"="+t.TempDir(), "BERTH_TEST_PULL_REF="+host+"/some/image:1", "HTTP_PROXY="+proxy.URL, "HTTPS_PROXY="+proxy.URL)
		out, _ := child.CombinedOutput()
		if !strings.Contains(string(out), "<nil>") || through.Load() == 0 {
			t.Errorf("%s: %d requests through the proxy: %s", host, through.Load(), out)
		}
	}
}

// connect does what a proxy does for TLS.
func connect(w http.ResponseWriter, addr string) {
	server, err := net.Dial("tcp", addr)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer server.Close()
	client, buffered, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer client.Close()
	_, _ = io.WriteString(client, "HTTP/1.1 200 OK\r\n\r\n")
	go func() { _, _ = io.Copy(server, buffered) }()
	_, _ = io.Copy(client, server)
}
