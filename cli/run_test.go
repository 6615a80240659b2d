package cli

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRunAttached(t *testing.T) {
	b := &box{out: "hello\n", err: "oops\n", code: 7}
	d := newFake(t, b.routes())
	code, out, errs := d.run("", "run", "--rm", "img", "cmd", "-x")
	if code != 7 || out != "hello\n" || errs != "WARNING: be careful\noops\n" {
		t.Errorf("got %d, %q, %q", code, out, errs)
	}
	if !d.called("POST /containers/c1/wait?condition=removed") {
		t.Errorf("no wait for the removal in %q", d.calls)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if last := d.calls[len(d.calls)-1]; last != "POST /containers/c1/start" {
		t.Errorf("start must come after attach and wait: %q", d.calls)
	}
	if got := strings.Join(b.request.Cmd, " "); got != "cmd -x" || b.request.Image != "img" || !b.request.HostConfig.AutoRemove {
		t.Errorf("request %+v", b.request)
	}
}

func TestRunInput(t *testing.T) {
	b := &box{}
	d := newFake(t, b.routes())
	code, out, errs := d.run("some input", "run", "-i", "img")
	if code != 0 || out != "got some input" {
		t.Errorf("got %d, %q, %q", code, out, errs)
	}
	if !b.request.StdinOnce {
		t.Error("input must end with this client")
	}
}

func TestRunDetached(t *testing.T) {
	b := &box{}
	d := newFake(t, b.routes())
	code, out, _ := d.run("", "run", "-d", "img")
	if code != 0 || out != "c1\n" || d.called("POST /containers/c1/attach") {
		t.Errorf("got %d, %q, %q", code, out, d.calls)
	}
}

func TestRunNeedsTTY(t *testing.T) {
	code, _, errs := newFake(t, nil).run("", "run", "-it", "img")
	if code != 1 || errs != "the input device is not a TTY\n" {
		t.Errorf("got %d, %q", code, errs)
	}
}

func TestRunWaitError(t *testing.T) {
	b := &box{waitErr: "it broke"}
	code, _, errs := newFake(t, b.routes()).run("", "run", "img")
	if code != 125 || !strings.Contains(errs, "Error waiting for container: it broke") {
		t.Errorf("got %d, %q", code, errs)
	}
}

func TestRunExitCodes(t *testing.T) {
	for _, tc := range []struct {
		name, message string
		http, want    int
	}{
		{"not found", `failed to create task: exec: "nosuch": executable file not found in $PATH`, 400, 127},
		{"no such file", `exec: "/x": stat /x: no such file or directory`, 400, 127},
		{"not executable", `exec: "/etc/passwd": permission denied`, 400, 126},
		{"directory", `exec: "/etc": is a directory`, 400, 126},
		{"other", `driver failed: port is already allocated`, 500, 125},
	} {
		for _, detach := range []string{"-d", "-d=false"} {
			t.Run(tc.name+detach, func(t *testing.T) {
				b := &box{startErr: fail(tc.http, tc.message)}
				code, _, errs := newFake(t, b.routes()).run("", "run", "--rm", detach, "img")
				want := "berth: Error response from daemon: " + tc.message + "\n\nRun 'berth run --help' for more information\n"
				if code != tc.want || !strings.HasSuffix(errs, want) {
					t.Errorf("got %d, %q; want %d", code, errs, tc.want)
				}
			})
		}
	}
}

func TestRunPulls(t *testing.T) {
	b := &box{out: "hi\n"}
	routes := b.routes()
	create := routes["POST /containers/create"]
	pulled := false
	routes["POST /containers/create"] = func(w http.ResponseWriter, r *http.Request) {
		if !pulled {
			fail(404, "No such image: img:latest")(w, r)
			return
		}
		create(w, r)
	}
	routes["POST /images/create"] = func(w http.ResponseWriter, _ *http.Request) {
		pulled = true
		fmt.Fprintln(w, `{"status":"Pulling from library/img","id":"latest"}`)
		fmt.Fprintln(w, `{"status":"Status: Downloaded newer image for img:latest"}`)
	}
	d := newFake(t, routes)
	code, out, errs := d.run("", "run", "img")
	want := "Unable to find image 'img:latest' locally\nlatest: Pulling from library/img\nStatus: Downloaded newer image for img:latest\nWARNING: be careful\n"
	if code != 0 || out != "hi\n" || errs != want {
		t.Errorf("got %d, %q, %q", code, out, errs)
	}
	if !d.called("POST /images/create?fromImage=docker.io%2Flibrary%2Fimg&tag=latest") {
		t.Errorf("calls %q", d.calls)
	}
}

func TestRunPullNever(t *testing.T) {
	d := newFake(t, map[string]http.HandlerFunc{"POST /containers/create": fail(404, "No such image: img:latest")})
	code, _, errs := d.run("", "run", "--pull", "never", "img")
	if code != 125 || !strings.HasPrefix(errs, "berth: Error response from daemon: No such image: img:latest\n") {
		t.Errorf("got %d, %q", code, errs)
	}
	code, _, errs = d.run("", "run", "--pull", "perhaps", "img")
	if code != 125 || !strings.Contains(errs, "invalid pull option: 'perhaps'") {
		t.Errorf("got %d, %q", code, errs)
	}
}

func TestRunIDFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "id")
	b := &box{}
	if code, _, errs := newFake(t, b.routes()).run("", "run", "-d", "--cidfile", path, "img"); code != 0 {
		t.Fatal(errs)
	}
	if got, _ := os.ReadFile(path); string(got) != "c1" {
		t.Errorf("file has %q", got)
	}
	code, _, errs := newFake(t, nil).run("", "run", "--cidfile", path, "img")
	if code != 125 || !strings.Contains(errs, "container ID file found, make sure the other container isn't running or delete "+path) {
		t.Errorf("got %d, %q", code, errs)
	}
	gone := filepath.Join(t.TempDir(), "id")
	d := newFake(t, map[string]http.HandlerFunc{"POST /containers/create": fail(409, "Conflict")})
	if code, _, _ := d.run("", "run", "--cidfile", gone, "img"); code != 125 {
		t.Errorf("exit %d", code)
	}
	if _, err := os.Stat(gone); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file must go when creation fails: %v", err)
	}
}

