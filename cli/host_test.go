package cli

import (
	"context"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-engine/berth/cli/stream"
	"github.com/moby/moby/api/types/container"
)

func TestChooseHost(t *testing.T) {
	for _, tc := range []struct {
		flags, context     string
		env                string // NAME=VALUE words
		used               string
		wantAddr, wantName string
		wantErr            string
	}{
		{},
		{env: "DOCKER_HOST=unix:///d.sock", wantAddr: "unix:///d.sock"},
		{env: "BERTH_HOST=unix:///b.sock DOCKER_HOST=unix:///d.sock", wantAddr: "unix:///b.sock"},
		{flags: "tcp://h:1", env: "BERTH_HOST=unix:///b.sock", used: "x", wantAddr: "tcp://h:1"},
		{flags: "a b", wantErr: "specify only one -H"},
		{flags: "a", context: "x", wantErr: "conflicting options: cannot specify both --host and --context"},
		{context: "x", env: "BERTH_HOST=unix:///b.sock DOCKER_CONTEXT=y", wantName: "x"},
		{env: "BERTH_HOST=unix:///b.sock DOCKER_CONTEXT=y", wantAddr: "unix:///b.sock"},
		{env: "DOCKER_CONTEXT=y", used: "z", wantName: "y"},
		{env: "DOCKER_CONTEXT=y BERTH_CONTEXT=b", wantName: "b"},
		{env: "DOCKER_CONTEXT=default", used: "z"},
		{used: "z", wantName: "z"},
		{context: "default", used: "z"},
	} {
		env := map[string]string{}
		for e := range strings.FieldsSeq(tc.env) {
			k, v, _ := strings.Cut(e, "=")
			env[k] = v
		}
		f := globalFlags{context: tc.context}
		f.hosts.Values = strings.Fields(tc.flags)
		addr, name, err := chooseHost(f, func(k string) string { return env[k] }, func() string { return tc.used })
		text := ""
		if err != nil {
			text = err.Error()
		}
		if addr != tc.wantAddr || name != tc.wantName || text != tc.wantErr {
			t.Errorf("%+v: %q, %q, %q", tc, addr, name, text)
		}
	}
}

func TestParseHost(t *testing.T) {
	for _, tc := range []struct {
		addr   string
		secure bool
		want   string
	}{
		{addr: "", want: "unix:///var/run/berth.sock"},
		{addr: "unix://", want: "unix:///var/run/berth.sock"},
		{addr: "tcp://", want: "tcp://127.0.0.1:2375"},
		{addr: "h", secure: true, want: "tcp://h:2376"},
		{addr: ":5", want: "tcp://127.0.0.1:5"},
		{addr: "tcp://[::1]:5/base", want: "tcp://[::1]:5/base"},
		{addr: "foo://x", want: "invalid bind address format: foo://x"},
		{addr: "ssh://u@x:2/run/s.sock", want: "ssh://u@x:2/run/s.sock"},
		{addr: "ssh://", want: "invalid SSH URL ssh://: hostname is empty"},
		{addr: "ssh://u:p@x", want: "invalid SSH URL: plain-text password is not supported"},
		{addr: "ssh://-oProxyCommand=x", want: "invalid SSH URL ssh://-oProxyCommand=x: user and host must not begin with '-'"},
	} {
		got, err := parseHost(tc.addr, tc.secure)
		if err != nil {
			got = err.Error()
		}
		if got != tc.want {
			t.Errorf("%+v: got %q", tc, got)
		}
	}
}

func TestTLS(t *testing.T) {
	newFake(t, nil)
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { answer([]container.Summary{})(w, r) }))
	defer srv.Close()
	host := "tcp://" + srv.Listener.Addr().String()
	dir := t.TempDir()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})
	if err := os.WriteFile(filepath.Join(dir, "ca.pem"), ca, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		args string
		env  string // DOCKER_CERT_PATH, with DOCKER_TLS_VERIFY
		code int
	}{
		{args: "--tls"},
		{args: "--tlsverify --tlscacert " + filepath.Join(dir, "ca.pem")},
		{env: dir},
		{args: "--tlsverify --tlscacert /nonexistent", code: 1},
		{args: "", code: 1},
	} {
		t.Setenv("DOCKER_CERT_PATH", tc.env)
		t.Setenv("DOCKER_TLS_VERIFY", tc.env)
		args := append(strings.Fields(tc.args), "-H", host, "ps", "-q")
		if code, _, errs := runCLI(t, "", args...); code != tc.code {
			t.Errorf("%+v: got %d, %q", tc, code, errs)
		}
	}
}

