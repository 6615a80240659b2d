package e2e

import (
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/berth-engine/berth/test/engine"
)

// Registries on loopback need no certificate and no proxy is asked for them.
// farAddress is one of this machine that is not on loopback; farName is known to
// proxies alone.
const (
	farAddress = "198.51.100.10"
	farName    = "registry.test"
)

// addFarAddress gives the machine farAddress until the test ends.
func addFarAddress(t *testing.T) {
	t.Helper()
	ip := func(verb string) {
		t.Helper()
		if out, err := exec.Command("ip", "address", verb, farAddress+"/32", "dev", "lo").CombinedOutput(); err != nil { //nolint:noctx // a clean-up, too
			t.Fatalf("ip address %s: %v\n%s", verb, err, out)
		}
	}
	ip("add")
	t.Cleanup(func() { ip("del") })
}

// startHub starts a Hub of the story's own, with hello-world in it unless the
// arguments say otherwise.
func startHub(t *testing.T, listen string, args ...string) *engine.Hub {
	t.Helper()
	h, err := engine.StartHub(t.TempDir(), listen, args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Stop() })
	return h
}

// asked lists what a Hub was asked for, from request n on, as "GET /v2/…".
func asked(t *testing.T, h *engine.Hub, n int) (list []string) {
	t.Helper()
	for _, a := range accessesOf(t, h)[n:] {
		list = append(list, a.Method+" "+a.Path)
	}
	return list
}

// settings is a directory that the daemon looks for hosts.toml and certificates in.
type settings string

