package hook

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// A hook, which runs as root of the host, has nothing of the environment of the
// process that runs it, be it the engine's or an image's (CVE-2025-23266).
func TestAttackHookEnv(t *testing.T) {
	t.Setenv("LD_PRELOAD", "")
	t.Setenv("ENEMY", "x")
	file := filepath.Join(t.TempDir(), "env")
	for _, env := range [][]string{nil, {}, {"OWN=1"}} {
		h := &specs.Hooks{CreateRuntime: []specs.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", "tr '\\0' '\\n' </proc/self/environ >" + file}, Env: append(env, "PATH=/bin:/usr/bin")}}}
		if err := new(Runner).Run(t.Context(), CreateRuntime, h, created); err != nil {
			t.Fatal(err)
		}
		if b, err := os.ReadFile(file); err != nil || strings.Contains(string(b), "ENEMY") || strings.Contains(string(b), "LD_PRELOAD") {
			t.Errorf("%q, %v", b, err)
		}
	}
}
