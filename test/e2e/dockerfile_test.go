package e2e

import (
	"maps"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/moby/buildkit/frontend/dockerfile/command"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/berth-engine/berth/test/engine"
)

const dockerfiles = "testdata/dockerfile"

// TestDockerfile builds by every instruction and flag that a Dockerfile may have,
// one script a subject, all with one engine: they share its build cache as the
// builds of a user do.
func TestDockerfile(t *testing.T) {
	d := newDaemon(t)
	cdi := filepath.Join(d.Dir, "cdi")
	config := filepath.Join(d.Dir, "daemon.json")
	if err := os.WriteFile(config, []byte(`{"builder":{"entitlements":{"security-insecure":true}}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := d.Start(t.Context(), "--config-file", config, "--cdi-spec-dir", cdi); err != nil {
		t.Fatal(err)
	}
	must(t, d, "docker", "pull", "-q", "busybox")
	served, frontend := t.TempDir(), filepath.Join(t.TempDir(), "frontend")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", frontend, "github.com/moby/buildkit/frontend/dockerfile/cmd/dockerfile-frontend")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("Dockerfile's frontend as a program: %v\n%s", err, out)
	}
	server := httptest.NewServer(remoteContexts(t, served))
	t.Cleanup(server.Close)
	testscript.RunT(story{t}, testscript.Params{
		Dir:                 dockerfiles,
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			describe(env, d)
			env.Vars = append(env.Vars, "CDI="+cdi, "SERVED="+served, "SERVER="+server.URL, "FRONTEND="+frontend)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"until": cmdUntil, "output": cmdOutput, "pty": cmdPty},
	})
	must(t, d, "berth", "builder", "prune", "-af")
}

// remoteContexts serves the files of a folder, and its Git repositories.
func remoteContexts(t *testing.T, dir string) http.Handler {
	t.Helper()
	git, err := exec.LookPath("git")
	if err != nil {
		t.Fatal(err)
	}
	repositories := &cgi.Handler{
		Path: git, Args: []string{"http-backend"},
		Env: []string{"GIT_PROJECT_ROOT=" + dir, "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*"},
	}
	files := http.FileServer(http.Dir(dir))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, ".git/") {
			repositories.ServeHTTP(w, r)
			return
		}
		files.ServeHTTP(w, r)
	})
}

// describe tells a script where its engine and the Hub are.
func describe(env *testscript.Env, d *engine.Daemon) {
	env.Vars = append(env.Vars, d.Environ()...)
	env.Vars = append(env.Vars, "OTHER="+otherRuntime())
	env.Vars = append(env.Vars, "HUB="+hub.Addr, "DIR="+d.Dir, "DATA="+d.DataRoot(), "EXEC="+d.ExecRoot(),
		"BRIDGE="+d.Bridge, "SOCKET="+d.Socket, "TERM=xterm")
}

// TestDockerfileReference compares the scripts with what the parser knows: no
// instruction, flag or kind of mount may come that no script uses.
func TestDockerfileReference(t *testing.T) {
	text := scripts(t)
	for name := range maps.Keys(command.Commands) {
		if !regexp.MustCompile(`(?m)^(ONBUILD )?` + strings.ToUpper(name) + ` `).MatchString(text) {
			t.Errorf("no script has the instruction %s", strings.ToUpper(name))
		}
	}
	for _, flag := range parserFlags(t) {
		if !strings.Contains(text, "--"+flag) {
			t.Errorf("no script has the flag --%s", flag)
		}
	}
}

func scripts(t *testing.T) string {
	t.Helper()
	files, err := filepath.Glob(dockerfiles + "/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	var all strings.Builder
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(data)
	}
	return all.String()
}

// parserFlags reads the flags of instructions, and the keys of RUN --mount, in the
// parser's source.
func parserFlags(t *testing.T) []string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/moby/buildkit").Output()
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(strings.TrimSpace(string(out)) + "/frontend/dockerfile/instructions/*.go")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	var flags []string
	for _, f := range files {
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`flags\.Add\w+\("([\w-]+)"`).FindAllStringSubmatch(string(data), -1) {
			flags = append(flags, m[1])
		}
	}
	slices.Sort(flags)
	flags = slices.Compact(flags)
	if len(flags) < 15 {
		t.Fatalf("only the flags %q were found in the parser's source", flags)
	}
	return flags
}
