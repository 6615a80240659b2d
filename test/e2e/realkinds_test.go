package e2e

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/berth-engine/berth/test/engine"
)

// goModule is what the program needs; the machine has it, as the engine does, too.
const goModule = "github.com/pkg/errors v0.9.1"

const goDockerfile = `FROM golang AS build
WORKDIR /src
ARG GOPROXY
COPY go.mod go.sum ./
RUN go mod download
COPY *.go ./
RUN --mount=type=cache,target=/root/.cache/go-build go build -ldflags "-s -w" -o /app .

FROM scratch
COPY --from=build /app /app
ENTRYPOINT ["/app"]
`

const goProgram = `package main

import (
	"os"

	"github.com/pkg/errors"
)

func main() {
	os.Stdout.WriteString(errors.WithMessage(errors.New("hello"), "it says").Error())
}
`

// goBuild compiles a program with a module in one stage and copies it to an image
// that has nothing else. The module comes through a proxy, which a build argument
// names.
func goBuild(t *testing.T, d, puller *engine.Daemon) {
	golang(t, d)
	dir := t.TempDir()
	b := realBuild{
		name: "team/hello", dir: dir,
		files: map[string]string{"Dockerfile": goDockerfile, "main.go": goProgram, "go.mod": "module hello\n\ngo 1.21\n\nrequire " + goModule + "\n"},
		file:  "main.go", old: `"hello"`, changed: `"good day"`,
		ran:    []string{"[build 5/6] COPY *.go ./", `[build 6/6] RUN --mount=type=cache,target=/root/.cache/go-build go build -ldflags "-s -w" -o /app .`, "[stage-1 1/1] COPY --from=build /app /app"},
		layers: 1, first: "it says: hello", second: "it says: good day",
	}
	sums, err := os.ReadFile("../../go.sum")
	if err != nil {
		t.Fatal(err)
	}
	b.files["go.sum"] = linesWith(string(sums), goModule)
	for name, text := range b.files {
		b.write(t, name, text)
	}
	cmd := exec.CommandContext(t.Context(), "go", "mod", "download", strings.ReplaceAll(goModule, " ", "@"))
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	l, port := gatewayListener(t, d)
	var zips atomic.Int32
	modules := http.FileServer(http.Dir(filepath.Join(goEnv(t, "GOMODCACHE"), "cache", "download")))
	server := &httptest.Server{Listener: l, Config: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { //nolint:gosec // a test's
		if strings.HasSuffix(r.URL.Path, ".zip") {
			zips.Add(1)
		}
		modules.ServeHTTP(w, r)
	})}}
	server.Start()
	t.Cleanup(server.Close)
	b.args = []string{"--add-host", "modules:host-gateway", "--build-arg", "GOPROXY=http://modules:" + port}
	b.play(t, d, puller)
	if n := zips.Load(); n != 1 {
		t.Errorf("the module was fetched %d times by two builds", n)
	}
}

// golang makes an image with the machine's Go, as far as pure Go needs it.
func golang(t *testing.T, d *engine.Daemon) {
	t.Helper()
	dir := t.TempDir()
	root := goEnv(t, "GOROOT")
	must(t, d, "tar", "-C", root, "-cf", filepath.Join(dir, "go.tar"), "--exclude=src/cmd", "--exclude=testdata", "--exclude=*_test.go", "--transform=s,^,go/,",
		"bin/go", "pkg/tool/linux_amd64/compile", "pkg/tool/linux_amd64/link", "pkg/tool/linux_amd64/asm", "pkg/include", "src", "VERSION", "go.env")
	dockerfile := "FROM busybox\nADD go.tar /usr/local/\nENV PATH=/usr/local/go/bin:/usr/bin:/bin:/usr/sbin:/sbin GOTOOLCHAIN=local CGO_ENABLED=0 GOFLAGS=-trimpath\n"
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(dockerfile), 0o600); err != nil {
		t.Fatal(err)
	}
	must(t, d, "berth", "build", "-q", "-t", "golang", dir)
}

func goEnv(t *testing.T, name string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "env", name).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

func linesWith(text, word string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, word) {
			b.WriteString(line)
		}
	}
	return b.String()
}

// aptDockerfile keeps what apt has fetched for other builds, and not in the image.
const aptDockerfile = `ARG BASE
FROM $BASE
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked --mount=type=cache,target=/var/lib/apt,sharing=locked \
    rm -f /etc/apt/apt.conf.d/docker-clean && apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends curl openssh-client >/dev/null
COPY motd /etc/motd
RUN wc -l </etc/motd >/etc/motd.lines
CMD ["cat", "/etc/motd"]
`

// aptBuild installs packages; the image is the base of the next one.
func aptBuild(t *testing.T, d, puller *engine.Daemon, base string) {
	b := realBuild{
		name: "team/tools", dir: t.TempDir(), args: []string{"--build-arg", "BASE=" + base},
		files: map[string]string{"Dockerfile": aptDockerfile, "motd": "of the day\n"},
		file:  "motd", old: "of the day", changed: "of the night",
		// The last step's file has another time.
		ran:    []string{"[stage-0 3/4] COPY motd /etc/motd", "[stage-0 4/4] RUN wc -l </etc/motd >/etc/motd.lines"},
		layers: 2, first: "of the day", second: "of the night",
	}
	b.play(t, d, puller)
}

