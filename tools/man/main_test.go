package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestPages: every command has its page, every flag its line, and the
// completions are scripts of their shells.
func TestPages(t *testing.T) {
	dir := t.TempDir()
	if err := write(dir); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{
		"man1/berth.1":            "start-daemon",
		"man1/berth-run.1":        "publish-all",
		"man1/berth-container.1":  "berth-container-prune(1)",
		"man1/berth-compose-up.1": "abort-on-container-exit",
		"man8/berthd.8":           "exec-root",
		"completions/berth.bash":  "complete -o default",
		"completions/_berth":      "#compdef berth",
		"completions/berth.fish":  "complete -c berth",
	} {
		text, err := os.ReadFile(filepath.Join(dir, file))
		// The manual's markup escapes hyphens.
		if plain := strings.ReplaceAll(string(text), `\-`, "-"); err != nil || !strings.Contains(plain, want) {
			t.Errorf("%s: no %q (%v)", file, want, err)
		}
	}
}