// write makes the directory of a registry hold one file.
func (s settings) write(t *testing.T, registry, name, text string) {
	t.Helper()
	dir := filepath.Join(string(s), registry)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// clear removes all of them.
func (s settings) clear(t *testing.T) {
	t.Helper()
	dirs, err := filepath.Glob(filepath.Join(string(s), "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range dirs {
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
}

// fetch pulls an image that the engine does not have yet.
func fetch(t *testing.T, d *engine.Daemon, name string) {
	t.Helper()
	must(t, d, "docker", "pull", name)
	must(t, d, "docker", "rmi", name)
}

// TestRegistryMirror: the mirror that hosts.toml names for a registry is asked
// first, by pulls and by builds, and the registry when the mirror is down or does
// not have the image. Nothing is pushed to the mirror.
func TestRegistryMirror(t *testing.T) {
	files := settings(t.TempDir())
	d := newDaemon(t, "--registry-config-dir", string(files))
	origin, mirror := startHub(t, ""), startHub(t, "")
	if err := d.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	name := origin.Addr + "/library/hello-world:latest"
	toml := fmt.Sprintf("[host.%q]\n  capabilities = [\"pull\", \"resolve\"]\n", "http://"+mirror.Addr)
	host, port, _ := net.SplitHostPort(origin.Addr)
	for _, dir := range []string{origin.Addr, host + "_" + port + "_"} {
		files.write(t, dir, "hosts.toml", toml)
		had, kept := len(accessesOf(t, mirror)), len(accessesOf(t, origin))
		fetch(t, d, name)
		if got := asked(t, mirror, had); !asksFor(got, "/manifests/") || !asksFor(got, "/blobs/") {
			t.Errorf("%s: the mirror was asked for %q", dir, got)
		}
		if got := asked(t, origin, kept); len(got) > 0 {
			t.Errorf("%s: the registry was asked, too: %q", dir, got)
		}
		files.clear(t)
	}
	files.write(t, origin.Addr, "hosts.toml", toml)

	if err := mirror.Stop(); err != nil {
		t.Fatal(err)
	}
	kept := len(accessesOf(t, origin))
	fetch(t, d, name)
	if got := asked(t, origin, kept); !asksFor(got, "/manifests/") || !asksFor(got, "/blobs/") {
		t.Errorf("without the mirror the registry was asked for %q", got)
	}

	mirror = startHub(t, mirror.Addr)
	ctx := t.TempDir()
	if err := os.WriteFile(filepath.Join(ctx, "Dockerfile"), []byte("FROM "+name+"\nENV A=b\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	had, kept := len(accessesOf(t, mirror)), len(accessesOf(t, origin))
	must(t, d, "DOCKER_BUILDKIT=0", "docker", "build", "-t", origin.Addr+"/made/here:1", ctx)
	if got := asked(t, mirror, had); !asksFor(got, "/blobs/") {
		t.Errorf("the build asked the mirror for %q", got)
	}
	if got := asked(t, origin, kept); len(got) > 0 {
		t.Errorf("the build asked the registry, too: %q", got)
	}
	had = len(accessesOf(t, mirror))
	must(t, d, "docker", "push", origin.Addr+"/made/here:1")
	if got := asked(t, mirror, had); slices.ContainsFunc(got, func(a string) bool { return !strings.HasPrefix(a, "GET ") && !strings.HasPrefix(a, "HEAD ") }) {
		t.Errorf("the mirror was pushed to: %q", got)
	}
	// What was pushed is in the registry alone.
	must(t, d, "docker", "rmi", origin.Addr+"/made/here:1")
	had = len(accessesOf(t, mirror))
	fetch(t, d, origin.Addr+"/made/here:1")
	if got := asked(t, mirror, had); !asksFor(got, "/made/here/manifests/1") {
		t.Errorf("the mirror was not asked first: %q", got)
	}
}

// asksFor tells whether a path of some requests holds part.
func asksFor(requests []string, part string) bool {
	return slices.ContainsFunc(requests, func(a string) bool { return strings.Contains(a, part) })
}

// TestRegistryTrust: a registry whose certificate no known authority has signed is
// refused, by all that talks to it, until certs.d has the authority's certificate
// or the configuration calls the registry insecure.
func TestRegistryTrust(t *testing.T) {
	ca := newAuthority(t, "ours")
	cert := ca.write(t, x509.ExtKeyUsageServerAuth)
	files := settings(t.TempDir())
	d := newDaemon(t, "--registry-config-dir", string(files))
	addFarAddress(t)
	h := startHub(t, farAddress+":0", "--insecure-open", "--tls-cert", cert+"/cert.pem", "--tls-key", cert+"/key.pem")
	plain := startHub(t, farAddress+":0", "--insecure-open", "--insecure")
	if err := d.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	must(t, d, "docker", "pull", "-q", "hello-world")
	untrusted := func(h *engine.Hub, why string) {
		t.Helper()
		want := fmt.Sprintf("Error response from daemon: failed to resolve reference %q: failed to do request: Head \"https://%[2]s/v2/library/hello-world/manifests/latest\": %s\n",
			h.Addr+"/library/hello-world:latest", h.Addr, why)
		if out, err := client(t, d, "docker", "pull", "-q", h.Addr+"/library/hello-world"); err == nil || out != want {
			t.Errorf("docker pull: %v\n%s, want %s", err, out, want)
		}
		for _, cmd := range talks(t, h.Addr) {
			if out, err := client(t, d, cmd...); err == nil || !strings.Contains(out, why) {
				t.Errorf("%q: %v\n%s, want %s", cmd, err, out, why)
			}
		}
	}
	trusted := func(h *engine.Hub, how string) {
		t.Helper()
		fetch(t, d, h.Addr+"/library/hello-world")
		for _, cmd := range talks(t, h.Addr) {
			if out, err := client(t, d, cmd...); err != nil {
				t.Errorf("%s: %q: %v\n%s", how, cmd, err, out)
			}
		}
	}
	const unknown, noTLS = "tls: failed to verify certificate: x509: certificate signed by unknown authority", "http: server gave HTTP response to HTTPS client"
	untrusted(h, unknown)
	untrusted(plain, noTLS)

	pem, err := os.ReadFile(filepath.Join(cert, "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	files.write(t, h.Addr, "ca.crt", string(pem))
	trusted(h, "by ca.crt")
	files.clear(t)
	untrusted(h, unknown)
	files.write(t, h.Addr, "authority.pem", string(pem))
	files.write(t, h.Addr, "hosts.toml", "ca = \"authority.pem\"\n")
	trusted(h, "by ca of hosts.toml")
	files.write(t, h.Addr, "hosts.toml", "skip_verify = true\n")
	trusted(h, "by skip_verify of hosts.toml")
	files.clear(t)
	files.write(t, plain.Addr, "hosts.toml", fmt.Sprintf("server = %q\n", "http://"+plain.Addr))
	trusted(plain, "by server of hosts.toml")
	files.clear(t)

	for _, entry := range [][]string{{h.Addr, plain.Addr}, {"198.51.100.0/24"}, {farAddress}} {
		untrusted(h, unknown)
		configure(t, d, map[string]any{"insecure-registries": entry})
		trusted(h, fmt.Sprintf("insecure %q", entry))
		trusted(plain, fmt.Sprintf("insecure %q", entry))
		if out := must(t, d, "docker", "info"); !strings.Contains(out, " Insecure Registries:\n") || !strings.Contains(out, "\n  "+entry[0]+"\n") {
			t.Errorf("docker info does not say that %s is insecure:\n%s", entry[0], out)
		}
		configure(t, d, map[string]any{})
	}
}

// talks are the ways to talk to a registry, but for pulls.
func talks(t *testing.T, addr string) [][]string {
	t.Helper()
	ctx := t.TempDir()
	if err := os.WriteFile(filepath.Join(ctx, "Dockerfile"), []byte("FROM "+addr+"/library/hello-world\nENV A=b\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return [][]string{
		{"sh", "-c", "docker login -u somebody -p secret " + addr + " && docker logout " + addr},
		{"sh", "-c", "docker tag hello-world " + addr + "/pushed/one:1 && docker push " + addr + "/pushed/one:1"},
		{"DOCKER_BUILDKIT=0", "docker", "build", "--pull", ctx},
		{"berth", "build", "--progress", "plain", "--pull", ctx},
		{"docker", "search", addr + "/hello"},
	}
}

// configure has the running daemon read another daemon.json, until `docker info`
// tells of it.
func configure(t *testing.T, d *engine.Daemon, keys map[string]any) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(d.Dir, "daemon.json"), marshal(t, keys), 0o600); err != nil {
		t.Fatal(err)
	}
	list, _ := keys["insecure-registries"].([]string)
	if err := syscall.Kill(d.Pid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the configuration to count", func() []string {
		out := must(t, d, "docker", "info", "-f", "{{json .RegistryConfig}}")
		var known struct {
			InsecureRegistryCIDRs []string
			IndexConfigs          map[string]struct{ Secure bool }
		}
		if err := json.Unmarshal([]byte(out), &known); err != nil {
			t.Fatal(err)
		}
		has := known.InsecureRegistryCIDRs[2:] // after those of loopback
		for host, c := range known.IndexConfigs {
			if !c.Secure {
				has = append(has, host)
			}
		}
		slices.Sort(has)
		if !slices.Equal(has, slices.Sorted(slices.Values(list))) {
			return []string{out}
		}
		return nil
	})
}

// middleman is a proxy that knows where farName is, and remembers for whom it was
// asked.
type middleman struct {
	*httptest.Server
	at string // where farName is; else a host is where it says
	mu sync.Mutex
	// hosts are those that something went to, passwords what came with requests.
	hosts, passwords []string
}

func newMiddleman(t *testing.T, at string) *middleman {
	t.Helper()
	m := &middleman{at: at}
	m.Server = httptest.NewServer(m)
	t.Cleanup(m.Close)
	return m
}

// ServeHTTP passes a request on, or makes the tunnel that it asks for.
func (m *middleman) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.note(r.Host)
	m.mu.Lock()
	m.passwords = append(m.passwords, r.Header.Get("Proxy-Authorization"))
	m.mu.Unlock()
	to := r.Host
	if strings.HasPrefix(to, farName) {
		to = m.at
	}
	if r.Method != http.MethodConnect {
		(&httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) { p.Out.URL.Host = to }}).ServeHTTP(w, r)
		return
	}
	server, err := (&net.Dialer{}).DialContext(r.Context(), "tcp", to)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer server.Close()
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n")
	// Clients keep tunnels for what they ask next.
	used := writer(func(p []byte) (int, error) {
		m.note(r.Host)
		return server.Write(p)
	})
	go func() { _, _ = io.Copy(used, buffered) }()
	_, _ = io.Copy(conn, server)
}

type writer func(p []byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }

func (m *middleman) note(host string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hosts = append(m.hosts, host)
}

// through runs something and lists the hosts that the proxy was asked for.
func (m *middleman) through(run func()) []string {
	m.mu.Lock()
	m.hosts = nil
	m.mu.Unlock()
	run()
	m.mu.Lock()
	defer m.mu.Unlock()
	slices.Sort(m.hosts)
	return slices.Compact(m.hosts)
}

// TestRegistryProxy: the proxies of the daemon's environment, and rather those of
// its configuration, stand between it and registries, but for the hosts that are
// to be reached without.
func TestRegistryProxy(t *testing.T) {
	ca := newAuthority(t, "ours")
	cert := ca.write(t, x509.ExtKeyUsageServerAuth)
	pem, err := os.ReadFile(filepath.Join(cert, "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	files := settings(t.TempDir())
	d := newDaemon(t, "--registry-config-dir", string(files))
	addFarAddress(t)
	h := startHub(t, farAddress+":0", "--insecure-open", "--host", farName, "--tls-cert", cert+"/cert.pem", "--tls-key", cert+"/key.pem")
	plain := startHub(t, farAddress+":0", "--insecure-open", "--insecure")
	proxy := newMiddleman(t, h.Addr)
	files.write(t, farName, "ca.crt", string(pem))
	files.write(t, h.Addr, "ca.crt", string(pem))
	known := strings.Replace(proxy.URL, "http://", "http://somebody:secret@", 1)

	for name, c := range map[string]struct {
		environ []string
		config  map[string]any
	}{
		"environment": {[]string{"HTTP_PROXY=" + known, "HTTPS_PROXY=" + known, "NO_PROXY=" + h.Addr}, nil},
		"configuration": {
			[]string{"HTTP_PROXY=http://127.0.0.1:1", "https_proxy=http://127.0.0.1:1", "NO_PROXY=*"},
			map[string]any{"proxies": map[string]string{"http-proxy": known, "https-proxy": known, "no-proxy": h.Addr}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			config := map[string]any{"insecure-registries": []string{plain.Addr}}
			for k, v := range c.config {
				config[k] = v
			}
			if err := os.WriteFile(filepath.Join(d.Dir, "daemon.json"), marshal(t, config), 0o600); err != nil {
				t.Fatal(err)
			}
			d.Setenv(c.environ...)
			if err := d.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			shown := strings.Replace(proxy.URL, "http://", "http://xxxxx:xxxxx@", 1)
			if out := must(t, d, "docker", "info"); !strings.Contains(out, " HTTP Proxy: "+shown+"\n HTTPS Proxy: "+shown+"\n No Proxy: "+h.Addr+"\n") {
				t.Errorf("docker info does not show the proxies:\n%s", out)
			}
			if log := d.Log(); strings.Contains(log, "somebody:secret") {
				t.Error("the daemon's log has the proxy's password")
			}
			for host, want := range map[string][]string{
				farName:    {farName + ":443"}, // nobody else knows the name
				plain.Addr: {plain.Addr},
				h.Addr:     nil,
			} {
				if got := proxy.through(func() { fetch(t, d, host+"/library/hello-world") }); !slices.Equal(got, want) {
					t.Errorf("pull from %s: the proxy was asked for %q, want %q", host, got, want)
				}
				must(t, d, "docker", "pull", "-q", "hello-world")
				for _, cmd := range talks(t, host) {
					if got := proxy.through(func() { must(t, d, cmd...) }); !slices.Equal(got, want) {
						t.Errorf("%q: the proxy was asked for %q, want %q", cmd, got, want)
					}
				}
			}
			if i := slices.IndexFunc(proxy.passwords, func(p string) bool { return p != "Basic c29tZWJvZHk6c2VjcmV0" }); i >= 0 {
				t.Errorf("the proxy was given %q as its password", proxy.passwords[i])
			}
			if err := d.Stop(); err != nil {
				t.Fatal(err)
			}
		})
	}
}
