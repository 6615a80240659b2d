package cli

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/moby/moby/api/types/container"
)

func TestContexts(t *testing.T) {
	d := newFake(t, map[string]http.HandlerFunc{"GET /containers/json": answer([]container.Summary{})})
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	host := "unix://" + d.socket
	t.Setenv("BERTH_HOST", "")
	t.Setenv("DOCKER_HOST", "")
	export := filepath.Join(t.TempDir(), "file")
	for _, tc := range []struct {
		args     string
		code     int
		out, err string // what they contain
	}{
		{args: "context show", out: "default\n"},
		{args: "context create x", code: 1, err: `context name "x" is invalid`},
		{args: "context create here --description mine --docker host=" + host, out: "here\n", err: `Successfully created context "here"`},
		{args: "context create here --docker host=" + host, code: 1, err: `context "here" already exists`},
		{args: "context create there --docker hosts=x", code: 1, err: "unrecognized config key: hosts"},
		{args: "context ls", out: "here        mine"},
		{args: "ps -q", code: 1, err: "Cannot connect to the Berth daemon at unix:///var/run/berth.sock"},
		{args: "-c here ps -q"},
		{args: "-c nosuch ps", code: 1, err: `context "nosuch": context not found`},
		{args: "context use here", out: "here\n", err: `Current context is now "here"`},
		{args: "ps -q"},
		{args: "context show", out: "here\n"},
		{args: "context ls --format {{.Name}}={{.Current}}", out: "default=false\nhere=true\n"},
		{args: "context inspect", out: `"Description": "mine"`},
		{args: "context inspect --format {{.Endpoints.docker.Host}} here", out: host + "\n"},
		{args: "context rm --dry-run here", code: 1, err: `context "here" is in use, set -f flag to force remove`},
		{args: "context rm --dry-run -f here", out: "Would remove context: here\n"},
		{args: "context rm here", code: 1, err: `context "here" is in use, set -f flag to force remove`},
		{args: "context export here " + export, err: "Written file"},
		{args: "context import again " + export, out: "again\n"},
		{args: "context update again --docker skip-tls-verify=maybe", code: 1, err: "neither true nor false"},
		{args: "context update again --docker host=ssh://root@h", out: "again\n"},
		{args: "context ls -q", out: "default\nagain\nhere\n"},
		{args: "context rm -f here again", out: "here\nagain\n"},
		{args: "context show", out: "default\n"},
	} {
		code, out, errs := runCLI(t, "", strings.Fields(tc.args)...)
		if code != tc.code || !strings.Contains(out, tc.out) || !strings.Contains(errs, tc.err) {
			t.Errorf("%s: %d\n%s%s", tc.args, code, out, errs)
		}
	}
}

// TestSSH puts a program in ssh's place that runs the remote command here.
func TestSSH(t *testing.T) {
	bin := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\n"+text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	d := newFake(t, map[string]http.HandlerFunc{"GET /containers/json": answer([]container.Summary{})})
	write("ssh", `while [ "$1" != -- ]; do shift; done; [ "$2" = down ] && { echo "no route" >&2; exit 255; }; exec sh -c "$3"`)
	// What the remote command is: this test program, as berth.
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	write("berth", `exec env BERTH_TEST_CLI=1 BERTH_HOST=unix://`+d.socket+` "`+self+`" "$@"`)
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	if code, out, errs := runCLI(t, "", "-H", "ssh://me@up:22", "ps", "--format", "json"); code != 0 {
		t.Errorf("%d %s %s", code, out, errs)
	}
	if code, _, errs := runCLI(t, "", "-H", "ssh://down", "ps"); code != 1 || !strings.Contains(errs, "ssh to down: exit status 255: no route") {
		t.Errorf("%d %s", code, errs)
	}
}

func TestSSHArgs(t *testing.T) {
	target, err := parseSSH("ssh://me@[::1]:2222/run/it's.sock")
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Join(target.args(), " ")
	want := `-o ConnectTimeout=30 -T -l me -p 2222 -- ::1 sh -c '`
	if !strings.HasPrefix(got, want) || !strings.Contains(got, "/run/it") {
		t.Error(got)
	}
}
