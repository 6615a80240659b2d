package cli

import (
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/image"
)

func TestCompletion(t *testing.T) {
	d := newFake(t, map[string]http.HandlerFunc{
		"GET /containers/json": func(w http.ResponseWriter, r *http.Request) {
			list := []container.Summary{{Names: []string{"/up"}, State: "running"}}
			if r.URL.Query().Get("all") == "1" {
				list = append(list, container.Summary{Names: []string{"/down", "/up/link"}, State: "exited"})
			}
			answer(list)(w, r)
		},
		"GET /images/json": answer([]image.Summary{{RepoTags: []string{"img:1", "img:2"}}}),
	})
	for args, want := range map[string]string{
		"stop ":                 "up",
		"start ":                "down",
		"rm ":                   "down",
		"rm -f ":                "up down",
		"logs ":                 "up down",
		"logs up ":              "",
		"stop up ":              "",
		"run ":                  "img:1 img:2",
		"rmi img:1 ":            "img:2",
		"inspect ":              "up down img:1 img:2",
		"container stop ":       "up",
		"run --pull ":           "always missing never",
		"run --volumes-from ":   "up down",
		"pull --platform linux": "linux/amd64 linux/arm64 linux/arm/v7 linux/arm/v6 linux/386 linux/ppc64le linux/s390x linux/riscv64",
		"imag":                  "image images",
		"completion ":           "bash fish zsh",
	} {
		code, out, errs := d.run("", append([]string{"__completeNoDesc"}, strings.Split(args, " ")...)...)
		lines := strings.Split(strings.TrimSpace(out), "\n")
		got := strings.Join(lines[:len(lines)-1], " ")
		if code != 0 || got != want {
			t.Errorf("%q: got %d, %q, %q", args, code, got, errs)
		}
	}
}

func TestCompletionWithoutDaemon(t *testing.T) {
	newFake(t, nil)
	t.Setenv("BERTH_HOST", "unix:///nonexistent")
	if code, out, _ := runCLI(t, "", "__completeNoDesc", "stop", ""); code != 0 || !strings.HasPrefix(out, ":4") {
		t.Errorf("got %d, %q", code, out)
	}
}

// TestCompletionScripts lets the shells that are there read their script.
func TestCompletionScripts(t *testing.T) {
	newFake(t, nil)
	for _, shell := range []string{"bash", "zsh", "fish"} {
		code, out, errs := runCLI(t, "", "completion", shell)
		if code != 0 || !strings.Contains(out, "berth") {
			t.Errorf("%s: got %d, %q", shell, code, errs)
		}
		path, err := exec.LookPath(shell)
		if err != nil {
			continue
		}
		cmd := exec.CommandContext(t.Context(), path, "-n")
		cmd.Stdin = strings.NewReader(out)
		cmd.Stderr = os.Stderr
		if err := cmd.Run(); err != nil {
			t.Errorf("%s: %v", shell, err)
		}
	}
	if code, _, errs := runCLI(t, "", "completion", "tcsh"); code != 1 || !strings.HasPrefix(errs, "berth: unknown command: berth completion tcsh") {
		t.Errorf("got %d, %q", code, errs)
	}
}
