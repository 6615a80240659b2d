package berth

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestDecisions: each record of docs/decisions has a number of its own, and its
// title begins with it.
func TestDecisions(t *testing.T) {
	files, err := filepath.Glob("docs/decisions/[0-9]*.md")
	if err != nil || len(files) == 0 {
		t.Fatalf("no records: %v", err)
	}
	taken := map[string]string{}
	for _, file := range files {
		number, _, _ := strings.Cut(filepath.Base(file), "-")
		if other, ok := taken[number]; ok {
			t.Errorf("%s has the number of %s", file, other)
		}
		taken[number] = file
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if title, _, _ := strings.Cut(string(text), "\n"); !strings.HasPrefix(title, "# "+number+": ") {
			t.Errorf("%s: the title is %q", file, title)
		}
	}
}
