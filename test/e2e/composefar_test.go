package e2e

import (
	"crypto/x509"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-engine/berth/test/engine"
)

// farFiles are an application that is built where its engine is.
var farFiles = map[string]string{
	"compose.yaml": `
name: far
services:
  web:
    build: {context: ., args: {VERSION: "${VERSION:-1}"}}
    image: far-web
    stop_signal: KILL
    ports: ["127.0.0.1:${PORT}:80"]
    healthcheck: {test: wget -qO /dev/null http://127.0.0.1/, interval: 200ms}
`,
	"Dockerfile": "FROM busybox\nARG VERSION\nRUN mkdir /www && echo far $VERSION >/www/index.html\nCMD [\"httpd\", \"-f\", \"-p\", \"80\", \"-h\", \"/www\"]\n",
}

// far builds an application, runs it, updates it without a gap and takes it
// down, by commands that reach the engine from elsewhere.
func far(t *testing.T, run func(dir, line string) (string, error)) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range farFiles {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range []struct{ line, want string }{
		{"compose up -d --wait --build", ""},
		{"compose exec -T web cat /www/index.html", "far 1"},
		{"compose ps --format '{{.Name}} {{.Health}}'", "far-web-1 healthy"},
		{"compose logs --no-color", ""},
		{"build -q --build-arg VERSION=2 -t far-web .", "sha256:"},
		{"compose up --rolling", "the new one was ready"},
		{"compose exec -T web cat /www/index.html", "far 2"},
		{"compose down -t 0 --rmi all", ""},
	} {
		out, err := run(dir, step.line)
		if err != nil || !strings.Contains(out, step.want) {
			t.Fatalf("%s: %v, want %q in\n%s", step.line, err, step.want, short(out))
		}
	}
}

// TestComposeTLS: `berth compose` and `berth build` by a context of an engine
// that is reached by TLS.
func TestComposeTLS(t *testing.T) {
	ca := newAuthority(t, "ours")
	server, member := ca.write(t, x509.ExtKeyUsageServerAuth), ca.write(t, x509.ExtKeyUsageClientAuth)
	port, err := engine.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	d := newDaemon(t, "--host", "tcp://127.0.0.1:"+port, "--tlsverify",
		"--tlscacert", server+"/ca.pem", "--tlscert", server+"/cert.pem", "--tlskey", server+"/key.pem")
	if err := d.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	must(t, d, "berth", "pull", "-q", "busybox")
	must(t, d, "berth", "context", "create", "far", "--docker", "host=tcp://127.0.0.1:"+port+",ca="+member+"/ca.pem,cert="+member+"/cert.pem,key="+member+"/key.pem")
	published, err := engine.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	far(t, func(dir, line string) (string, error) {
		return client(t, d, "BERTH_HOST=", "DOCKER_HOST=", "PORT="+published, "sh", "-c", "cd "+dir+" && exec berth --context far "+line)
	})
	// By flags and by environment, too.
	addr := "tcp://127.0.0.1:" + port
	flags := "-H " + addr + " --tlsverify --tlscacert " + member + "/ca.pem --tlscert " + member + "/cert.pem --tlskey " + member + "/key.pem "
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte("FROM busybox\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"compose ls", "build -q " + dir} {
		for how, args := range map[string][]string{
			"flags":       {"BERTH_HOST=", "DOCKER_HOST=", "sh", "-c", "exec berth " + flags + line},
			"environment": {"BERTH_HOST=" + addr, "DOCKER_HOST=" + addr, "DOCKER_TLS_VERIFY=1", "DOCKER_CERT_PATH=" + member, "sh", "-c", "exec berth " + line},
		} {
			if out, err := client(t, d, args...); err != nil {
				t.Errorf("%s by %s: %v\n%s", line, how, err, out)
			}
		}
	}
	out, err := client(t, d, "BERTH_HOST=", "DOCKER_HOST=", "sh", "-c", "exec berth "+strings.Replace(flags, "/key.pem", "/other.pem", 1)+"compose ls")
	if err == nil {
		t.Errorf("a key of another name: %s", out)
	}
}

// TestComposeSSH: the same over ssh.
func TestComposeSSH(t *testing.T) {
	d := started(t)
	must(t, d, "berth", "pull", "-q", "busybox")
	s := startSSH(t, d)
	published, err := engine.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	far(t, func(dir, line string) (string, error) {
		cmd := exec.CommandContext(t.Context(), "sh", "-c", "exec berth "+line)
		cmd.Dir = dir
		cmd.Env = append(d.Environ(), "HOME="+home, "DOCKER_HOST="+s.addr, "BERTH_HOST="+s.addr, "PORT="+published)
		for i, e := range cmd.Env {
			if path, ok := strings.CutPrefix(e, "PATH="); ok {
				cmd.Env[i] = "PATH=" + filepath.Join(s.path, "local") + ":" + path
			}
		}
		out, err := cmd.CombinedOutput()
		return string(out), err
	})
}