func TestRunBadFlags(t *testing.T) {
	d := newFake(t, nil)
	for _, tc := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"run"}, 1, "berth: 'berth run' requires at least 1 argument\n\nUsage:  berth run [OPTIONS] IMAGE [COMMAND] [ARG...]\n\nSee 'berth run --help' for more information\n"},
		{[]string{"run", "--nosuch"}, 125, "unknown flag: --nosuch\n\nUsage:  berth run [OPTIONS] IMAGE [COMMAND] [ARG...]\n\nRun 'berth run --help' for more information\n"},
		{[]string{"run", "-p", "foo:80", "img"}, 125, "berth: invalid hostPort: foo\n\nRun 'berth run --help' for more information\n"},
		{[]string{"run", "--rm", "--restart", "always", "img"}, 125, "berth: conflicting options: cannot specify both --restart and --rm\n\nRun 'berth run --help' for more information\n"},
		{[]string{"run", "-d", "-a", "stdout", "img"}, 1, "conflicting options: cannot specify both --attach and --detach\n"},
		{[]string{"foo"}, 1, "berth: unknown command: berth foo\n\nRun 'berth --help' for more information\n"},
		{[]string{"update", "c1"}, 1, "you must provide one or more flags when using this command\n"},
		{[]string{"container", "foo"}, 1, "berth: unknown command: berth container foo\n\nUsage:  berth container COMMAND\n\nRun 'berth container --help' for more information\n"},
		{[]string{"ps", "foo"}, 1, "berth: 'berth ps' accepts no arguments\n\nUsage:  berth ps [OPTIONS]\n\nRun 'berth ps --help' for more information\n"},
	} {
		code, _, errs := d.run("", tc.args...)
		if code != tc.code || errs != tc.want {
			t.Errorf("%q: got %d, %q", tc.args, code, errs)
		}
	}
	if len(d.calls) > 0 {
		t.Errorf("the daemon was asked: %q", d.calls)
	}
}

func TestNoDaemon(t *testing.T) {
	newFake(t, nil)
	host := "unix://" + filepath.Join(t.TempDir(), "none.sock")
	for verb, want := range map[string]int{"ps": 1, "run": 125} {
		args := []string{"-H", host, verb}
		if verb == "run" {
			args = append(args, "img")
		}
		code, _, errs := runCLI(t, "", args...)
		if code != want || !strings.Contains(errs, "Cannot connect to the Berth daemon at "+host+". Is the berth daemon running?\nStart it with: ") {
			t.Errorf("%s: got %d, %q", verb, code, errs)
		}
	}
}

// Scripts pass --disable-content-trust; who asks for the check must not get an
// image that nobody checked.
func TestContentTrust(t *testing.T) {
	d := newFake(t, (&box{}).routes())
	if code, _, errs := d.run("", "run", "--disable-content-trust", "-d", "img"); code != 0 {
		t.Errorf("got %d, %q", code, errs)
	}
	t.Setenv("DOCKER_CONTENT_TRUST", "1")
	for _, args := range [][]string{{"run", "-d", "img"}, {"create", "img"}, {"pull", "img"}} {
		if code, _, errs := d.run("", args...); code == 0 || !strings.Contains(errs, "content trust") {
			t.Errorf("%q: got %d, %q", args, code, errs)
		}
	}
	if code, _, errs := d.run("", "push", "--disable-content-trust=false", "img"); code == 0 || !strings.Contains(errs, "content trust") {
		t.Errorf("push: exit %d, %s", code, errs)
	}
	if code, _, errs := d.run("", "create", "--disable-content-trust", "img"); code != 0 {
		t.Errorf("got %d, %q", code, errs)
	}
}
