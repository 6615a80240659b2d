package server

import (
	"bufio"
	"bytes"
	"cmp"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite golden files")

// specification lists the operations of the api module's swagger.yaml.
func specification(t *testing.T) map[string]string {
	t.Helper()
	dir, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/moby/moby/api").Output()
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), "swagger.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	_, paths, ok := bytes.Cut(data, []byte("\npaths:\n"))
	if !ok {
		t.Fatal("no paths in the specification")
	}
	ops := map[string]string{}
	var path, method string
	isPath, isMethod := regexp.MustCompile(`^  (/\S*):$`), regexp.MustCompile(`^    (get|head|post|put|delete):$`)
	summary := regexp.MustCompile(`^      summary: "?(.*?)"?$`)
	for sc := bufio.NewScanner(bytes.NewReader(paths)); sc.Scan(); {
		if m := isPath.FindStringSubmatch(sc.Text()); m != nil {
			path = m[1]
		} else if m := isMethod.FindStringSubmatch(sc.Text()); m != nil {
			method = strings.ToUpper(m[1])
			ops[method+" "+path] = ""
		} else if m := summary.FindStringSubmatch(sc.Text()); m != nil {
			ops[method+" "+path] = m[1]
		}
	}
	return ops
}

// extra are operations which Docker serves without specifying them.
var extra = []string{
	"POST /grpc", "POST /build/cancel", // deprecated, or never described
	"GET /containers/{id}/checkpoints", "POST /containers/{id}/checkpoints", "DELETE /containers/{id}/checkpoints/{checkpoint}", // experimental
}

// TestOperations walks the specification: each of its operations is routed to
// itself, and docs/api.md tells its state.
func TestOperations(t *testing.T) {
	spec := specification(t)
	if len(spec) < 100 {
		t.Fatalf("only %d operations found in the specification", len(spec))
	}
	s := New(Options{})
	rt := newRouter(s.operations())
	states := map[string]string{}
	for _, op := range s.operations() {
		key := op.method + " " + op.path
		if _, twice := states[key]; twice {
			t.Errorf("%s is in the table twice", key)
		}
		if op.state != berths {
			states[key] = op.state
		}
		if op.state == berths {
			if added[key] == "" {
				t.Errorf("%s is not described", key)
			}
			continue
		}
		if _, ok := spec[key]; !ok && !slices.Contains(extra, key) {
			t.Errorf("%s is not an operation of the specification", key)
		}
	}
	for key := range spec {
		method, path, _ := strings.Cut(key, " ")
		concrete := regexp.MustCompile(`\{\w+\}`).ReplaceAllString(path, "a/b")
		op, name := rt.find(method, concrete)
		switch {
		case op == nil:
			t.Errorf("%s is not routed", key)
		case op.path != path:
			t.Errorf("%s is routed to %s", key, op.path)
		case strings.Contains(path, "{") && name != "a/b":
			t.Errorf("%s: name %q", key, name)
		}
	}
	checkDoc(t, spec, states)
}

func byPath(a, b string) int {
	_, pa, _ := strings.Cut(a, " ")
	_, pb, _ := strings.Cut(b, " ")
	return cmp.Or(strings.Compare(pa, pb), strings.Compare(a, b))
}

func checkDoc(t *testing.T, spec, states map[string]string) {
	var b strings.Builder
	count := map[string]int{}
	for _, state := range states {
		count[state]++
	}
	fmt.Fprintf(&b, "# Operations of the Engine API\n\n"+
		"Made by `go test ./server -run TestOperations -update` from the specification of the api module and the\n"+
		"table in `server/operations.go`; the same test fails when this page is out of date.\n\n"+
		"%d done, %d not yet (501 with a message), %d answered as by a node outside a swarm (503).\n\n"+
		"| operation | what it does | state |\n|---|---|---|\n", count[done], count[notYet], count[alone])
	for _, key := range slices.SortedFunc(maps.Keys(states), byPath) {
		what := spec[key]
		if what == "" {
			what = "(not in the specification)"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", key, what, states[key])
	}
	fmt.Fprint(&b, "\n## Added by Berth\n\nTypes are in package `api`. Parameters are of the URL.\n\n| operation | what it does |\n|---|---|\n")
	for _, key := range slices.SortedFunc(maps.Keys(added), byPath) {
		fmt.Fprintf(&b, "| `%s` | %s |\n", key, added[key])
	}
	fmt.Fprint(&b, "\n## Parameters added to Docker's operations\n\n| operation | parameter |\n|---|---|\n")
	for _, key := range slices.SortedFunc(maps.Keys(parameters), byPath) {
		if states[key] != done {
			t.Errorf("%s has parameters and is not served", key)
		}
		fmt.Fprintf(&b, "| `%s` | %s |\n", key, parameters[key])
	}
	const file = "../docs/api.md"
	if *update {
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(have) != b.String() {
		t.Errorf("%s is out of date: run go test ./server -run TestOperations -update", file)
	}
}

func FuzzRoute(f *testing.F) {
	rt := newRouter(New(Options{}).operations())
	f.Add("GET", "/v1.41/containers/json/json")
	f.Add("DELETE", "/images/a/b/c@sha256:d")
	f.Fuzz(func(t *testing.T, method, path string) {
		version, rest := splitVersion(path)
		if version != "" && "/v"+version+rest != path {
			t.Errorf("%q splits into %q %q", path, version, rest)
		}
		op, name := rt.find(method, rest)
		if op == nil {
			return
		}
		if op.method != method || strings.Contains(op.path, "{") == (name == "") {
			t.Errorf("%s %q: %s %q", method, rest, op.path, name)
		}
		if i := strings.IndexByte(op.path, '{'); i >= 0 && op.path[:i]+name+op.path[strings.IndexByte(op.path, '}')+1:] != rest {
			t.Errorf("%q is not %s with %q", rest, op.path, name)
		}
	})
}