// TestMain doubles as a daemon for the tests of starting one.
func TestMain(m *testing.M) {
	if sock := os.Getenv("BERTH_TEST_DAEMON"); sock != "" {
		os.Exit(testDaemon(sock))
	}
	if os.Getenv("BERTH_TEST_CLI") != "" { // as the other end of ssh
		os.Exit(Main(context.Background(), os.Args[1:], stream.Std(), Build{}))
	}
	os.Exit(m.Run())
}

func testDaemon(sock string) int {
	if sock == "fail" {
		os.Stderr.WriteString("cannot do it: no space\n")
		return 1
	}
	done := make(chan struct{})
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/quit" {
			close(done)
		}
	}))
	l, err := listenUnix(sock)
	if err != nil {
		os.Stderr.WriteString(err.Error())
		return 1
	}
	srv.Listener = l
	srv.Start()
	<-done
	return 0
}

func TestStartDaemon(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	d := daemon{program: self, socket: filepath.Join(dir, "s.sock"), log: filepath.Join(dir, "log", "berthd.log")}
	t.Setenv("BERTH_TEST_DAEMON", d.socket)
	if err := d.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := quit(t.Context(), d.socket); err != nil {
		t.Error(err)
	}
	if info, err := os.Stat(d.log); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("log: %v, %v", info, err)
	}
	t.Setenv("BERTH_TEST_DAEMON", "fail")
	d.socket = filepath.Join(dir, "t.sock")
	err = d.start(t.Context())
	if err == nil || !strings.Contains(err.Error(), "ended at once (exit status 1)") || !strings.HasSuffix(err.Error(), "cannot do it: no space") {
		t.Errorf("got %v", err)
	}
}

func quit(ctx context.Context, sock string) error {
	c := http.Client{Transport: &http.Transport{DialContext: dialUnix(sock), DisableKeepAlives: true}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://d/quit", nil)
	if err != nil {
		return err
	}
	resp, err := c.Do(req)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

func TestFindDaemon(t *testing.T) {
	dir := t.TempDir()
	bin, libexec := filepath.Join(dir, "bin"), filepath.Join(dir, "libexec", "berth")
	for _, d := range []string{bin, libexec} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	self := filepath.Join(bin, "berth")
	if err := os.WriteFile(self, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "berth")
	if err := os.Symlink(self, link); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", t.TempDir())
	if p, err := findProgram(self, "berthd"); err == nil {
		t.Errorf("found %s", p)
	}
	far := filepath.Join(libexec, "berthd")
	if err := os.WriteFile(far, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	if p, err := findProgram(link, "berthd"); err != nil || p != far {
		t.Errorf("got %q, %v", p, err)
	}
	near := filepath.Join(bin, "berthd")
	if err := os.WriteFile(near, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	if p, err := findProgram(self, "berthd"); err != nil || p != near {
		t.Errorf("got %q, %v", p, err)
	}
	if err := os.Chmod(bin, 0o777); err != nil {
		t.Fatal(err)
	}
	if p, err := findProgram(self, "berthd"); err == nil || !strings.Contains(err.Error(), "everybody may write to") {
		t.Errorf("got %q, %v", p, err)
	}
}

func TestWantsDaemon(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("this test runs as root")
	}
	for _, tc := range []struct {
		flag      bool
		env, host string
		want      bool
		bad       bool
	}{
		{host: defaultHost},
		{env: "0", host: defaultHost},
		{flag: true, host: defaultHost, want: true},
		{env: "1", host: defaultHost, want: true},
		{flag: true, host: "tcp://h:1", bad: true},
	} {
		t.Setenv("BERTH_AUTOSTART", tc.env)
		s := &Session{host: tc.host}
		s.flags.startDaemon = tc.flag
		if got, err := s.wantsDaemon(); got != tc.want || (err != nil) != tc.bad {
			t.Errorf("%+v: got %v, %v", tc, got, err)
		}
	}
}

// TestImports keeps the client small: what it links decides how fast it
// starts.
func TestImports(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "github.com/berth-engine/berth/cmd/berth").Output()
	if err != nil {
		t.Fatal(err)
	}
	for pkg := range strings.FieldsSeq(string(out)) {
		for _, heavy := range []string{
			"github.com/docker/cli/", "github.com/containerd/containerd/", "github.com/moby/buildkit/", "google.golang.org/grpc",
			"google.golang.org/protobuf", "github.com/berth-engine/berth/kernel", "github.com/berth-engine/berth/image", "html/template", "k8s.io/",
		} {
			if strings.HasPrefix(pkg, heavy) {
				t.Errorf("the client links %s", pkg)
			}
		}
	}
}
