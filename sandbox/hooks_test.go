package sandbox

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// noting returns a hook that appends a word and the state to a file.
func noting(file, word, then string) specs.Hook {
	return specs.Hook{
		Path: "/bin/sh", Env: []string{"PATH=/bin:/usr/bin"},
		Args: []string{"sh", "-c", `{ echo "$2"; cat; echo; } >>"$1"; ` + then, "sh", file, word},
	}
}

func notes(t *testing.T, file string) (words []string, states []specs.State) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	for i := 0; i+1 < len(lines); i += 2 {
		var s specs.State
		if err := json.Unmarshal([]byte(lines[i+1]), &s); err != nil {
			t.Fatalf("%s: %v", lines[i+1], err)
		}
		words, states = append(words, lines[i]), append(states, s)
	}
	return words, states
}

func TestHooks(t *testing.T) {
	r := newRuntime(t, Options{})
	file := filepath.Join(t.TempDir(), "notes")
	b := bundle(t, "hooked", "wait")
	b.Spec.Annotations = map[string]string{"k": "v"}
	// As a monitor ignores SIGTERM, and hooks must not.
	b.Spec.Hooks = &specs.Hooks{
		CreateRuntime:   []specs.Hook{noting(file, "createRuntime", `trap 'exit 0' TERM; kill -TERM $$; exit 1`)},
		CreateContainer: []specs.Hook{noting(file, "createContainer", "")},
		StartContainer:  []specs.Hook{{Path: "/bin/guest", Args: []string{"hook", "exit", "0"}}},
		Poststart:       []specs.Hook{noting(file, "poststart", "")},
		Poststop:        []specs.Hook{noting(file, "poststop", "exit 1"), noting(file, "poststop", "")},
	}
	s := r.launch(t, b)
	s.startTest(t)
	if err := s.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.waitTest(t)
	config, err := os.ReadFile(filepath.Join(r.dir("hooked"), "config.json"))
	var spec specs.Spec
	if err != nil || json.Unmarshal(config, &spec) != nil || spec.Process.Args[1] != "wait" {
		t.Errorf("%s, %v", config, err)
	}
	if err := s.removed(t.Context()); err != nil {
		t.Fatal(err)
	}
	words, states := notes(t, file)
	if strings.Join(words, " ") != "createRuntime createContainer poststart poststop poststop" {
		t.Fatal(words)
	}
	for i, status := range []specs.ContainerState{"creating", "creating", "running", "stopped", "stopped"} {
		st := states[i]
		if st.Status != status || st.ID != "hooked" || st.Bundle != r.dir("hooked") || st.Annotations["k"] != "v" {
			t.Errorf("%s: %+v", words[i], st)
		}
	}
	if states[0].Pid != s.Pid() || states[1].Pid != 1 || states[2].Pid != s.Pid() {
		t.Errorf("pid %d, %+v", s.Pid(), states)
	}
}

func TestHookFails(t *testing.T) {
	r := newRuntime(t, Options{})
	for kind, set := range map[string]func(*specs.Hooks, specs.Hook){
		"createRuntime":   func(h *specs.Hooks, k specs.Hook) { h.CreateRuntime = append(h.CreateRuntime, k) },
		"createContainer": func(h *specs.Hooks, k specs.Hook) { h.CreateContainer = append(h.CreateContainer, k) },
		"startContainer":  func(h *specs.Hooks, k specs.Hook) { h.StartContainer = append(h.StartContainer, k) },
		"poststart":       func(h *specs.Hooks, k specs.Hook) { h.Poststart = append(h.Poststart, k) },
	} {
		t.Run(kind, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "notes")
			b := bundle(t, "unlucky", "sleep")
			b.Spec.Hooks = &specs.Hooks{Poststop: []specs.Hook{noting(file, "poststop", "")}}
			k := specs.Hook{Path: "/bin/sh", Args: []string{"sh", "-c", "exit 5"}}
			if kind == "startContainer" {
				k = specs.Hook{Path: "/bin/guest", Args: []string{"hook", "exit", "5"}}
			}
			set(b.Spec.Hooks, k)
			s, err := r.Launch(t.Context(), b)
			if err == nil {
				err = s.Start(t.Context())
				s.waitTest(t) // it is stopped
				if err := s.removed(t.Context()); err != nil {
					t.Error(err)
				}
			}
			if err == nil || !strings.Contains(err.Error(), "error running "+kind+" hook #0: ") || !strings.Contains(err.Error(), "exit status 5") {
				t.Error(err)
			}
			if words, _ := notes(t, file); len(words) != 1 {
				t.Errorf("%q", words)
			}
		})
	}
}