// mountsDockerfile fetches what only some may see: a program's source from a host
// that lets one key in, data from a server that wants a token. Both are kept for
// later builds.
const mountsDockerfile = `ARG TOOLS
FROM $TOOLS AS fetch
ARG SSH_HOST SSH_PORT SOURCE URL VERSION
COPY known_hosts /known_hosts
RUN --mount=type=cache,target=/fetched --mount=type=ssh --mount=type=secret,id=token \
    test -e /fetched/$VERSION || { mkdir /fetched/$VERSION && \
    ssh -o UserKnownHostsFile=/known_hosts -o BatchMode=yes -p $SSH_PORT root@$SSH_HOST cat $SOURCE >/fetched/$VERSION/source && \
    curl -fsS -H "Authorization: Bearer $(cat /run/secrets/token)" -o /fetched/$VERSION/data $URL; }; cp -r /fetched/$VERSION /work
COPY greeting /work/greeting
RUN --mount=type=cache,target=/fetched cat /work/* /fetched/$VERSION/data >/result

FROM busybox
COPY --from=fetch /result /result
CMD ["cat", "/result"]
`

// mountsBuild needs the client's agent and a secret, of which nothing may stay.
func mountsBuild(t *testing.T, d, puller *engine.Daemon) {
	s := startSSH(t, d)
	token := rand.Text()
	var fetched atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+token {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		fetched.Add(1)
		fmt.Fprintln(w, "data")
	}))
	t.Cleanup(server.Close)
	dir := t.TempDir()
	source := filepath.Join(dir, "source")
	known, err := os.ReadFile(filepath.Join(s.path, "known_hosts"))
	if err != nil {
		t.Fatal(err)
	}
	port := strings.TrimPrefix(strings.TrimSuffix(s.addr, d.Socket), "ssh://root@127.0.0.1:")
	for path, text := range map[string]string{source: "source\n", filepath.Join(dir, "token"): token} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b := realBuild{
		name: "team/private", dir: t.TempDir(), shell: "ssh-add -q " + filepath.Join(s.path, "user"),
		files: map[string]string{"Dockerfile": mountsDockerfile, "greeting": "hello\n", "known_hosts": string(known)},
		args: []string{
			"--network", "host", "--ssh", "default", "--secret", "id=token,src=" + filepath.Join(dir, "token"),
			"--build-arg", "TOOLS=" + hub.Addr + "/team/tools:2", "--build-arg", "SSH_HOST=127.0.0.1", "--build-arg", "SSH_PORT=" + port,
			"--build-arg", "SOURCE=" + source, "--build-arg", "URL=" + server.URL + "/data", "--build-arg", "VERSION=1",
		},
		file: "greeting", old: "hello", changed: "good day",
		ran:    []string{"[fetch 4/5] COPY greeting /work/greeting", "[fetch 5/5] RUN --mount=type=cache,target=/fetched cat /work/* /fetched/1/data >/result", "[stage-1 2/2] COPY --from=fetch /result /result"},
		layers: 1, first: "data\nhello\nsource\ndata", second: "data\ngood day\nsource\ndata",
	}
	b.play(t, d, puller)
	if n := fetched.Load(); n != 1 {
		t.Errorf("the data was fetched %d times by two builds", n)
	}
	// Neither in layers, cache, histories nor logs.
	key, err := os.ReadFile(filepath.Join(s.path, "user"))
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{token, strings.Split(string(key), "\n")[1]} {
		if out, err := client(t, d, "grep", "-rlF", "-e", secret, d.DataRoot(), filepath.Join(d.Dir, "berthd.log")); err == nil {
			t.Errorf("a secret is in %s", out)
		}
	}
}

// lampBuild makes the web server of examples/lamp.
func lampBuild(t *testing.T, d, puller *engine.Daemon, base string) {
	dir := t.TempDir()
	must(t, d, "cp", "-r", "../../examples/lamp/web/.", dir)
	b := realBuild{
		name: "team/web", dir: dir, args: []string{"--build-arg", "BASE=" + base},
		files: map[string]string{"about.php": "<?php\necho 'PHP ' . PHP_MAJOR_VERSION . ' of Debian';\n"},
		file:  "about.php", old: "of Debian", changed: "in a box",
		ran: []string{"[3/3] COPY *.php /var/www/html/"}, layers: 1,
		// Apache serves it, as the image starts it.
		run:   []string{"sh", "-c", "apachectl start >/dev/null 2>&1; php -r 'echo file_get_contents(\"http://127.0.0.1/about.php\");'"},
		first: "PHP 8 of Debian", second: "PHP 8 in a box",
	}
	b.play(t, d, puller)
}
